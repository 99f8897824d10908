"""The fuzz campaign itself: it finds a planted crash and a planted hang, tells faults apart, shrinks, repeats. Then, slowly,
every parser with a few hundred inputs."""

from __future__ import annotations

import json
import random
import time

import pytest

from fuzz import campaign
from fuzz.campaign import Trial, by_mutation, main, shrunk
from fuzz.doors import Door, doors
from fuzz.mutations import MOST_BYTES, SHAPES, changed_value, mutated
from twainbot.errors import UnreadableSource

INPUTS = 120  # of each parser in the slow part; some 45 parsers at 5 to 20 ms an input


def door(call, *seeds, shape=""):
    return Door("planted", call, lambda: seeds or (b"seed text 12",), shape)


def run(planted, tmp_path, inputs=2_000, **more):
    trial = Trial(planted, tmp_path / "out", **more)
    by_mutation(trial, 1, 600.0, inputs)
    trial.save()
    return trial


def test_a_crash_is_found_once_shrunk_and_kept_as_a_file(tmp_path):
    def fragile(raw):
        if b"\x00" in raw:
            raise KeyError("planted")
        raise UnreadableSource("No text of ours. Fetch it again.")

    trial = run(door(fragile), tmp_path)
    assert len(trial.tally.findings) == 1
    assert trial.tally.findings[0].startswith("KeyError at ")
    (kept,) = (tmp_path / "out").glob("*.input")
    assert kept.read_bytes() == b"\x00"  # the least that still breaks it
    assert "KeyError: 'planted'" in kept.with_suffix(".txt").read_text()
    assert json.loads((tmp_path / "out" / "tally.json").read_text())["inputs"] == trial.tally.inputs


def test_errors_of_ours_are_refusals_but_not_without_a_word(tmp_path):
    def mute(raw):
        raise UnreadableSource("" if raw.startswith(b"s") else "Not ours.")

    trial = run(door(mute), tmp_path, 50)
    assert trial.tally.findings == ["UnreadableSource without a word"]
    assert trial.tally.refused > 0


def test_a_parser_that_takes_too_much_processor_time_is_stopped_and_named(tmp_path):
    def endless(raw):
        while b"\xff" in raw:
            pass

    trial = Trial(door(endless), tmp_path / "out", slow_s=0.05)
    assert trial.run(b"fine") == ""
    assert trial.run(b"\xff").startswith("slow at ")


def test_waiting_is_no_slowness(tmp_path):
    trial = Trial(door(lambda raw: time.sleep(0.2)), tmp_path / "out", slow_s=0.1)
    assert trial.run(b"x") == ""


def test_an_exception_handler_of_the_parser_does_not_swallow_the_limit(tmp_path):
    def deaf(raw):
        for _ in range(3):
            try:
                while True:
                    pass
            except Exception:
                continue

    assert Trial(door(deaf), tmp_path / "out", slow_s=0.05).run(b"x").startswith("slow at ")


def test_the_same_seed_gives_the_same_inputs(tmp_path):
    def seen(log):
        return lambda raw: log.append(raw)

    first, second = [], []
    run(door(seen(first)), tmp_path / "a", 200)
    run(door(seen(second)), tmp_path / "b", 200)
    assert first == second
    assert len(set(first)) > 100


@pytest.mark.parametrize("shape", ["", *SHAPES])
def test_mutations_take_any_bytes_and_stay_within_their_bound(shape):
    rng = random.Random(3)
    for raw in (b"", b"{}", b'[1, {"a": [null]}]', b"a: [1]\n", b"PK\x03\x04junk", bytes(range(256)) * 300):
        for _ in range(30):
            assert len(mutated(rng, raw, [raw, b"other"], shape)) <= MOST_BYTES


def test_a_changed_value_is_another_one():
    rng = random.Random(5)
    start = {"a": [1, {"b": "text"}], "c": None}
    changed = [json.dumps(changed_value(rng, json.loads(json.dumps(start))), allow_nan=True) for _ in range(200)]
    assert sum(text != json.dumps(start) for text in changed) > 150
    assert changed_value(rng, 7) != 7


def test_shrinking_keeps_what_matters():
    assert shrunk(b"x" * 500 + b"AB" + b"y" * 500, lambda raw: b"AB" in raw, 60.0) == b"AB"


def test_a_child_that_dies_is_a_finding_and_its_input_is_kept(tmp_path, monkeypatch):
    given = campaign.parse(["--out", str(tmp_path), "--only", "robots"])
    monkeypatch.setattr(campaign.sys, "executable", "/bin/false")
    tally = campaign.watched("robots", given)
    assert tally.findings == ["died with exit code 1"]
    assert (tmp_path / "robots" / "dead.input").is_file()


@pytest.mark.slow
def test_the_command_runs_a_parser_in_a_process_of_its_own(tmp_path, capsys):
    assert main(["--only", "adapter_config", "--inputs", "200", "--minutes", "1", "--out", str(tmp_path)]) == 0
    assert "1 parsers, 200 inputs, 0 findings." in capsys.readouterr().out
    assert json.loads((tmp_path / "campaign.json").read_text())[0]["parser"] == "adapter_config"


def test_a_campaign_that_is_resumed_counts_what_was_done_and_tries_other_inputs(tmp_path, capsys):
    words = ["--only", "adapter_config", "--inputs", "40", "--out", str(tmp_path)]
    assert main(words) == 0
    tally = json.loads((tmp_path / "adapter_config" / "tally.json").read_text())
    assert tally["inputs"] == 40
    assert main([*words, "--resume"]) == 0
    assert json.loads((tmp_path / "adapter_config" / "tally.json").read_text())["inputs"] == 40  # it was done
    assert main([*words[:-4], "--inputs", "90", *words[-2:], "--resume"]) == 0
    more = json.loads((tmp_path / "adapter_config" / "tally.json").read_text())
    assert more["inputs"] == 90
    assert more["seconds"] >= tally["seconds"]
    assert main(words) == 0
    assert json.loads((tmp_path / "adapter_config" / "tally.json").read_text())["inputs"] == 40  # anew


def test_the_inputs_of_a_resumed_part_are_not_those_of_the_first(tmp_path):
    tried: list[list[bytes]] = [[], []]
    for part, before in enumerate((None, campaign.Tally("planted", inputs=30))):
        trial = Trial(door(lambda raw, part=part: tried[part].append(raw)), tmp_path / str(part), before=before)
        by_mutation(trial, 1835, 60.0, 30)
    assert len(tried[0]) == len(tried[1]) == 30
    assert tried[0] != tried[1]


@pytest.mark.slow
@pytest.mark.parametrize("parser", doors(), ids=lambda found: found.name)
def test_no_input_breaks_a_parser(parser, tmp_path):
    trial = Trial(parser, tmp_path, slow_s=30.0)  # imports come into the first one
    by_mutation(trial, 20, 60.0, INPUTS)
    assert trial.tally.findings == [], (tmp_path / "tally.json").read_text()
