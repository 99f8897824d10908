"""Attention by row: the numbers of plain SDPA, for packed lines, padded batches, caches and whole masks."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_training import base
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    RwkvConfig,
    xLSTMConfig,
)

from resources.language_model import LanguageModel
from training import attention, decoding, losses
from twainbot.errors import BadInput

SMALL = {"vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
         "num_hidden_layers": 2}  # fmt: skip
STATE = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
         "head_dim": 8}  # fmt: skip
WITHOUT_KINDS = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2}
# Bases that cannot keep rows apart: a convolution, a recurrent state, and position ids that do not reach attention.
LEAKING = {
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "qwen3_5_text": {"layer_types": ["linear_attention", "full_attention"], **STATE},
    "persimmon": {},
}


@pytest.fixture(scope="module")
def models():
    """The tiny base with attention by row, and with SDPA."""
    plain = attention.load(base(), torch.float32)
    other = attention.load(base(), torch.float32)
    other.set_attn_implementation("sdpa")
    assert plain.config._attn_implementation == attention.NAME
    return plain.eval(), other.eval()


def difference(models, **inputs) -> float:
    """Largest difference of logits between the two, in one forward pass."""
    with torch.no_grad():
        first, second = (model(use_cache=False, **inputs).logits for model in models)
    return float((first - second).abs().max())


def ids(*shape: int) -> torch.Tensor:
    """Random token ids, the same at each call."""
    return torch.randint(5, 200, shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("sizes", [[[5, 9, 2]], [[16]], [[7, 9], [1, 15]], [[1] * 16]])
def test_packed_lines_have_the_logits_of_sdpa(models, sizes):
    positions = torch.tensor([[place for size in line for place in range(size)] for line in sizes])
    assert difference(models, input_ids=ids(len(sizes), 16), position_ids=positions) < 1e-5


def test_unpacked_rows_padded_rows_and_whole_masks_have_the_logits_of_sdpa(models):
    assert difference(models, input_ids=ids(2, 12)) < 1e-5
    padded = torch.tensor([[0] * 3 + [1] * 9, [1] * 12])
    assert difference(models, input_ids=ids(2, 12), attention_mask=padded) < 1e-5
    whole = torch.ones(12, 12, dtype=torch.bool).tril()[None, None]
    whole[..., 4:, 2] = False
    assert difference(models, input_ids=ids(1, 12), attention_mask=whole) < 1e-5


def test_gradients_are_those_of_sdpa(models):
    positions = torch.tensor([[*range(6), *range(10)]])
    found = []
    for model in models:
        weight = model.model.layers[0].self_attn.k_proj.weight
        loss = model(input_ids=ids(1, 16), position_ids=positions, use_cache=False).logits.logsumexp(-1).sum()
        found.append(torch.autograd.grad(loss, weight)[0])
    assert (found[0] - found[1]).abs().max() < 1e-4 * found[1].abs().max()


def test_rows_begin_where_positions_do_not_go_up_by_one_and_branches_share_what_the_last_root_began_with():
    spans = attention.spans(torch.tensor([0, 1, 2, 0, 0, 1]))
    assert [(span.begin, span.end, span.shared) for span in spans] == [(0, 3, 0), (3, 4, 0), (4, 6, 0)]
    branched = attention.spans(torch.tensor([0, 1, 0, 1, 2, 3, 2, 3, 2, 0]))
    assert [(span.begin, span.end, span.root, span.shared) for span in branched] == [
        (0, 2, 0, 0), (2, 6, 2, 0), (6, 8, 2, 2), (8, 9, 2, 2), (9, 10, 9, 0),
    ]  # fmt: skip
    (whole,) = attention.spans(torch.tensor([4, 5, 6]))  # nothing to go on from: a row of its own
    assert (whole.begin, whole.end, whole.shared) == (0, 3, 0)


def test_who_sees_whom_is_written_out_for_a_line_with_a_branch():
    allowed = attention.seen(torch.tensor([[0, 1, 2, 1, 2, 0]]))[0, 0].int().tolist()
    assert allowed == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],  # the branch sees the one token that it shares, and itself
        [1, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("how", ["sdpa", "eager"])
def test_branches_have_the_logits_of_any_attention_under_the_mask(models, how):
    positions = torch.tensor([[*range(6), *range(4, 9), *range(4, 6), *range(3)], [*range(9), *range(1, 8)]])
    other = attention.load(base(), torch.float32).eval()
    other.set_attn_implementation(how)
    assert attention.masks(models[0], positions) == {}
    assert attention.masks(other, torch.tensor([[*range(6), *range(4)]])) == {}  # rows alone it tells apart itself
    with torch.no_grad():
        inputs = {"input_ids": ids(2, 16), "position_ids": positions, "use_cache": False}
        first = models[0](**inputs).logits
        second = other(**inputs, **attention.masks(other, positions)).logits
        blind = other(**inputs).logits
    assert (first - second).abs().max() < 1e-5
    assert (first - blind).abs().max() > 1e-3


def test_models_whose_layers_do_not_all_see_everything_keep_their_own_attention(monkeypatch):
    assert attention.implementation(LlamaConfig()) == attention.implementation(Qwen2Config()) == attention.NAME
    assert attention.implementation(Gemma3TextConfig()) == "sdpa"
    assert attention.implementation(GptOssConfig()) == "eager"  # its sinks are in no kernel of SDPA
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert attention.implementation(LlamaConfig()) == "sdpa"


@pytest.mark.parametrize("kind", ["gemma3", "qwen2"])
def test_packed_rows_have_the_logits_that_they_have_alone_in_other_architectures_too(kind):
    if kind == "gemma3":  # one layer with a window of 8 and one that sees everything
        layers = ["sliding_attention", "full_attention"]
        config = Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=8, layer_types=layers)
    else:
        config = Qwen2Config(**SMALL)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.implementation(config)).eval()
    parts = [ids(1, size) for size in (12, 5, 20)]
    positions = torch.cat([torch.arange(part.shape[1]) for part in parts])[None]
    with torch.no_grad():
        packed = model(input_ids=torch.cat(parts, dim=1), position_ids=positions, use_cache=False).logits
        alone = torch.cat([model(input_ids=part, use_cache=False).logits for part in parts], dim=1)
    assert (packed - alone).abs().max() < 1e-5
    # a branch on the longest row, beyond the window of the layer that has one
    lines = [[*range(12), *range(20), *range(15, 20)]]
    stem, own = parts[2][:, :15], ids(1, 5)
    with torch.no_grad():
        positions = torch.tensor(lines)
        inputs = {"input_ids": torch.cat([parts[0], parts[2], own], dim=1), "position_ids": positions}
        branched = model(**inputs, **attention.masks(model, positions), use_cache=False).logits[:, -5:]
        whole = model(input_ids=torch.cat([stem, own], dim=1), use_cache=False).logits[:, -5:]
    assert (branched - whole).abs().max() < 1e-5


# bases that cannot keep rows apart


def random_model(config, how: str | None = None):
    """A random model of that configuration, in evaluation mode, with the attention that it is loaded with, or another."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation=how or attention.implementation(config)).eval()


def lines(*positions: list[int]) -> dict[str, torch.Tensor]:
    """A batch of lines with these position ids, whose tokens are all trained."""
    tokens = ids(len(positions), len(positions[0]))
    return {"input_ids": tokens, "labels": tokens, "position_ids": torch.tensor(positions)}


@pytest.mark.parametrize("kind", LEAKING)
def test_a_base_that_reads_one_row_from_another_is_refused_at_its_first_packed_line_and_at_every_other(tmp_path, kind):
    random_model(AutoConfig.for_model(kind, **SMALL, **LEAKING[kind])).save_pretrained(tmp_path / "odd-base")
    model = attention.load(tmp_path / "odd-base", torch.float32)
    model(**lines([*range(9)]))  # a row by itself it reads as well as any
    tuned = get_peft_model(model, LoraConfig(target_modules="all-linear"))
    for _ in range(2):
        with pytest.raises(
            BadInput, match=rf"odd-base \({kind}\) reads one row of a line from another. .* Choose a base"
        ):
            losses.token_nll(tuned, lines([*range(5), *range(4)]))


@pytest.mark.parametrize("kind", ["lfm2", "qwen3_5_text"])
def test_a_base_that_remembers_more_than_keys_and_values_does_not_speak(tmp_path, kind):
    folder = tmp_path / "odd-base"
    shutil.copytree(base(), folder)
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    random_model(AutoConfig.for_model(kind, **{**SMALL, "vocab_size": size}, **LEAKING[kind])).save_pretrained(folder)
    with pytest.raises(
        BadInput, match=rf"odd-base \({kind}\) has layers of the kind '(conv|linear_attention)'.* Choose a"
    ):
        LanguageModel.load(folder)
    for config in (GPT2Config(n_layer=1), Gemma3TextConfig(**SMALL), LlamaConfig(**SMALL)):
        decoding.check(SimpleNamespace(config=config), "plain-base")


@pytest.mark.parametrize(
    "config", [RwkvConfig(**WITHOUT_KINDS, context_length=8), xLSTMConfig(**WITHOUT_KINDS, num_heads=2)]
)
def test_a_recurrent_base_that_names_no_kinds_of_layers_does_not_speak_either(config):
    with pytest.raises(BadInput, match=rf"odd-base \({config.model_type}\) has recurrent layers"):
        decoding.check(AutoModelForCausalLM.from_config(config), "odd-base")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL),
        LlamaConfig(**SMALL, attention_dropout=0.3),
        Qwen2Config(**SMALL),
        Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=8, attention_dropout=0.3),
    ],
)
def test_bases_that_keep_rows_apart_have_no_fault_whatever_they_drop_and_in_any_precision(config, dtype):
    for how in (None, "sdpa"):
        assert attention.row_fault(random_model(config, how).to(dtype)) is None


@pytest.mark.parametrize(
    "config", [MistralConfig(**SMALL, sliding_window=4), Phi3Config(**SMALL, sliding_window=4, pad_token_id=0)]
)
def test_a_base_whose_layers_all_see_a_window_keeps_it_in_packed_lines(config):
    assert attention.row_fault(random_model(config, attention.implementation(config))) is None
    model = random_model(config, attention.implementation(config)).eval()
    line = ids(1, 9)
    other = torch.cat([(line[:, :1] + 1) % 200, line[:, 1:]], dim=1)
    with torch.no_grad():
        first, second = (model(input_ids=given, use_cache=False).logits[0, -1] for given in (line, other))
    assert torch.equal(
        first, second
    )  # three tokens a layer: through two the ninth hears of the third, not of the first


def test_a_base_is_tried_once_and_keeps_its_mode_and_torchs_random_numbers(monkeypatch):
    tried, of = [], attention.row_fault
    monkeypatch.setattr(attention, "row_fault", lambda model: tried.append(model) or of(model))
    model = attention.load(base(), torch.float32)
    model.config.attention_dropout = 0.5
    before = torch.get_rng_state()
    with torch.no_grad():
        for _ in range(3):
            losses.token_nll(model, lines([*range(9)]))
        assert tried == []
        for _ in range(3):
            losses.token_nll(model, lines([*range(5), *range(4)]))
    assert len(tried) == 1
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())


def test_dropping_attention_a_row_still_reads_itself_alone():
    model = random_model(LlamaConfig(**SMALL, attention_dropout=0.3)).train()
    batch, found = lines([*range(5), *range(6)]), []
    for first in (7, 8):
        batch["input_ids"][0, :5] = first
        torch.manual_seed(5)
        found.append(model(**batch).logits[0])
    assert torch.equal(found[0][5:], found[1][5:])
    assert not torch.equal(found[0][:5], found[1][:5])
    torch.manual_seed(6)
    assert not torch.equal(model(**batch).logits[0, 5:], found[1][5:])  # it does drop


def test_a_base_that_leaks_only_while_it_drops_attention_is_found(monkeypatch):
    config = LlamaConfig(**SMALL, attention_dropout=0.3)
    model, plain = random_model(config), attention.by_row

    def causal_where_it_drops(module, query, key, value, mask, **more):
        if more.get("dropout"):
            return attention.sdpa_attention_forward(module, query, key, value, mask, **more)
        return plain(module, query, key, value, mask, **more)

    assert attention.row_fault(model) is None
    monkeypatch.setitem(attention.AttentionInterface._global_mapping, attention.NAME, causal_where_it_drops)
    assert attention.row_fault(model) == "reads one row of a line from another"


def test_a_branch_that_does_not_read_its_stem_is_found(monkeypatch):
    model = random_model(LlamaConfig(**SMALL), "sdpa")
    monkeypatch.setattr(
        attention, "masks", lambda _model, _positions: {}
    )  # then transformers takes it for a row of its own
    assert attention.row_fault(model) == "reads one row of a line from another"


def test_a_base_that_takes_places_in_the_line_for_positions_is_found():
    model = random_model(AutoConfig.for_model("gpt2", **SMALL))
    inner, places = model.transformer.wpe.forward, torch.arange(64)
    model.transformer.wpe.forward = lambda positions: inner(places[None, : positions.shape[1]])
    assert attention.row_fault(model) == "gives a row of a line other logits than alone"
