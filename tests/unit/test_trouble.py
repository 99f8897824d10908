"""Full disk, no memory, two trainings at once: one sentence with the repair, and what was good before is still good."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import yaml
from test_engine import PAD, STAGE, adapter_weights, fitted, model_with, token_rows
from tiny_training import base, write_data

from training import command, dapt, engine, losses, packing, preflight, record, sft, trouble, watch
from training.command import Arguments
from training.config import CONFIGS
from training.rows import Loaded
from twainbot.errors import BadUse, TwainBotError

TINY = CONFIGS / "tiny" / "default.yaml"


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


# memory


def starved(work, stage, room: int, said: list[str], *, after: int = 2):
    """Train where a micro batch of more than `room` lines does not fit, after so many that did."""
    lines = packing.pack(token_rows(), stage.sequence_length)
    planned = preflight.plan(stage, Loaded(token_rows()), token_rows(), len(lines))
    loss, calls = losses.token_loss(), []

    def loss_of(model, batch, items):
        calls.append(len(batch["input_ids"]))
        if len(calls) > after and len(batch["input_ids"]) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return loss(model, batch, items)

    model = model_with()
    objective = engine.Objective(
        collate=lambda batch: packing.collate(batch, PAD),
        loss_of=loss_of,
        score=lambda: engine.mean_nll(model, lines, PAD),
    )
    work.mkdir(parents=True, exist_ok=True)
    return model, engine.fit(model, lines, stage, planned, objective, engine.Run("sft", 3, work, said.append))


@pytest.mark.slow
def test_where_memory_runs_out_half_as_many_rows_at_once_end_in_the_same_weights(tmp_path):
    stage = STAGE.model_copy(update={"micro_batch": 2, "effective_batch": 2, "checkpoint_steps": 50})
    said: list[str] = []
    model, done = starved(tmp_path / "starved", stage, 1, said)
    assert "memory ran out with micro_batch=2; once more with 1" in said
    assert done.micro_batch == 1
    assert [point["step"] for point in done.loss_curve] == list(range(1, done.steps + 1))
    plain, whole = fitted(tmp_path / "plain", stage, model=model_with())
    assert whole.micro_batch == 2
    assert (adapter_weights(model) - adapter_weights(plain)).abs().max() < 1e-5


@pytest.mark.slow
def test_memory_that_is_still_too_little_stops_without_a_third_try(tmp_path):
    stage = STAGE.model_copy(update={"micro_batch": 4, "effective_batch": 4})
    said: list[str] = []
    with pytest.raises(torch.OutOfMemoryError):
        starved(tmp_path, stage, 0, said, after=0)
    assert [line for line in said if "memory" in line] == ["memory ran out with micro_batch=4; once more with 2"]


@pytest.mark.parametrize(
    ("micro", "effective", "expected"), [(8, 128, 4), (5, 5, 1), (6, 6, 3), (3, 9, 1), (1, 4, None)]
)
def test_the_smaller_batch_divides_the_step(micro, effective, expected):
    stage = STAGE.model_copy(update={"micro_batch": micro, "effective_batch": effective})
    smaller = engine._smaller(stage)
    assert (smaller and smaller.micro_batch) == expected


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_want_of_memory_is_known_in_every_form(error):
    assert trouble.out_of_memory(error)
    assert not trouble.disk_full(error)


def test_a_stage_out_of_memory_is_one_sentence_with_the_repairs(tmp_path, monkeypatch, capsys):
    def no_room(*_args, **_more):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")

    monkeypatch.setattr(engine, "mean_nll", no_room)
    arguments = Arguments(TINY, write_data(tmp_path / "data"), base(), tmp_path / "out")
    assert command.run(sft.main, arguments) == 1
    said = capsys.readouterr().err
    assert "Memory ran out: CUDA out of memory. Tried to allocate 2.00 GiB." in said
    assert "Last good checkpoint: none yet. Lower micro_batch or sequence_length" in said
    assert "Traceback" not in said


def test_a_want_of_memory_without_words_is_one_sentence_too(tmp_path):
    @trouble.guarded
    def main(_arguments, _report):
        raise MemoryError

    arguments = Arguments(TINY, tmp_path, tmp_path, tmp_path / "out")
    with pytest.raises(TwainBotError, match=r"Memory ran out: MemoryError\. Last good checkpoint: none yet\."):
        main(arguments, quiet)


# disk


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(122, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc:815] PytorchStreamWriter failed writing file data/1"),
        ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_known_in_every_form(error):
    assert trouble.disk_full(error)
    assert not trouble.out_of_memory(error)


@pytest.mark.slow
def test_a_disk_full_at_a_checkpoint_leaves_the_one_before_and_a_rerun_ends_in_the_same_weights(tmp_path, monkeypatch):
    data, whole = write_data(tmp_path / "data"), torch.save

    def fills_up(value, path, *args, **more):
        if "checkpoint-4" in str(path):
            raise OSError(28, "No space left on device")
        return whole(value, path, *args, **more)

    recipe = changed(tmp_path, effective_batch=2, epochs=3)
    arguments = Arguments(recipe, data, base(), tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", fills_up)
        with pytest.raises(TwainBotError, match=r"No space is left .* Last good checkpoint: checkpoint-2\. Free some"):
            sft.main(arguments, quiet)
    assert not (tmp_path / "out" / "record.json").exists()
    resumed = sft.main(arguments, quiet)
    assert resumed["resumed_from"] == 2
    unbroken = sft.main(Arguments(recipe, data, base(), tmp_path / "unbroken"), quiet)
    assert resumed["adapter_sha256"] == unbroken["adapter_sha256"]


@pytest.mark.slow
def test_a_disk_full_while_publishing_keeps_the_adapter_before(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data")
    arguments = Arguments(TINY, data, base(), tmp_path / "out")
    before = dapt.main(arguments, quiet)

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(record, "_name_base", full)
        with pytest.raises(TwainBotError, match="No space is left"):
            dapt.main(arguments, quiet)
    assert record.read(tmp_path / "out") == before


# two at once


@pytest.mark.slow
def test_a_second_training_in_the_same_folder_is_refused_and_the_first_goes_on(tmp_path):
    data = write_data(tmp_path / "data")
    arguments = Arguments(TINY, data, base(), tmp_path / "out")
    refused = []

    def report(line: str) -> None:
        if not refused:
            with pytest.raises(BadUse, match=r"Another training is on in .*out\. Wait for it or end it") as caught:
                sft.main(arguments, quiet)
            refused.append(caught.value)

    done = sft.main(arguments, report)
    assert refused
    assert record.read(tmp_path / "out") == done


def test_a_killed_training_leaves_the_folder_free(tmp_path):
    hold = f"with alone(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    held = f"import time; from pathlib import Path; from training.trouble import alone\n{hold}"
    child = subprocess.Popen([sys.executable, "-c", held], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    with pytest.raises(BadUse), trouble.alone(tmp_path):
        pass
    child.kill()
    child.wait()
    with trouble.alone(tmp_path):
        assert list(tmp_path.iterdir()) == []  # holding it leaves no file


def test_other_processes_of_one_training_do_not_shut_each_other_out(tmp_path, monkeypatch):
    with trouble.alone(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with trouble.alone(tmp_path):
            pass


def test_an_error_of_another_kind_keeps_its_class(tmp_path):
    @trouble.guarded
    def broken(_arguments, _report):
        raise ZeroDivisionError("by nothing")

    with pytest.raises(ZeroDivisionError):
        broken(Arguments(TINY, tmp_path, base(), tmp_path / "out"), quiet)


# what a base or a dialogue may lack


def changed(folder, **values):
    raw = yaml.safe_load(TINY.read_text())
    raw["sft"].update(values)
    path = folder / "tiny" / "changed.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.mark.slow
def test_one_dialogue_alone_trains_where_the_recipe_allows_so_few_steps(tmp_path):
    import polars as pl

    table = pl.read_parquet(write_data(tmp_path / "data") / "sft.parquet")
    one = pl.concat([table.filter(pl.col("split") == split).head(1) for split in ("train", "validation")])
    one.write_parquet(tmp_path / "data" / "sft.parquet")
    recipe = changed(tmp_path, max_steps=1, effective_batch=2)
    assert sft.main(Arguments(recipe, tmp_path / "data", base(), tmp_path / "out"), quiet)["steps"] == 1
    strict = changed(tmp_path, max_steps=None, minimum_steps=8)
    with pytest.raises(TwainBotError, match=r"1 packed rows .* give 1 optimizer steps, and minimum_steps=8\. Lower"):
        sft.main(Arguments(strict, tmp_path / "data", base(), tmp_path / "out"), quiet)


def test_an_empty_train_split_is_refused(tmp_path):
    import polars as pl

    table = pl.read_parquet(write_data(tmp_path / "data") / "sft.parquet")
    table.filter(pl.col("split") != "train").write_parquet(tmp_path / "data" / "sft.parquet")
    with pytest.raises(TwainBotError, match=r"0 train rows hold no token to learn from: .* or an empty split"):
        sft.main(Arguments(TINY, tmp_path / "data", base(), tmp_path / "out"), quiet)


def test_a_tokenizer_without_a_pad_token_pads_with_the_end_of_turn_and_still_learns_it(tmp_path):
    import json
    import shutil

    from training.base_model import describe, prepare

    source = tmp_path / "padless"
    shutil.copytree(base(), source)
    settings = json.loads((source / "tokenizer_config.json").read_text())
    settings.pop("pad_token", None)
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    made = prepare(str(source), tmp_path / "models", template="smollm2")
    info = describe(made)
    assert info.pad_id == info.eos_id
    rows = token_rows()[:2]
    batch = packing.collate([[rows[0]], [rows[1]]], info.pad_id)
    assert int((batch["labels"] == info.eos_id).sum()) == sum(row.labels[1:].count(info.eos_id) for row in rows)


@pytest.mark.slow
def test_a_base_with_tied_embeddings_trains_and_its_embeddings_stay_as_they_were(tmp_path):
    model = engine.load_base(base(), STAGE, 7)
    assert model.config.tie_word_embeddings
    before = model.get_input_embeddings().weight.clone()
    tuned, _ = fitted(tmp_path, STAGE.model_copy(update={"epochs": 1}))
    inner = tuned.get_base_model()
    assert inner.get_input_embeddings().weight is inner.get_output_embeddings().weight
    assert torch.equal(inner.get_input_embeddings().weight, before)
    assert watch.last_sealed(tmp_path) is not None


def test_an_adapter_on_tied_embeddings_holds_none_of_them_and_merges(tmp_path):
    from safetensors import safe_open

    from resources.merging import merge_difference

    tuned, _ = fitted(tmp_path / "run", STAGE.model_copy(update={"epochs": 1}))
    tuned.save_pretrained(str(tmp_path / "adapter"))
    with safe_open(tmp_path / "adapter" / "adapter_model.safetensors", "pt") as weights:
        names = list(weights.keys())
    assert names
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    assert not [name for name in names if "embed" in name or "lm_head" in name]
    assert merge_difference(base(), tmp_path / "adapter") < 1e-4


@pytest.mark.slow
def test_a_checkpoint_corrupt_at_its_right_size_is_passed_over_and_the_weights_are_the_same(tmp_path):
    class Killed(BaseException):
        pass

    def at_the_end(line: str) -> None:
        if "validation after epoch" in line:
            raise Killed

    data, recipe = write_data(tmp_path / "data"), changed(tmp_path, effective_batch=2, epochs=3, checkpoint_steps=1)
    arguments = Arguments(recipe, data, base(), tmp_path / "out")
    with pytest.raises(Killed):
        sft.main(arguments, at_the_end)
    (folder,) = (tmp_path / "out" / "checkpoints").iterdir()
    newest = watch.last_sealed(folder)
    weights = newest / "adapter_model.safetensors"
    torn = bytearray(weights.read_bytes())
    torn[-4096:] = bytes(4096)
    weights.write_bytes(torn)
    resumed = sft.main(arguments, quiet)
    assert 0 < resumed["resumed_from"] < int(newest.name.split("-")[1])
    unbroken = sft.main(Arguments(recipe, data, base(), tmp_path / "unbroken"), quiet)
    assert resumed["adapter_sha256"] == unbroken["adapter_sha256"]


def test_a_base_that_lost_its_template_is_refused_with_the_repair(tmp_path, capsys):
    import shutil

    shutil.copytree(base(), tmp_path / "bald")
    (tmp_path / "bald" / "chat_template.jinja").unlink()
    arguments = Arguments(TINY, write_data(tmp_path / "data"), tmp_path / "bald", tmp_path / "out")
    assert command.run(sft.main, arguments) == 1
    assert "has lost its chat template chat_template.jinja. Delete it and rematerialize" in capsys.readouterr().err
