"""What the UI is told of dialogues: counts and rejects by hand, Markdown that shows the words as they are."""

from __future__ import annotations

import json

import dagster as dg
import polars as pl

from tests import builders as make
from twainbot.dialogues.rows import call, turn
from twainbot_assets import dialogue_reports as reports

ORIGIN = json.dumps({"generator": "openai", "prompt": "no_tool v1", "prompt_hash": "ab12"})


def judged(*rows: tuple[str, str, list[str]]) -> pl.DataFrame:
    return make.judged_dialogues(
        *(make.judged_dialogue(name, decision=decision, reasons=reasons) for name, decision, reasons in rows)
    )


def test_rejects_are_counted_once_per_kind_of_reason_and_kept_ones_not_at_all():
    rows = judged(
        ("a", "reject", ["ungrounded_number: 84", "ungrounded_number: 9", "copied: 31 words"]),
        ("b", "reject", ["ungrounded_number: 7"]),
        ("c", "review", ["lexical: abuse"]),
        ("d", "keep", []),
    )
    assert reports.reject_reasons(rows) == {"ungrounded_number": 2, "copied": 1}


def test_counts_hold_the_share_of_all_rows():
    rows = make.dialogues(make.dialogue("a"), make.dialogue("b"), make.dialogue("c", kind="no_tool", scenario="joke"))
    assert reports.counts(rows, "kind", "scenario") == [
        {"kind": "no_tool", "scenario": "joke", "dialogues": 1, "share": "33.3%"},
        {"kind": "tool_calls", "scenario": "single", "dialogues": 2, "share": "66.7%"},
    ]


def test_each_scenario_is_shown_before_any_is_shown_twice():
    rows = [
        {"conversation_id": name, "kind": "k", "scenario": name[0]} for name in ("a1", "a2", "a3", "b1", "c1", "c2")
    ]
    assert [row["conversation_id"] for row in reports.spread(rows, 4)] == ["a1", "b1", "c1", "a2"]


def test_a_dialogue_reads_as_speech_with_calls_as_code_and_results_in_short():
    turns = [
        turn("system", "You are Mark Twain."),
        turn("user", "Is *it* <b>wet</b> in `Elko`?"),
        call("Elko", "today"),
        turn("tool", '{"high_f":71,"alerts":[],"note":"' + "x" * 400 + '"}'),
        turn("assistant", "No_t a drop."),
    ]
    shown = reports.as_markdown(make.dialogue("b000/t/1", turns=turns)).split("\n\n")
    assert shown[0] == "#### `b000/t/1`"
    assert shown[2:4] == [
        r"**User:** Is \*it\* \<b\>wet\</b\> in \`Elko\`?",
        '**Assistant calls** `weather_api.get_forecast(location="Elko", datetime="today")`',
    ]
    assert shown[4].startswith("**Tool** `high_f 71 · alerts [] · note xxx")
    assert shown[4].endswith("…`")
    assert shown[5] == r"**Assistant:** No\_t a drop."
    assert not any("You are Mark Twain" in part for part in shown)


def test_a_call_that_cannot_be_read_is_shown_as_it_is():
    broken = {"role": "assistant", "content": "", "tool_call": {"tool_name": "x.y", "arguments": "{"}}
    assert "`x.y({)`" in reports.as_markdown(make.dialogue(turns=[turn("user", "Well?"), broken]))


def test_prompts_are_named_with_hash_and_count_and_linked():
    rows = make.dialogues(make.dialogue("a", origin=ORIGIN), make.dialogue("b", origin=ORIGIN), make.dialogue("c"))
    text = reports.prompt_list(rows)
    assert r"- no\_tool v1 `ab12`: 2 dialogues" in text
    assert "- system prompt `none`: 1 dialogues" in text
    assert "[twainbot/dialogues/prompts.yaml](file://" in text


def test_both_reports_hold_counts_rejects_variety_plot_ten_dialogues_and_prompts():
    rows = judged(*((f"b000/t/{at}", "keep", []) for at in range(26)), ("b001/t/0", "reject", ["toxicity: 0.9 >= 0.5"]))
    batch, whole = reports.written_report(rows), reports.screened_report(rows)
    assert {"by_kind_and_scenario", "by_persona", "variety", "variety_plot", "ten_to_read", "prompts"} <= set(batch)
    assert {"by_batch", "rejects_per_reason", "rejects_plot", "variety_against_people", "ten_to_read"} <= set(whole)
    assert isinstance(whole["variety_plot"], dg.MarkdownMetadataValue)
    assert whole["ten_to_read"].md_str.count("####") == 10
    [first, second] = whole["by_batch"].records
    assert (first.data["batch"], first.data["dialogues"]) == ("b000", "26")
    assert (second.data["batch"], second.data["decision"]) == ("b001", "reject")


def test_a_report_of_nothing_says_so():
    empty = make.judged_dialogues().clear()
    whole = reports.screened_report(empty)
    assert whole["rejects_plot"] == "nothing rejected"
    assert whole["ten_to_read"].md_str == "no dialogues"
