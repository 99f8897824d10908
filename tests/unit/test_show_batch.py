"""The viewer of batches: what is printed is what is learned, told by the text on the screen."""

from __future__ import annotations

import io
import json
import re

import polars as pl
import pytest
import yaml
from tiny_training import base, write_data

from training import show_batch
from training.config import CONFIGS

TINY = CONFIGS / "tiny" / "default.yaml"
MARKED = re.compile(r"⟦(?:[\d.]+×)?(.*?)⟧", re.DOTALL)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("shown") / "data")


def recipe_with(folder, **sections):
    raw = yaml.safe_load(TINY.read_text())
    for section, values in sections.items():
        raw[section].update(values)
    path = folder / "tiny" / "changed.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    return path


def shown(capsys, data, *more, recipe=TINY) -> str:
    """What is printed where the output is no terminal."""
    code = show_batch.main([str(recipe), "--data", str(data), "--base", str(base()), *more])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_calls_words_and_ends_of_turn_are_marked_and_nothing_else(capsys, data):
    printed = shown(capsys, data, "--lines", "40")
    learned = "".join(MARKED.findall(printed.split("marks:")[1].split("\n", 1)[1]))
    plain = MARKED.sub("", printed)
    assert '<tool_call>{"name": "get_forecast"' in learned
    assert "A high of 71, and three chances in ten of rain.<|im_end|>" in learned
    assert "I was one once.<|im_end|>" in learned
    for read_only in ("Will it rain in Town", '"precipitation_chance":30', "Tell me joke number", "Call: <tool_call>"):
        assert read_only in plain
        assert read_only not in learned


def test_counts_at_the_top_are_those_of_the_lines_below(capsys, data):
    printed = shown(capsys, data, "--lines", "100")
    top = re.search(r"(\d+) lines of dialogues, (\d+) rows, (\d+) tokens, (\d+) of them with loss", printed)
    lines, rows, tokens, trained = (int(number) for number in top.groups())
    assert rows == 19  # 24 dialogues, each fifth of them validates: 24 - 5
    for heading, expected in ((r"=== line \d+ of \d+", lines), (r"--- row \d+ of \d+", rows)):
        counted = re.findall(heading + r": (\d+) tokens, (\d+) with loss", printed)
        assert len(counted) == expected
        assert [sum(int(pair[side]) for pair in counted) for side in (0, 1)] == [tokens, trained]


def test_the_weight_of_a_decision_and_of_an_end_stands_in_front_of_it(capsys, data, tmp_path):
    recipe = recipe_with(tmp_path, sft={"decision_weight": 5.0, "end_weight": 4.0})
    printed = shown(capsys, data, "--lines", "40", recipe=recipe)
    assert printed.count("⟦4×<|im_end|>⟧") == printed.count("<|im_end|>⟧")
    assert "⟦6×I⟧⟦ was one once.⟧⟦4×<|im_end|>⟧" in printed  # once as a word, five times as no call
    assert "⟦6×<⟧" in printed or "⟦6×<tool_call>⟧" in printed


def test_only_so_many_lines_are_printed(capsys, data):
    assert shown(capsys, data, "--lines", "1").count("=== line") == 1


def test_passages_train_on_all_but_their_first_token(capsys, data):
    printed = shown(capsys, data, "--stage", "dapt")
    sizes = re.findall(r"--- row \d+ of \d+: (\d+) tokens, (\d+) with loss", printed)
    assert sizes
    assert all(int(trained) == int(tokens) - 1 for tokens, trained in sizes)


def test_a_pair_shows_its_prompt_once_and_loss_on_both_replies(capsys, data):
    printed = shown(capsys, data, "--stage", "preference", "--lines", "1")
    assert printed.count("What is a river?") == 1
    learned = "".join(MARKED.findall(printed))
    assert "A school that never closes.<|im_end|>" in learned
    assert "Water.<|im_end|>" in learned
    assert [name for name in ("--- prompt", "--- chosen", "--- rejected") if name in printed] == [
        "--- prompt", "--- chosen", "--- rejected",
    ]  # fmt: skip


def test_the_third_side_of_kto_is_shown_too(capsys, data, tmp_path):
    recipe = recipe_with(tmp_path, preference={"objective": "kto"})
    assert "--- chosen of the next pair" in shown(capsys, data, "--stage", "preference", recipe=recipe)


def test_dialogues_that_are_left_out_are_counted_and_named(capsys, data, tmp_path):
    recipe = recipe_with(tmp_path, sft={"sequence_length": 300, "max_rows": None})
    printed = shown(capsys, data, recipe=recipe)
    assert re.search(r"left out as longer than 300 tokens: \d+ \(d\d\d, ", printed)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch, data) -> str:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    assert show_batch.main([str(TINY), "--data", str(data), "--base", str(base())]) == 0
    return screen.getvalue()


def test_on_a_terminal_trained_tokens_are_green_and_the_rest_is_grey(monkeypatch, data):
    monkeypatch.delenv("NO_COLOR", raising=False)
    printed = on_a_terminal(monkeypatch, data)
    assert re.search(r"\x1b\[32m[^\x1b]*<\|im_end\|>\x1b\[0m", printed)
    assert re.search(r"\x1b\[90m[^\x1b]*<\|im_start\|>user", printed)
    assert "⟦" not in printed


def test_no_color_is_honoured_on_a_terminal(monkeypatch, data):
    monkeypatch.setenv("NO_COLOR", "1")
    printed = on_a_terminal(monkeypatch, data)
    assert "\x1b" not in printed
    assert "⟦" in printed


def test_errors_are_one_sentence_and_an_exit_code(capsys, data, tmp_path):
    assert show_batch.main([str(tmp_path / "no.yaml"), "--data", str(data), "--base", str(base())]) == 2
    assert "No recipe at" in capsys.readouterr().err
    assert show_batch.main([str(TINY), "--data", str(tmp_path), "--base", str(base())]) == 1
    assert "Materialize splits/" in capsys.readouterr().err
    silent = json.dumps([{"role": "user", "content": "Anybody there?"}])
    pl.read_parquet(data / "sft.parquet").with_columns(messages=pl.lit(silent)).write_parquet(tmp_path / "sft.parquet")
    assert "0 of them with loss (0.0%)" in shown(capsys, tmp_path)
