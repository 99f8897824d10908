"""The loaded model: batches change nothing, the adapter can be switched off, likelihoods are exact."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import torch
from tiny_training import TEXTS, base, small_talk, weather_talk

from resources.language_model import LanguageModel, Likelihood
from resources.tokenizer import load_tokenizer
from training import engine, record
from training.base_model import TINY, describe, prepare
from training.config import CONFIGS, load_recipe
from training.decoding import greedy
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import BadInput, MissingModel

PROMPTS = [weather_talk("Reno")[:1], small_talk(1)[:1], [{"role": "user", "content": "Hello. " * 20}]]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A random adapter, large enough to change what the model says."""
    folder = tmp_path_factory.mktemp("adapter")
    recipe = load_recipe(CONFIGS / "tiny" / "default.yaml")
    model = engine.with_adapter(engine.load_base(base(), recipe.sft, 1), recipe.lora, recipe.sft, None)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.5)
    info = describe(base())
    record.publish(model, folder, {"base": info.name, "base_revision": info.revision})
    return folder / "adapter"


@pytest.fixture(scope="module")
def plain():
    return LanguageModel.load(base())


@pytest.fixture(scope="module")
def adapted(adapter):
    return LanguageModel.load(base(), adapter)


def test_left_padding_leaves_every_reply_as_it_is_alone(plain):
    together = plain.generate(PROMPTS, TOOLS, max_new_tokens=8, batch_size=3)
    alone = [plain.generate([prompt], TOOLS, max_new_tokens=8)[0] for prompt in PROMPTS]
    assert together == alone
    assert plain.generate(list(reversed(PROMPTS)), TOOLS, max_new_tokens=8, batch_size=2) == alone[::-1]


def test_every_reply_is_the_one_that_generate_gives(adapted):
    prompts = [
        adapted._ids("The river " * n) + adapted._ids(text) for n, text in ((1, TEXTS[0]), (1, TEXTS[1]), (4, "A"))
    ]
    found = greedy(adapted.model, prompts, eos_id=adapted.eos_id, max_new_tokens=12, batch_size=2)
    for prompt, reply in zip(prompts, found, strict=True):
        out = adapted.model.generate(
            input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False,
            max_new_tokens=12, eos_token_id=adapted.eos_id, pad_token_id=adapted.eos_id,
        )[0, len(prompt):].tolist()  # fmt: skip
        assert reply == (out[: out.index(adapted.eos_id)] if adapted.eos_id in out else out)


def test_a_row_that_ends_leaves_its_batch_and_the_others_go_on(plain):
    prompts = [plain._ids(text) for text in TEXTS]
    whole = greedy(plain.model, prompts, eos_id=2, max_new_tokens=10, batch_size=3)
    end = whole[1][4]  # as if this token ended a turn
    expected = [reply[: reply.index(end)] if end in reply else reply for reply in whole]
    assert greedy(plain.model, prompts, eos_id=end, max_new_tokens=10, batch_size=3) == expected
    assert len(expected[1]) <= 4
    assert greedy(plain.model, [], eos_id=2, max_new_tokens=4, batch_size=2) == []


def test_a_row_that_needs_no_more_stops_and_keeps_what_it_has(plain):
    prompts = [plain._ids(text) for text in TEXTS]
    whole = greedy(plain.model, prompts, eos_id=2, max_new_tokens=8, batch_size=3)

    def three(ids):
        return len(ids) == 3 and ids == whole[1][:3]

    found = greedy(plain.model, prompts, eos_id=2, max_new_tokens=8, batch_size=3, ended=three)
    assert found == [reply[:3] if reply[:3] == whole[1][:3] else reply for reply in whole]


def test_raw_text_goes_on_without_a_template_and_stops_where_it_is_told(adapted):
    def goes_on(adapter, batch, ended=None):
        return adapted.complete(TEXTS, max_new_tokens=8, batch_size=batch, adapter=adapter, ended=ended)

    ids = greedy(adapted.model, [adapted._ids(TEXTS[0])], eos_id=adapted.eos_id, max_new_tokens=8, batch_size=1)
    assert goes_on(True, 1)[0] == adapted.tokenizer.decode(ids[0], skip_special_tokens=True)
    assert goes_on(True, 1) == goes_on(True, 3)
    assert goes_on(True, 3) != goes_on(False, 3)
    once = goes_on(True, 3, ended=lambda text: True)
    assert all(
        long.startswith(short) and len(short) < len(long) for short, long in zip(once, goes_on(True, 3), strict=True)
    )


def test_a_merged_adapter_speaks_as_the_one_beside_its_base(adapter, adapted):
    merged = LanguageModel.load(base(), adapter, merged=True)
    assert merged.has_adapter is False
    assert merged.generate(PROMPTS, TOOLS, max_new_tokens=8) == adapted.generate(PROMPTS, TOOLS, max_new_tokens=8)
    assert merged.perplexity(TEXTS).nll == pytest.approx(adapted.perplexity(TEXTS).nll, rel=1e-4)


def test_texts_scored_together_have_the_likelihoods_that_they_have_alone(adapted):
    texts = [*TEXTS, "", "A"]
    for on in (True, False):
        together = adapted.likelihoods(texts, adapter=on, window=16)
        alone = [adapted.likelihoods([text], adapter=on, window=16)[0] for text in texts]
        for one, other in zip(together, alone, strict=True):
            assert (one.tokens, one.bytes) == (other.tokens, other.bytes)
            assert one.nll == pytest.approx(other.nll, rel=1e-4)


def test_switching_the_adapter_off_gives_the_base_back(plain, adapted):
    spoken = plain.generate(PROMPTS, TOOLS, max_new_tokens=8)
    assert adapted.generate(PROMPTS, TOOLS, max_new_tokens=8, adapter=False) == spoken
    assert adapted.generate(PROMPTS, TOOLS, max_new_tokens=8) != spoken
    assert adapted.perplexity(TEXTS, adapter=False) == plain.perplexity(TEXTS)
    assert adapted.perplexity(TEXTS) != plain.perplexity(TEXTS)


def test_asking_for_nothing_gives_nothing(plain):
    assert plain.generate([], TOOLS) == []
    assert plain.perplexity([]) == Likelihood(0.0, 0, 0)


def test_perplexity_is_the_hand_computed_one(plain):
    ids = torch.tensor([load_tokenizer(base()).encode(TEXTS[0], add_special_tokens=False).ids])
    with torch.no_grad():
        logps = plain.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    nll = -float(logps.gather(1, ids[0, 1:, None]).sum())
    found = plain.perplexity([TEXTS[0]])
    assert found.tokens == ids.shape[1] - 1
    assert found.nll == pytest.approx(nll, rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(nll / found.tokens), rel=1e-5)
    assert found.bits_per_byte == pytest.approx(nll / math.log(2) / len(TEXTS[0].encode()), rel=1e-5)


def test_texts_are_weighed_by_their_tokens(plain):
    parts = [plain.perplexity([text]) for text in TEXTS]
    whole = plain.perplexity(TEXTS)
    assert whole.tokens == sum(part.tokens for part in parts)
    assert whole.nll == pytest.approx(sum(part.nll for part in parts), rel=1e-5)


def test_each_window_starts_afresh(plain):
    tokens = plain.count_tokens(TEXTS[0])
    assert plain.perplexity([TEXTS[0]], window=10).tokens == tokens - math.ceil(tokens / 10)


def test_answer_loss_counts_only_what_the_assistant_says(plain):
    found = plain.answer_loss([(small_talk(1), TOOLS)])
    assert found.tokens == plain.count_tokens("I was one once.") + 1  # and the end of turn
    assert found.bytes == len("I was one once.")


def test_completion_likelihood_is_per_item_and_depends_on_the_prompt(plain):
    first, second = plain.completion_nll(["def f():\n", "class A:\n"], ["    return 1\n"] * 2)
    assert first.tokens == second.tokens == plain.count_tokens("    return 1\n")
    assert first.nll != second.nll
    assert first.bytes == 13
    with pytest.raises(ValueError, match="shorter"):
        plain.completion_nll(["a", "b"], ["c"])


def test_no_text_has_no_loss():
    assert math.isnan(Likelihood(0.0, 0, 0).loss)
    assert math.isnan(Likelihood(0.0, 0, 0).bits_per_byte)
    assert Likelihood(2 * math.log(2), 2, 1).perplexity == pytest.approx(2.0)


def test_a_folder_that_is_no_base_or_no_adapter_is_refused(tmp_path):
    with pytest.raises(MissingModel, match=r"base\.json"):
        LanguageModel.load(tmp_path)
    with pytest.raises(MissingModel, match=r"adapter_config\.json"):
        LanguageModel.load(base(), tmp_path)


def test_an_adapter_of_another_base_does_not_speak(adapter, tmp_path):
    other = prepare(TINY, tmp_path, texts=TEXTS, seed=1)
    with pytest.raises(BadInput, match="tiny-random at revision seed-0, and the base here is tiny-random at seed-1"):
        LanguageModel.load(other, adapter)


def test_importing_the_doors_imports_no_heavy_library(root):
    heavy = ["torch", "transformers", "peft", "mlflow"]
    names = ["language_model", "tokenizer", "tracking", "trainer", "with_parent"]
    code = f"import sys, json; import {', '.join('resources.' + name for name in names)}; "
    code += f"print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
