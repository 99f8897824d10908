"""All dialogues in one table with a decision: synthetic ones and transcripts. The rules for one dialogue are quality.py's;
here are those that need other tables: parents still curated, nothing copied from passages, no text of an evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from twainbot.dedupe import contaminated
from twainbot.dedupe.shingles import words
from twainbot.dialogues import prompts
from twainbot.dialogues.copying import longest_runs
from twainbot.dialogues.quality import replies, screen_dialogues
from twainbot.dialogues.rows import system, told_origin
from twainbot.dialogues.tools import TOOLS
from twainbot.records import DIALOGUE, conform, frame
from twainbot.screening import ToxicityScorer

# longest run shared with a passage beside the user's quotation; of 3,348 dialogues none had over 8
CORPUS_RUN_WORDS = 24
EVAL_RUN_WORDS = 8  # as for passages, curation.DECONTAMINATION_WORDS


def gather_and_screen(
    written: pl.DataFrame,
    transcripts: pl.DataFrame,
    passages: pl.DataFrame,
    scorer: ToxicityScorer,
    eval_texts: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Rows of records.SCREENED_DIALOGUE, sorted by id, of all batches together.

    `written`: rows of records.DIALOGUE. `transcripts`: rows of records.WORK whose extra holds turns. `passages`: what is
    curated; a transcript that is not, and a dialogue one of whose parents no longer is, are rejected. `eval_texts`: item
    to text of what must not be trained on.
    """
    logged = frame((from_work(work) for work in usable(transcripts)), DIALOGUE)
    rows = pl.concat([conform(written, DIALOGUE, "dialogues").select(list(DIALOGUE)), logged]).sort("conversation_id")

    def further(listed: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, reason in (*lost(listed, passages), *copied(listed, passages), *of_evals(listed, eval_texts or {})):
            found.setdefault(name, []).append(reason)
        return found

    return screen_dialogues(rows, scorer, further=further)


def copied(listed: Sequence[Mapping[str, Any]], passages: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """(id, reason) of dialogues whose replies share too long a run with a passage. Transcripts are passages themselves."""
    synthetic = [row for row in listed if row["kind"] != "transcript"]
    prose = passages.filter(pl.col("style") != "dialogue").select("chunk_id", "text").sort("chunk_id")
    spoken = ["\n".join(replies(row)) for row in synthetic]
    runs = longest_runs(spoken, prose["text"], [_user_words(row) for row in synthetic])
    for row, run in zip(synthetic, runs, strict=True):
        if run is not None and run.words > CORPUS_RUN_WORDS:
            yield row["conversation_id"], f"copied: {run.words} words of {prose['chunk_id'][run.passage]}"


def of_evals(listed: Sequence[Mapping[str, Any]], eval_texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(id, reason) of dialogues in which text of an evaluation item stands, whoever says it.

    An item of fewer than 8 words ("What's the forecast?") must be a whole turn: it begins half of all honest questions.
    """
    turns = [(row["conversation_id"], turn["content"] or "") for row in listed for turn in _said_turns(row)]
    long = {item: text for item, text in eval_texts.items() if len(words(text)) >= EVAL_RUN_WORDS}
    short = {" ".join(words(text)): item for item, text in eval_texts.items() if item not in long}
    found = [(turns[at][0], item) for at, item in _runs_of(long, [said for _, said in turns])]
    found += [(name, item) for name, said in turns if (item := short.get(" ".join(words(said)))) is not None]
    yield from ((name, f"eval_text: {item}") for name, item in dict.fromkeys(found))


def _runs_of(items: Mapping[str, str], texts: Sequence[str]) -> Iterator[tuple[int, str]]:
    return contaminated(texts, items, EVAL_RUN_WORDS).select("row", "item").iter_rows()


def _said_turns(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What user and assistant say; the system prompt and tool results are ours."""
    return [turn for turn in row["turns"] if turn["role"] in ("user", "assistant")]


def _user_words(row: Mapping[str, Any]) -> str:
    return "\n".join(turn["content"] or "" for turn in row["turns"] if turn["role"] == "user")


def usable(transcripts: pl.DataFrame) -> Iterable[dict[str, Any]]:
    """Transcripts that were not rejected when they were read."""
    return transcripts.filter(pl.col("reject_reason").is_null()).to_dicts()


def from_work(work: Mapping[str, Any]) -> dict[str, Any]:
    """A transcript as a dialogue: its own turns, a system prompt in front where it has none."""
    extra = json.loads(work["extra"])
    turns, tags = extra["turns"], extra.get("style_tags") or []
    if turns[0]["role"] != "system":
        turns = [system(prompts.persona_of(tags)), *turns]
    return {
        "conversation_id": work["work_id"],
        "kind": "transcript",
        "scenario": "transcript",
        "tools": json.dumps(TOOLS),
        "turns": turns,
        "style_tags": tags,
        "seed_id": None,
        "origin": json.dumps({"generator": "transcript", "model": None, "parents": [work["work_id"]]}),
        "disclaimer": f"Transcript: {work['title']}, {work['license']}.",
    }


def lost(listed: Sequence[Mapping[str, Any]], passages: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """(id, reason) for each thing that a dialogue was made from and that is not curated any more."""
    known = {*passages["chunk_id"].to_list(), *passages["work_id"].to_list()}
    for row in listed:
        yield from (
            (row["conversation_id"], f"parent_not_curated: {parent}") for parent in parents(row) if parent not in known
        )


def parents(row: Mapping[str, Any]) -> list[str]:
    """Ids of the chunks or works that a dialogue was made from."""
    return [str(parent) for parent in told_origin(row).get("parents") or []]
