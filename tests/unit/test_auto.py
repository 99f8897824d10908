"""What `auto` becomes: as much as fits, said and recorded, the same step for step, and the same after a kill."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from test_engine import STAGE, adapter_weights, fitted, model_with, token_rows
from tiny_training import base, write_data

from training import auto, command, engine, forecast, losses, machine, packing, preflight, record, sft
from training.command import Arguments
from training.config import CONFIGS, Lora, load_recipe
from training.forecast import Work
from training.machine import Machine
from training.rows import TokenRow
from twainbot.errors import BadConfig, BadUse

TINY = CONFIGS / "tiny" / "default.yaml"
OPEN = STAGE.model_copy(update={"micro_batch": "auto", "effective_batch": 12})
LORA = Lora(r=4, alpha=8, target_modules=("q_proj", "v_proj"))
WORK = Work(width=64, trained=16, tokens=640, trained_tokens=160, checked_tokens=64, epochs=1.0, evaluations=1)
LINES = [[TokenRow([5] * 64, [-100] * 48 + [5] * 16)]] * 12
PLAN = preflight.Plan(12, 12, 768, 192, epoch_steps=1, steps=2, too_long=0)


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def here(free: int, device: str = "cuda") -> Machine:
    return Machine(device, "a card", free, held_bytes=0)


def needed(rows: int, device: str = "cuda", **values) -> int:
    """Bytes that so many rows at once need."""
    settings = OPEN.model_copy(update={"micro_batch": rows, **values})
    return forecast.memory(forecast.shape_of(base()), WORK, settings, LORA, here(0, device)).needed


def settled(folder, monkeypatch, free: int, settings=OPEN, device: str = "cuda", said: list[str] | None = None):
    """Choose on a machine with so much free memory."""
    monkeypatch.setattr(machine, "here", lambda: here(free, device))
    monkeypatch.setattr(machine, "speed", lambda *_: machine.Speed(1e9, 1e9))
    folder.mkdir(exist_ok=True)
    report = quiet if said is None else said.append
    return auto.settle("sft", settings, LORA, base(), LINES, LINES[:1], PLAN, folder, report)


def seal(folder) -> None:
    """A checkpoint that a run may go on from."""
    (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1" / "sealed.json").write_text("{}")


@pytest.mark.parametrize(("room", "rows"), [(12, 12), (7, 6), (5, 4), (1, 1)])
def test_the_most_rows_that_divide_a_step_and_fit_go_at_once(tmp_path, monkeypatch, room, rows):
    # a tenth of what is free stays free
    box = settled(tmp_path, monkeypatch, int(needed(room) / 0.9) + 2)
    assert box.settings.rows_at_once == rows
    assert box.settings.accumulation * rows == 12


def test_a_cpu_takes_no_more_rows_than_fill_its_cores():
    wide = Work(**{**WORK.__dict__, "width": 600})
    assert auto.rows_at_once(OPEN, wide, here(2**40, "cpu")) == [3, 2, 1]  # 3 x 600 tokens; 4 would pass 2,048
    assert auto.rows_at_once(OPEN, wide, here(2**40, "cuda")) == [12, 6, 4, 3, 2, 1]


def test_several_processes_share_a_step_evenly(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert auto.rows_at_once(OPEN, WORK, here(2**40)) == [3, 1]


def test_several_processes_are_dealt_rows_and_time_before_anything_is_loaded(tmp_path, monkeypatch):
    said: list[str] = []
    settings = OPEN.model_copy(update={"micro_batch": 12})
    alone = settled(tmp_path / "a", monkeypatch, 2**40, settings).record
    monkeypatch.setenv("WORLD_SIZE", "4")
    each = settled(tmp_path / "b", monkeypatch, 2**40, settings, said=said).record
    assert (alone["chosen"]["micro_batch"], each["chosen"]["micro_batch"]) == (12, 3)
    assert "3 of 12 rows at once in each of 4 processes;" in said[0]
    assert each["forecast"]["activations_bytes"] == pytest.approx(alone["forecast"]["activations_bytes"] / 4, abs=1)
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(BadUse, match=r"to 5 processes\. Launch 4"):
        settled(tmp_path / "c", monkeypatch, 2**40)


def test_checkpointing_is_for_where_one_row_does_not_fit_without(tmp_path, monkeypatch):
    settings = OPEN.model_copy(update={"gradient_checkpointing": "auto"})
    plain, again = needed(1), needed(1, gradient_checkpointing=True)
    assert again < plain
    enough = settled(tmp_path / "a", monkeypatch, int(plain / 0.9) + 2, settings).settings
    tight = settled(tmp_path / "b", monkeypatch, int(again / 0.9) + 2, settings).settings
    assert (enough.gradient_checkpointing, enough.rows_at_once) == (False, 1)
    assert (tight.gradient_checkpointing, tight.rows_at_once) == (True, 1)


def test_what_can_never_fit_is_refused_with_what_would(tmp_path, monkeypatch):
    with pytest.raises(BadUse) as caught:
        settled(tmp_path, monkeypatch, needed(1, gradient_checkpointing=True) + 1)
    said = str(caught.value)
    assert "sft needs about" in said
    assert "for one row of 64 tokens at once" in said
    assert "free on a card. These would fit: gradient_checkpointing: true (" in said
    with pytest.raises(BadUse, match="Lower sequence_length, or take a larger machine"):
        settled(tmp_path, monkeypatch, 0)


def test_a_stage_that_cannot_fit_is_refused_before_its_weights_are_loaded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(machine, "available", lambda: 2**10)
    monkeypatch.setattr(engine, "load_base", lambda *_: pytest.fail("loaded"))
    arguments = Arguments(TINY, write_data(tmp_path / "data"), base(), tmp_path / "out")
    assert command.run(sft.main, arguments) == 2
    said = capsys.readouterr().err
    assert "sft needs about" in said
    assert "Traceback" not in said


def test_a_number_in_the_recipe_stands_even_where_the_forecast_doubts_it(tmp_path, monkeypatch):
    box = settled(tmp_path, monkeypatch, needed(3), OPEN.model_copy(update={"micro_batch": 4}))
    assert box.settings.rows_at_once == 4  # should it be too many, the loop halves it


def test_the_choice_and_the_forecast_are_said_in_a_line(tmp_path, monkeypatch):
    said: list[str] = []
    settled(tmp_path, monkeypatch, 2**40, said=said)
    assert len(said) == 1
    assert said[0].startswith("sft: fp32, 12 of 12 rows at once; forecast 0.0 GiB (")
    assert said[0].endswith("s on a card")
    settled(
        tmp_path, monkeypatch, 2**40, OPEN.model_copy(update={"quantization": "nf4", "precision": "bf16"}), said=said
    )
    assert "sft: bf16, base in nf4, 12 of 12" in said[1]


def test_precision_is_asked_of_the_machine_only_where_the_recipe_leaves_it_open(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "faster", lambda *_: "bf16")
    assert settled(tmp_path, monkeypatch, 2**40).settings.precision == "fp32"
    left_open = OPEN.model_copy(update={"precision": "auto"})
    assert settled(tmp_path, monkeypatch, 2**40, left_open).settings.precision == "bf16"


def test_a_run_that_goes_on_keeps_its_choice_on_a_machine_that_would_choose_another(tmp_path, monkeypatch):
    left_open = OPEN.model_copy(update={"precision": "auto"})
    monkeypatch.setattr(machine, "faster", lambda *_: "bf16")
    first = settled(tmp_path, monkeypatch, 2**40, left_open)
    monkeypatch.setattr(machine, "faster", lambda *_: "fp32")
    unsealed = settled(tmp_path, monkeypatch, 2**40, left_open)
    assert unsealed.settings.precision == "fp32"  # nothing to go on from: a new start chooses anew
    auto.note(tmp_path, first.settings)
    seal(tmp_path)
    later = settled(tmp_path, monkeypatch, int(needed(1) / 0.9) + 2, left_open)
    assert later.record["chosen"] == first.record["chosen"]
    assert (later.settings.precision, later.settings.rows_at_once) == ("bf16", 12)


def test_after_memory_ran_out_a_run_that_goes_on_starts_with_fewer_rows(tmp_path, monkeypatch):
    box = settled(tmp_path, monkeypatch, 2**40)
    auto.note(tmp_path, engine._smaller(box.settings))
    seal(tmp_path)
    assert settled(tmp_path, monkeypatch, 2**40).settings.rows_at_once == 6


def test_a_choice_not_yet_made_is_not_guessed():
    with pytest.raises(BadUse, match="micro_batch=auto is not chosen yet"):
        _ = OPEN.accumulation


# in a recipe


def recipe_with(folder, **values):
    raw = yaml.safe_load(TINY.read_text())
    raw["sft"].update(values)
    path = folder / "tiny" / "changed.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"micro_batch": "most"}, "sft.micro_batch"),
        ({"micro_batch": 0}, "sft.micro_batch"),
        ({"precision": "fp16"}, "sft.precision"),
        ({"quantization": "fp4"}, "sft.quantization"),
        ({"gradient_checkpointing": "sometimes"}, "sft.gradient_checkpointing"),
    ],
)
def test_what_is_neither_a_value_nor_auto_is_refused(tmp_path, values, named):
    with pytest.raises(BadConfig, match=named):
        load_recipe(recipe_with(tmp_path, **values))


@pytest.mark.slow
def test_a_stage_left_open_trains_and_records_what_it_chose_beside_what_it_took(tmp_path):
    recipe = recipe_with(tmp_path, micro_batch="auto", gradient_checkpointing="auto", max_steps=2)
    said: list[str] = []
    done = sft.main(Arguments(recipe, write_data(tmp_path / "data"), base(), tmp_path / "out"), said.append)
    assert done["chosen"] == {
        "precision": "fp32", "quantization": "none", "micro_batch": done["micro_batch"],
        "gradient_checkpointing": False,
    }  # fmt: skip
    assert done["forecast"]["memory_bytes"] > 0
    assert done["peak_memory_bytes"] > 0
    taken = done["usage"]["device_peak_mib"] or done["usage"]["peak_rss_mib"]
    assert taken == pytest.approx(done["peak_memory_bytes"] / 2**20, rel=0.02)
    assert [line for line in said if "forecast" in line]
    assert record.read(tmp_path / "out") == done
    # the fingerprint is of the recipe's text: what it became here is not in it
    assert done["config_sha256"] == load_recipe(recipe).stage_hash("sft")


@pytest.mark.slow
@pytest.mark.parametrize(("micro", "checkpointing"), [(2, False), (4, False), (8, False), (1, True), (4, True)])
def test_whatever_is_chosen_the_weights_are_those_of_one_row_at_a_time(tmp_path, micro, checkpointing):
    eight = STAGE.model_copy(update={"effective_batch": 8, "sequence_length": 340})
    one, _ = fitted(tmp_path / "one", eight, model=model_with())
    stage = eight.model_copy(update={"micro_batch": micro, "gradient_checkpointing": checkpointing})
    model = engine.with_adapter(engine.load_base(base(), stage, 7), load_recipe(TINY).lora, stage, None)
    other, _ = fitted(tmp_path / "other", stage, model=model)
    assert (adapter_weights(one) - adapter_weights(other)).abs().max() < 1e-5


# 4 and 8 bits


def test_quantization_without_its_library_names_what_to_install(monkeypatch):
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(BadUse, match=r"quantization=nf4 packs weights with bitsandbytes, .*pip install"):
        engine.load_base(base(), STAGE.model_copy(update={"quantization": "nf4"}), 0)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_base_of_few_bits_trains_and_publishes_a_plain_adapter(tmp_path, quantization):
    pytest.importorskip("bitsandbytes", reason="the extra `gpu` brings it")
    recipe = recipe_with(tmp_path, quantization=quantization, max_steps=3, gradient_checkpointing=True)
    done = sft.main(Arguments(recipe, write_data(tmp_path / "data"), base(), tmp_path / "out"), quiet)
    assert done["chosen"]["quantization"] == quantization
    assert done["metrics"]["validation_loss_after"] < done["metrics"]["validation_loss_before"]
    plain = engine.load_base(base(), STAGE, 0)
    from peft import PeftModel

    tuned = PeftModel.from_pretrained(plain, str(tmp_path / "out" / "adapter"))
    kinds = {type(module).__name__ for module in tuned.modules()}
    assert not kinds & {"Linear4bit", "Linear8bitLt"}
    config = json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())
    assert config["target_modules"]
    assert torch.isfinite(adapter_weights_of(tuned)).all()


@pytest.mark.slow
def test_gradients_in_four_bits_are_the_same_after_the_model_was_scored():
    # bitsandbytes repacks weights that it meets in evaluation on a CPU with bf16, and nothing flows back through those
    pytest.importorskip("bitsandbytes", reason="the extra `gpu` brings it")
    stage = STAGE.model_copy(update={"quantization": "nf4"})
    model = engine.with_adapter(engine.load_base(base(), stage, 7), load_recipe(TINY).lora, stage, None)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.01)
    batch = packing.collate([token_rows()[:1]], 2)

    def gradients() -> torch.Tensor:
        model.train()
        model.zero_grad()
        losses.token_nll(model, batch)[0].sum().backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad])

    before = gradients().clone()
    engine.mean_nll(model, [token_rows()[:1]], 2)
    assert before.abs().max() > 0
    assert torch.equal(gradients(), before)


def adapter_weights_of(model) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for name, weight in model.named_parameters() if "lora_" in name])
