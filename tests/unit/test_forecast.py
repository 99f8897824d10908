"""The forecast: its counts are those of autograd's own saved tensors, its parts add up, and what is measured is measured."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from tiny_training import base
from transformers import GptOssConfig, LlamaConfig, LlamaForCausalLM

from training import attention, forecast, machine, preflight
from training.config import Lora, Stage
from training.forecast import Shape, Work
from training.machine import Machine, Speed
from training.rows import TokenRow

STAGE = Stage(
    learning_rate=1e-3, sequence_length=64, micro_batch=1, effective_batch=8, checkpoint_steps=1, minimum_steps=1
)
HERE = Machine("cpu", "this CPU", free_bytes=2**34, held_bytes=2**29)
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
EVERYWHERE = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
WORK = Work(
    width=64, trained=16, tokens=6400, trained_tokens=1600, checked_tokens=640, epochs=2.0, evaluations=2
)  # fmt: skip


def llama(layers: int, **values) -> LlamaConfig:
    """48 wide, 4 heads of 12 over 2 of keys, 128 in the MLP."""
    return LlamaConfig(
        vocab_size=96, hidden_size=48, intermediate_size=128, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, **values,
    )  # fmt: skip


def shape(folder, config) -> Shape:
    config.save_pretrained(folder)
    return forecast.shape_of(folder)


def saved_bytes(layers: int, lora: Lora, dtype: torch.dtype, tokens: int = 32) -> int:
    """What autograd keeps of a line of two rows for the backward pass, parameters left out."""
    config = llama(layers)
    config._attn_implementation = attention.NAME
    model = LlamaForCausalLM(config).to(dtype)
    peft = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.target_modules)
    )
    model = get_peft_model(model, peft).train()
    known = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in known:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    places = torch.cat([torch.arange(tokens // 2)] * 2)[None]
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        model(input_ids=torch.ones_like(places), position_ids=places, use_cache=False, logits_to_keep=1)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("targets", [ATTENTION, EVERYWHERE])
@pytest.mark.parametrize("dropout", [0.0, 0.05])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_layer_is_counted_as_autograd_keeps_it(tmp_path, precision, dropout, targets):
    lora = Lora(r=4, alpha=8, dropout=dropout, target_modules=targets)
    stage = STAGE.model_copy(update={"precision": precision})
    dtype = machine.DTYPES[precision]
    layer = saved_bytes(3, lora, dtype) - saved_bytes(2, lora, dtype)
    casts = 2 * shape(tmp_path, llama(1)).adapter(lora) if precision == "bf16" else 0  # counted with the adapter
    assert forecast._per_token(shape(tmp_path, llama(1)), stage, lora, "cpu") == pytest.approx(
        (layer - casts) / 32, rel=0.02
    )


def test_the_shape_is_read_off_the_configuration_without_weights(tmp_path):
    found = shape(tmp_path, llama(3, tie_word_embeddings=True))
    layer = 48 * 48 * 2 + 48 * 24 * 2 + 3 * 48 * 128  # q and o, k and v, the MLP
    assert found.packed == found.active == 3 * layer
    assert found.parameters == 3 * layer + 96 * 48 + 7 * 48  # tied embeddings once, two norms a layer and the last
    assert (found.query, found.key, found.inner, found.layers, found.eager) == (48, 24, 128, 3, False)
    assert found.adapter(Lora(r=2, alpha=4, target_modules=("q_proj", "k_proj"))) == 3 * 2 * (48 + 48 + 48 + 24)
    untied = shape(tmp_path / "untied", llama(3, tie_word_embeddings=False))
    assert untied.parameters == found.parameters + 96 * 48


def test_of_a_mixture_of_experts_a_token_passes_through_those_chosen(tmp_path):
    config = GptOssConfig(
        vocab_size=96, hidden_size=32, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, num_local_experts=8, num_experts_per_tok=2,
    )  # fmt: skip
    found = shape(tmp_path, config)
    experts = 2 * 8 * (32 * 32 + 32 + 16 * 32 + 32)  # layers x experts x (gate and up with bias, down with bias)
    assert found.active == found.packed + experts // 4
    assert found.inner == 2 * 16
    assert found.eager


def test_smollm2_has_the_figures_that_the_notes_measured(tmp_path):
    config = LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, tie_word_embeddings=True,
    )  # fmt: skip
    found = shape(tmp_path, config)
    stages = {name: STAGE.model_copy(update={"quantization": name}) for name in ("none", "nf4", "int8")}
    mib = {name: forecast.weights(found, stage) / 2**20 for name, stage in stages.items()}
    assert mib == {
        "none": pytest.approx(513, abs=1),
        "nf4": pytest.approx(160, abs=1),
        "int8": pytest.approx(209, abs=1),
    }


@given(rows=st.sampled_from([1, 2, 4]), width=st.integers(16, 512), trained=st.integers(1, 16))
def test_more_at_once_never_takes_less_and_the_parts_add_up(rows, width, trained):
    found, work = forecast.shape_of(base()), Work(width, trained, 100, 10, 10, 1.0, 1)
    lora = Lora(r=4, alpha=8, target_modules=("q_proj",))
    small = forecast.memory(found, work, STAGE.model_copy(update={"micro_batch": rows}), lora, HERE)
    large = forecast.memory(found, work, STAGE.model_copy(update={"micro_batch": 2 * rows}), lora, HERE)
    assert small.total < large.total
    assert small.needed == small.weights + small.adapter + small.activations + small.logits == small.total - 2**29


def test_checkpointing_takes_less_memory_and_more_time(tmp_path):
    found, lora = shape(tmp_path, llama(12)), Lora(target_modules=EVERYWHERE)
    plain, again = STAGE, STAGE.model_copy(update={"gradient_checkpointing": True})
    assert (
        forecast.memory(found, WORK, again, lora, HERE).needed < forecast.memory(found, WORK, plain, lora, HERE).needed
    )
    speed = Speed(flops=1e9, moved=1e18)
    times = [forecast.seconds(found, WORK, stage, lora, speed, "cpu") for stage in (plain, again)]
    assert 1.2 < times[1] / times[0] < 1.5  # one more forward pass of three


def test_time_is_four_operations_a_weight_and_token(tmp_path):
    found = shape(tmp_path, llama(2))
    lora = Lora(r=1, alpha=2, target_modules=("k_proj",))
    work = Work(width=1, trained=1, tokens=1000, trained_tokens=0, checked_tokens=0, epochs=1.0, evaluations=1)
    took = forecast.seconds(found, work, STAGE, lora, Speed(flops=1.0, moved=float("inf")), "cpu")
    adapter = 2 * (48 + 24)
    wanted = 1000 * (4 * found.active + 6 * adapter + 4 * 2 * 48) / 0.7
    assert took == pytest.approx(wanted)


def test_the_work_is_counted_by_lines():
    rows = [TokenRow([1, 2, 3], [-100, 2, 3]), TokenRow([4, 5], [-100, 5])]
    planned = preflight.Plan(2, 2, 5, 3, epoch_steps=2, steps=5, too_long=0)
    work = forecast.work_of([rows, rows[:1]], [rows[1:]], planned)
    assert (work.width, work.trained, work.tokens, work.trained_tokens, work.checked_tokens) == (5, 3, 8, 5, 2)
    assert (work.epochs, work.evaluations) == (2.5, 3)


def test_several_processes_share_the_time_of_training_not_that_of_validating(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    planned = preflight.Plan(2, 2, 5, 3, epoch_steps=2, steps=4, too_long=0)
    work = forecast.work_of([[TokenRow([1, 2], [-100, 2])]], [[TokenRow([1, 2], [-100, 2])]], planned)
    assert (work.epochs, work.evaluations) == (0.5, 2)


# the machine


def cgroup(folder, **files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_cgroup_leaves_what_its_limit_and_its_parents_leave(tmp_path):
    (tmp_path / "membership").write_text("0::/slice/job\n")
    root = tmp_path / "cgroup"
    cgroup(root / "slice", memory__max="1000\n", memory__current="700\n", memory__stat="inactive_file 50\nanon 3\n")
    cgroup(root / "slice" / "job", memory__max="max\n", memory__current="600\n")
    assert machine.cgroup_room(tmp_path / "membership", root) == [350]


def test_a_cgroup_of_the_first_version_is_read_too(tmp_path):
    (tmp_path / "membership").write_text("5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n")
    root = tmp_path / "cgroup"
    # inside a container the host's path does not exist; the limit stands at the top
    cgroup(root / "memory", memory__limit_in_bytes="900", memory__usage_in_bytes="500",
           memory__stat="total_inactive_file 100\n")  # fmt: skip
    assert machine.cgroup_room(tmp_path / "membership", root) == [500]


def test_where_nothing_limits_memory_the_machine_does(tmp_path):
    assert machine.cgroup_room(tmp_path / "none", tmp_path) == []
    here = machine.here()
    assert here.free_bytes > 0
    assert here.device == "cpu" or torch.cuda.is_available()


@pytest.mark.parametrize(("bf16", "chosen"), [(3.0, "bf16"), (1.2, "fp32"), (0.1, "fp32")])
def test_a_cpu_takes_bf16_only_where_it_is_worth_the_rounding(monkeypatch, bf16, chosen):
    monkeypatch.setattr(machine, "has_bf16", lambda: True)
    rates = {"fp32": 1.0, "bf16": bf16}
    monkeypatch.setattr(machine, "speed", lambda linears, name, device: Speed(rates[name], 1.0))
    assert machine.faster({(8, 8): 1}, "cpu") == chosen


@pytest.mark.parametrize(("count", "arithmetic"), [("4", True), ("1", False)])
def test_no_cpu_chooses_what_its_other_processes_or_its_loading_may_refuse(monkeypatch, count, arithmetic):
    monkeypatch.setenv("WORLD_SIZE", count)
    monkeypatch.setattr(machine, "has_bf16", lambda: arithmetic)
    monkeypatch.setattr(machine, "speed", lambda linears, name, device: Speed(9.0 if name == "bf16" else 1.0, 1.0))
    assert machine.faster({(8, 8): 1}, "cpu") == "fp32"


def test_rates_are_measured_and_are_numbers():
    found = machine.speed({(64, 64): 2, (64, 128): 1}, "fp32", "cpu")
    assert 0 < found.flops < 1e15
    assert 0 < found.moved < 1e15


@pytest.mark.skipif(torch.cuda.is_available(), reason="counts the process's own memory")
def test_the_peak_is_of_what_came_after_it_was_forgotten():
    big = torch.ones(2**26)  # 256 MiB
    del big
    machine.forget_peak()
    low = machine.peak()
    kept = torch.ones(2**24)  # 64 MiB
    assert machine.peak() >= low + 0.9 * kept.nbytes


@pytest.mark.parametrize(("system", "unit"), [("darwin", 1), ("freebsd", 1024)])
def test_without_proc_the_peak_is_in_the_systems_own_unit(monkeypatch, system, unit):
    def absent(*_given, **_named):
        raise FileNotFoundError

    monkeypatch.setattr(machine.Path, "read_text", absent)
    monkeypatch.setattr(machine.sys, "platform", system)
    monkeypatch.setattr(machine.resource, "getrusage", lambda _who: SimpleNamespace(ru_maxrss=1000))
    assert machine.peak_held() == 1000 * unit


def test_what_is_noted_can_be_written_as_json():
    found = forecast.memory(forecast.shape_of(base()), WORK, STAGE, Lora(), HERE)
    noted = json.loads(json.dumps(forecast.noted(found, 12.34)))
    assert noted["memory_bytes"] == found.total
    assert noted["duration_s"] == 12.34
    assert set(noted) >= {"process_bytes", "weights_bytes", "adapter_bytes", "activations_bytes", "logits_bytes"}
