"""What is asked after an epoch: scored as the evaluations score, and without a trace in the weights."""

from __future__ import annotations

import json
import random

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from tiny_training import TEXTS, base, call, small_talk, weather_talk, write_data

from resources.training_curves import curves, figures, scores_table, to_read
from training import dapt, epoch_scores, preference, record, sft
from training.command import Arguments
from training.config import CONFIGS, Watch, load_recipe
from training.epoch_scores import Heard, call_scores, first_turns, undisturbed
from twainbot import records
from twainbot.dialogues.prompts import system_prompt
from twainbot.dialogues.tools import TOOLS

TINY = CONFIGS / "tiny" / "default.yaml"
WATCH = {"dialogues": 4, "samples": 2, "max_new_tokens": 6}
HERMES = (
    '<tool_call>\n{"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "tomorrow"}}\n</tool_call>'
)


def recipe(folder, watch):
    """The tiny recipe in two epochs, with dropout, so that random states matter."""
    raw = yaml.safe_load(TINY.read_text())
    raw["lora"]["dropout"] = 0.1
    for stage in ("sft", "preference"):
        raw[stage] |= {"watch": watch, "epochs": 2, "max_steps": None}
    path = folder / "tiny" / "watched.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The three tables, the dialogues under a system prompt and the passages of two styles, so that a voice is scored."""
    folder = write_data(tmp_path_factory.mktemp("data"))
    system = {"role": "system", "content": system_prompt("twain")}
    talks = pl.read_parquet(folder / "sft.parquet")
    spoken = [json.dumps([system, *json.loads(text)]) for text in talks["messages"]]
    talks.with_columns(messages=pl.Series(spoken)).write_parquet(folder / "sft.parquet")
    styles = ["twain" if n % 2 else "satire" for n in range(20)]
    split = ["validation", "train", "train", "train", "train"]
    rows = [
        {
            "sample_id": f"p{n:02d}",
            "split": split[n // 2 % 5],
            "style": styles[n],
            "text": TEXTS[n % 3],
            "token_count": 20,
        }
        for n in range(20)
    ]
    records.frame(rows, records.DAPT_ROW).write_parquet(folder / "dapt.parquet")
    return folder


@pytest.fixture(scope="module")
def watched(data, tmp_path_factory):
    """The same stage with the watch on and off: records by name."""
    folder = tmp_path_factory.mktemp("watched")
    done = {}
    for name, watch in (("on", WATCH), ("off", {})):
        path = recipe(folder / name, watch)
        done[name] = sft.main(Arguments(path, data, base(), folder / name / "out"), lambda _: None)
    return done


def test_asking_changes_neither_weights_nor_losses_nor_what_the_stage_depends_on(watched):
    on, off = watched["on"], watched["off"]
    assert len(on["evaluations"]) == 2
    for name in ("adapter_sha256", "fingerprint", "config_sha256", "loss_curve", "best_loss"):
        assert on[name] == off[name], name
    assert [each["loss"] for each in on["evaluations"]] == [each["loss"] for each in off["evaluations"]]
    assert all("scores" not in each for each in off["evaluations"])


def test_each_epoch_has_scores_with_their_counts_and_replies_to_read(watched):
    for entry in watched["on"]["evaluations"]:
        scores = entry["scores"]
        assert (scores["n_turns"], scores["n_with_call"], scores["n_without_call"]) == (4, 2, 2)
        assert 0 <= scores["no_call_accuracy"] <= 1
        assert len(entry["samples"]) == 2
        assert set(entry["samples"][0]) == {"asked", "wanted", "said"}
        assert entry["samples"][0]["asked"].startswith("Will it rain in")
        assert entry["samples"][1]["wanted"] == "I was one once."
        assert entry["watch_s"] > 0


@pytest.mark.slow
def test_preference_asks_the_prompts_of_its_own_pairs(data, tmp_path):
    done = preference.main(Arguments(recipe(tmp_path, WATCH), data, base(), tmp_path / "out"), lambda _: None)
    scores = done["evaluations"][-1]["scores"]
    assert (scores["n_turns"], scores["n_with_call"]) == (3, 0)  # three validation pairs, none with a call
    assert done["evaluations"][-1]["samples"][0]["wanted"] == "A school that never closes."


def test_dapt_is_asked_nothing():
    assert not hasattr(load_recipe(TINY).dapt, "watch")
    assert epoch_scores.listener(None, "dapt", load_recipe(TINY), None, None, None, 2) is None


def table(*talks) -> pl.DataFrame:
    rows = [
        {"sample_id": f"d{n}", "messages": json.dumps(talk), "tools": json.dumps(TOOLS)} for n, talk in enumerate(talks)
    ]
    return pl.DataFrame(rows)


def test_a_turn_is_what_stands_before_the_first_word_of_the_assistant():
    asked, talk = first_turns(table(weather_talk("Reno"), small_talk(3)), "sft")
    assert [message["role"] for message in asked.prompt] == ["user"]
    assert asked.expected == [{"get_forecast": {"location": ["Reno"], "datetime": ["tomorrow"]}}]
    assert (asked.asked, asked.persona) == ("Will it rain in Reno tomorrow?", None)
    assert (talk.expected, talk.wanted) == ([], "I was one once.")


def test_a_dialogue_that_the_assistant_opens_asks_nothing():
    assert first_turns(table([{"role": "assistant", "content": "Evening."}]), "sft") == []


def test_calls_are_scored_as_the_evaluations_score_them():
    turns = first_turns(table(weather_talk("Reno"), weather_talk("Reno"), small_talk(1), small_talk(2)), "sft")
    scores = call_scores(turns, [HERMES, HERMES.replace("Reno", "Provo"), "I was one once.", HERMES])
    assert scores["tool_calls_exact"] == 0.5  # the first call and the first joke
    assert scores["tool_calls_precision"] == pytest.approx(1 / 3, abs=1e-4)
    assert scores["no_call_accuracy"] == 0.5
    assert (scores["n_turns"], scores["n_with_call"], scores["n_without_call"]) == (4, 2, 2)


def test_two_calls_at_once_are_both_wanted():
    talk = weather_talk("Reno")
    talk[1]["tool_calls"] += call("Provo")["tool_calls"]
    turns = first_turns(table(talk), "sft")
    assert len(turns[0].expected) == 2
    assert call_scores(turns, [HERMES])["tool_calls_exact"] == 0
    assert call_scores(turns, [HERMES + HERMES.replace("Reno", "Provo")])["tool_calls_exact"] == 1


def test_random_states_are_put_back():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with undisturbed():
        torch.rand(3), np.random.rand(3), random.random()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_where_memory_runs_out_there_are_no_scores_and_the_training_goes_on():
    def full(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    asked = epoch_scores.Listener(None, [], [], full, 2, Watch(), None)
    object.__setattr__(asked, "_replies", full)
    heard = asked()
    assert (heard.scores, heard.samples) == ({}, [])
    assert heard.line() == " | not scored: memory ran out"


def test_another_fault_in_asking_is_not_hidden():
    def broken(*_, **__):
        raise ZeroDivisionError

    asked = epoch_scores.Listener(None, [], [], broken, 2, Watch(), None)
    object.__setattr__(asked, "_replies", broken)
    with pytest.raises(ZeroDivisionError):
        asked()


def test_the_log_line_has_the_counts_behind_the_rates():
    heard = Heard({"tool_calls_exact": 0.5, "n_turns": 4.0})
    assert heard.line() == " | tool_calls_exact 0.5 | n: turns 4"


# for readers and trackers


def test_a_record_becomes_a_table_curves_and_figures(watched):
    done = {**watched["on"], "stage": "sft"}
    assert [row["epoch"] for row in scores_table(done)] == [1.0, 2.0]
    found = curves(done)
    assert [step for step, _ in found["train_loss"]] == list(range(1, done["steps"] + 1))
    assert len(found["epoch/perplexity"]) == len(found["epoch/tool_calls_exact"]) == 2
    assert found["system/process_rss_mib"][-1][2] > 1_700_000_000_000
    assert figures(done)["system/peak_rss_mib"] >= max(point[1] for point in found["system/process_rss_mib"])


def test_a_models_words_cannot_break_out_of_their_block():
    entry = {"step": 4, "epoch": 1.0, "loss": 1.0}
    sample = {"asked": "Rain?", "wanted": "", "said": "```\n<script>alert(1)</script>\n# no"}
    told = to_read({"evaluations": [{**entry, "samples": [sample]}]})
    quoted = told.split("**said:**\n\n")[1].splitlines()
    assert quoted == ["    ```", "    <script>alert(1)</script>", "    # no"]
    assert to_read({"evaluations": [entry]}) == ""


def test_dapt_has_a_perplexity_and_preference_has_none(data, tmp_path):
    done = dapt.main(Arguments(TINY, data, base(), tmp_path / "out"), lambda _: None)
    assert curves(done)["epoch/perplexity"][0][1] == pytest.approx(np.exp(done["evaluations"][0]["loss"]), rel=1e-4)
    assert "epoch/perplexity" not in curves({**done, "stage": "preference"})
    assert record.read(tmp_path / "out")["usage"]["peak_rss_mib"] > 100
