"""Foreign text in Markdown and HTML that people look at: it shows as its words, fetches nothing, links nowhere, runs nothing.

Markdown is rendered with HTML allowed, as forges and the Hub do before they sanitise, so that nothing hangs on a sanitiser.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from twainbot.markdown import code, fenced, plain

ATTACKS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<img src=https://evil.example/p.png>",
    "![seen](https://evil.example/p.png)",
    "[free money](javascript:alert(1))",
    "<javascript:alert(1)>",
    "<https://evil.example>",
    "a\n\n![seen](https://evil.example/p.png)\n\nb",
    "`code` ends ` here ![seen](https://evil.example/p.png)",
    "```\n![seen](https://evil.example/p.png)\n```",
    "````\n```\n<script>alert(1)</script>",
    "| a | b |\n|---|---|\n| ![x](https://evil.example/p.png) | c |",
    "[x]: https://evil.example\n\n[x]",
    "\\![seen](https://evil.example/p.png)",
    "\\\\<b>x</b>",
    "~~~\n<iframe src=https://evil.example></iframe>",
    "</code></pre><script>alert(1)</script>",
    "\u2028![seen](https://evil.example/p.png)",
    "<!-- --><svg onload=alert(1)>",
)
# An attribute or an element that a browser would act on. Escaped text has no bare "<".
ACTIVE = re.compile(r"<(?:script|img|iframe|svg|object|embed|link|style|form|a)\b|<[a-z][^>]*\son\w+=", re.IGNORECASE)


@cache
def markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")


def active(text: str) -> list[str]:
    """What a page of this Markdown would do."""
    return ACTIVE.findall(markdown().render(text))


def test_the_check_sees_what_is_not_escaped():
    caught = [attack for attack in ATTACKS if active(attack)]
    assert (
        len(caught) > len(ATTACKS) // 2
    )  # the rest are harmless alone and harmful only inside a span, a fence or a row


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "frame", ["{}", "**{}**", "- {}", "#### {}", "| {} | x |\n|---|---|\n| {} | y |", "word {} word"]
)
def test_plain_words_and_code_do_nothing_wherever_they_stand(attack, frame):
    assert active(frame.replace("{}", plain(attack))) == []
    assert active(frame.replace("{}", code(attack))) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_fence_holds_whatever_is_in_it(attack):
    rendered = markdown().render(f"begins\n\n{fenced(attack)}\n\nends")
    assert active(f"begins\n\n{fenced(attack)}\n\nends") == []
    assert rendered.endswith("<p>ends</p>\n")


@given(st.text(alphabet="ab `*_[]()<>!|\\#~&:/\n.", max_size=60))
def test_no_text_breaks_out(text):
    assert active(plain(text)) == []
    assert active(f"x {code(text)} y") == []
    rendered = markdown().render(f"{fenced(text)}\n\nends")
    assert rendered.endswith("<p>ends</p>\n")


@given(st.text(alphabet="ab*_[]<>!|\\#~ ", max_size=40))
def test_plain_words_are_shown_as_they_are(text):
    import html

    shown = re.sub(r"</?p>|</?h\d>", "", markdown().render(f"w {plain(text)}"))
    assert html.unescape(shown).split() == ["w", *text.split()]


# --- where it is used -------------------------------------------------------------------------------------------------


def dialogue(attack: str) -> dict[str, Any]:
    call = {"tool_name": attack, "arguments": f'{{"location": "{attack!r}"}}'}
    turns = [
        {"role": "user", "content": attack, "tool_call": None},
        {"role": "assistant", "content": attack, "tool_call": call},
        {"role": "tool", "content": '{"condition": ' + json.dumps(attack) + "}", "tool_call": None},
        {"role": "tool", "content": attack, "tool_call": None},
    ]
    return {"conversation_id": attack, "kind": attack, "scenario": attack, "style_tags": [attack], "turns": turns,
            "origin": json.dumps({"prompt": attack, "prompt_hash": attack})}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_dialogues_in_metadata_do_nothing(attack):
    from twainbot_assets.dialogue_reports import as_markdown, prompt_list

    assert active(as_markdown(dialogue(attack))) == []
    listed = prompt_list(pl.DataFrame({"origin": [dialogue(attack)["origin"]]}))
    assert [found for found in active(listed) if "<a" not in found] == []  # the one link is to the prompts' own folder
    assert "evil.example" not in "".join(re.findall(r'(?:href|src)="([^"]*)"', markdown().render(listed)))


@pytest.mark.parametrize("attack", ATTACKS)
def test_works_rows_at_fault_pairs_and_samples_in_metadata_do_nothing(attack):
    import dagster as dg

    from checks.expectations import rows_at_fault
    from checks.gates import Finding, Gate, result
    from resources.training_curves import to_read
    from twainbot_assets import corpora
    from twainbot_assets.curation_reports import read_pairs

    rows = pl.DataFrame(
        {"text": [attack], "reject_reason": [None]}, schema={"text": pl.String, "reject_reason": pl.String}
    )
    assert active(corpora.preview(rows).md_str) == []
    assert active(rows_at_fault({"partial_unexpected_list": [attack]}).md_str) == []
    gate = Gate("made", "says", lambda _: Finding(True, ""), blocking=False)
    told = result(gate, Finding(False, "why", rows=[attack]), True, dg.AssetKey(["corpora", "local"]), None)
    assert active(told.metadata["rows_at_fault"].md_str) == []
    pairs = read_pairs(iter([("alike", "one", "two")]), {"one": f"{attack} first", "two": f"{attack} second"})
    assert active(pairs.md_str) == []
    samples = [{"asked": attack, "wanted": attack, "said": attack}]
    assert active(to_read({"evaluations": [{"epoch": 1.0, "step": 2, "samples": samples}]})) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_titles_and_authors_in_a_data_sets_notice_do_nothing(attack):
    from twainbot.release.cards import table
    from twainbot.release.data_card import notice_line

    line = notice_line({"source": "local", "unit": "u", "titles": [attack], "authors": [attack], "works": 1, "license": attack,
                        "rights": "cc0", "urls": []})  # fmt: skip
    assert active(table(("source", "unit", "titles", "authors", "works", "licence", "rights", "url"), [line])) == []


def test_the_pages_of_this_project_put_foreign_text_into_the_document_as_text_only(root):
    for script in (root / "twainbot_assets").glob("*_page/*.js"):
        text = script.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
            assert way not in text, f"{script.name} uses {way}"
