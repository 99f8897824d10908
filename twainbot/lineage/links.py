"""The links between an adapter and the characters it learned: nodes of six levels, each naming its parents.

    adapter > row > dialogue or pair > passage > work > unit

Everything is shown where it fits the limit. Where not, rows are drawn by a hash of their ids, the same ones each time,
and only what stands behind them is kept; `Level.total` tells how many there are. How it looks is page.py's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import polars as pl

from twainbot.provenance import chunk_span, standing

LEVELS = ("adapters", "rows", "dialogues", "passages", "works", "units")
ADAPTER, ROW, DIALOGUE, PASSAGE, WORK, UNIT = range(len(LEVELS))
NODE_BYTES = 300  # of a node beside its words, as JSON: the mean of the sample's 4,615
SURROUNDINGS = 200  # characters kept on either side of a passage where a page cannot hold whole works

Node: TypeAlias = dict[str, Any]  # k: level, id, p: numbers of its parents, facts: [label, value], and its level's own
Facts: TypeAlias = list[tuple[str, str]]


@dataclass(frozen=True)
class Trained:
    """An adapter as its record tells of it. parents: names of the adapters that it began from or was mixed of."""

    name: str
    table: str  # the split table that it read; empty for a mixture
    rows: frozenset[str]  # ids of the samples that it learned from
    facts: Facts
    parents: Sequence[str] = ()
    sure: bool = True  # False: it read some of these rows, and which ones cannot be told any more


@dataclass(frozen=True)
class Tables:
    """What the lake holds, lazily: nothing is read beyond what is shown. splits: by table name."""

    works: pl.LazyFrame
    chunks: pl.LazyFrame
    rejects: pl.LazyFrame
    clusters: pl.LazyFrame
    dialogues: pl.LazyFrame
    pairs: pl.LazyFrame
    seeds: pl.LazyFrame
    assignments: pl.LazyFrame
    splits: Mapping[str, pl.LazyFrame]
    adapters: Sequence[Trained]


@dataclass(frozen=True)
class Links:
    """The nodes of all levels, parents before children or after: a parent is named by its number in `nodes`."""

    nodes: list[Node]
    totals: Mapping[str, int]  # by level, of the whole lake
    lost: Sequence[str] = ()  # rows of which nothing is left that they were made of
    moved: Sequence[str] = ()  # passages that no longer are the text at their span
    share: float = 1.0  # of the rows that were drawn
    shown: Mapping[str, int] = field(default_factory=dict)


def join(tables: Tables, limit_bytes: int) -> Links:
    """All links where the page fits the limit, else those of as many rows as do."""
    share = min(1.0, limit_bytes / max(1, weight(tables)))
    while True:
        made = gathered(tables, share)
        if share <= 0 or size_of(made.nodes) <= limit_bytes:
            return made
        share = share * 0.7 if made.shown["rows"] else 0.0


def size_of(nodes: Sequence[Node]) -> int:
    """Bytes of the nodes as JSON."""
    return sum(len(json.dumps(node, ensure_ascii=False).encode()) for node in nodes)


def weight(tables: Tables) -> int:
    """About how many bytes everything would take, from lengths alone."""
    words = (
        (tables.works, pl.col("text").str.len_bytes()),
        (tables.pairs, pl.col("chosen").str.len_bytes() + pl.col("rejected").str.len_bytes()),
        (tables.dialogues, pl.col("turns").list.eval(pl.element().struct.field("content").str.len_bytes()).list.sum()),
    )
    long = sum(int(frame.select(length.cast(pl.Int64).sum()).collect().item() or 0) for frame, length in words)
    counted = totals_of(tables)
    return long + NODE_BYTES * sum(counted.values())


def totals_of(tables: Tables) -> dict[str, int]:
    """Rows of each level in the lake."""
    units = tables.works.select(pl.struct("source", "unit").n_unique()).collect().item()
    return dict(
        zip(
            LEVELS,
            (
                len(tables.adapters),
                sum(count(frame) for frame in tables.splits.values()),
                count(tables.dialogues) + count(tables.pairs),
                count(tables.chunks),
                count(tables.works),
                int(units),
            ),
            strict=True,
        )
    )


def count(frame: pl.LazyFrame) -> int:
    """Rows of a table."""
    return int(frame.select(pl.len()).collect().item())


def drawn(sample_id: str, share: float) -> bool:
    """Whether a row is among this share of all: by a hash of its id, so a larger share holds a smaller one."""
    return share >= 1 or int.from_bytes(hashlib.sha256(sample_id.encode()).digest()[:8]) < share * 2**64


def gathered(tables: Tables, share: float) -> Links:
    """The nodes of a share of all rows, with everything behind them; of everything where the share is one."""
    book = Book(whole=share >= 1)
    rows = {name: drawn_rows(frame, share) for name, frame in tables.splits.items()}
    ids = None if book.whole else {row["sample_id"] for listed in rows.values() for row in listed}
    pairs = chosen(tables.pairs, "preference_id", ids)
    behind_pairs = {parent for pair in pairs for parent in parents(pair)}
    dialogues = chosen(tables.dialogues, "conversation_id", None if ids is None else ids | behind_pairs)
    behind = {parent for row in (*dialogues, *pairs) for parent in parents(row)}
    chunks = chosen(tables.chunks, "chunk_id", None if ids is None else ids | behind)
    works = chosen(tables.works, "work_id", None if ids is None else behind | {row["work_id"] for row in chunks})
    book.add_works(works, chunks)
    book.add_passages(chunks, told(tables, chunks if ids is not None else None))
    book.add_dialogues(dialogues, pairs, seeds_of(tables, [*dialogues]))
    book.add_rows(rows, strata(tables, ids))
    book.add_adapters(tables.adapters)
    shown = {level: sum(node["k"] == number for node in book.nodes) for number, level in enumerate(LEVELS)}
    return Links(book.nodes, totals_of(tables), book.lost, book.moved, min(1.0, share), shown)


def drawn_rows(frame: pl.LazyFrame, share: float) -> list[Node]:
    """Id and split of the rows drawn from a table."""
    listed = frame.select("sample_id", "split").sort("sample_id").collect()
    return [row for row in listed.iter_rows(named=True) if drawn(row["sample_id"], share)]


def chosen(frame: pl.LazyFrame, column: str, ids: Iterable[str] | None) -> list[Node]:
    """The rows of these ids, or all, in order of their ids."""
    kept = frame if ids is None else frame.filter(pl.col(column).is_in(sorted(ids)))
    return kept.sort(column).collect().to_dicts()


def parents(row: Mapping[str, Any]) -> list[str]:
    """Ids that a synthetic row names as its parents; of a pair only the dialogue, which names the rest."""
    named = [str(parent) for parent in json.loads(row["origin"] or "{}").get("parents") or []]
    return named[:1] if "preference_id" in row else named


def told(tables: Tables, chunks: Sequence[Node] | None) -> dict[str, str]:
    """What became of each passage that is not kept for training as it stands: rejected, waiting, or a copy."""
    wanted = None if chunks is None else [row["chunk_id"] for row in chunks]
    rejects = chosen(tables.rejects, "sample_id", wanted)
    found = {row["sample_id"]: f"{row['decision']} at {row['stage']}: {', '.join(row['reasons'])}" for row in rejects}
    clusters = tables.clusters.filter(pl.col("size") > 1)
    for row in chosen(clusters, "chunk_id", wanted):
        if row["is_canonical"]:
            found[row["chunk_id"]] = f"kept, the best of {row['size']} near-duplicates"
    return found


def seeds_of(tables: Tables, dialogues: Sequence[Node]) -> dict[str, str]:
    """Dialogue id to the words that its seed had it retell."""
    wanted = {row["seed_id"] for row in dialogues if row["kind"] == "style_transfer" and row["seed_id"]}
    found = chosen(tables.seeds.select("seed_id", "payload"), "seed_id", wanted)
    return {row["seed_id"]: words for row in found if (words := json.loads(row["payload"] or "{}").get("text"))}


def strata(tables: Tables, ids: Iterable[str] | None) -> dict[str, tuple[str, str]]:
    """Sample id to its stratum and the group that must not cross splits."""
    found = chosen(tables.assignments, "sample_id", ids)
    return {row["sample_id"]: (row["stratum"], row["group_id"]) for row in found}


class Book:
    """Nodes being written, and where each id stands among them. `whole`: works are shown from end to end."""

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        self.nodes: list[Node] = []
        self.at: dict[tuple[int, str], int] = {}
        self.texts: dict[str, str] = {}
        self.lost: list[str] = []
        self.moved: list[str] = []

    def add(
        self, level: int, name: str, parents_at: Iterable[int], facts: Iterable[tuple[str, Any]], **own: Any
    ) -> int:
        """A new node; its number."""
        written = [(label, str(value)) for label, value in facts if value not in (None, "", [])]
        self.at[level, name] = len(self.nodes)
        self.nodes.append({"k": level, "id": name, "p": list(parents_at), "facts": written, **own})
        return len(self.nodes) - 1

    def find(self, level: int, name: str) -> list[int]:
        """The number of a node as a list; empty where there is none."""
        place = self.at.get((level, name))
        return [] if place is None else [place]

    def add_works(self, works: Sequence[Node], chunks: Sequence[Node]) -> None:
        """Works with their text, and the unit of each. Without `whole`, the text around the passages only."""
        spans: dict[str, list[tuple[int, int]]] = {}
        for row in chunks:
            spans.setdefault(row["work_id"], []).append((row["start"], row["end"]))
        for work in works:
            unit = f"{work['source']}/{work['unit']}"
            place = self.find(UNIT, unit) or [
                self.add(UNIT, unit, [], [("source", work["source"]), ("unit", work["unit"])])
            ]
            text = self.texts[work["work_id"]] = work["text"] or ""
            kept = [(0, len(text))] if self.whole else merged(spans.get(work["work_id"], []), len(text))
            pieces = [(start, text[start:end]) for start, end in kept]
            own = {"title": work["title"] or "", "text": pieces, "length": len(text)}
            self.add(WORK, work["work_id"], place, work_facts(work), **own)

    def add_passages(self, chunks: Sequence[Node], fates: Mapping[str, str]) -> None:
        """Passages by span. One that is not the text of its work any more carries its own words."""
        for row in chunks:
            name, start, end = row["chunk_id"], row["start"], row["end"]
            own: dict[str, Any] = {"start": start, "end": end}
            if self.texts.get(row["work_id"], "")[start:end] != row["text"]:
                own["own"] = row["text"]
                self.moved.append(name)
            facts = [("characters", f"{start:,} to {end:,}"), ("tokens", row["token_count"]), ("style", row["style"]),
                     ("tone", row["tone"]), ("topic", row["topic"]), ("curation", fates.get(name, "kept"))]  # fmt: skip
            self.add(PASSAGE, name, self.find(WORK, row["work_id"]), facts, **own)

    def add_dialogues(self, dialogues: Sequence[Node], pairs: Sequence[Node], retold: Mapping[str, str]) -> None:
        """Dialogues with their turns, then the pairs that were made from them."""
        for row in dialogues:
            facts = [
                ("kind", row["kind"]),
                ("scenario", row["scenario"]),
                *origin_facts(row),
                ("decision", decision(row)),
            ]
            own: dict[str, Any] = {"turns": [turn(one) for one in row["turns"]]}
            if place := self.retold_at(row, retold.get(row["seed_id"] or "")):
                own["retold"] = place
            name = row["conversation_id"]
            self.add(DIALOGUE, name, self.parents_at(row), [*facts, *self.gone(row)], **own)
        for row in pairs:
            own = {"turns": [turn(one) for one in row["prompt"]], "chosen": row["chosen"], "rejected": row["rejected"]}
            facts = [("kind", "preference pair"), ("flaw of the rejected reply", row["flaw"]), *origin_facts(row)]
            self.add(DIALOGUE, row["preference_id"], self.parents_at(row), [*facts, *self.gone(row)], **own)

    def parents_at(self, row: Mapping[str, Any]) -> list[int]:
        """Where the parents of a synthetic row stand; each is a dialogue, a passage or a whole work."""
        return [at for name in parents(row) for at in self.named(name)]

    def named(self, name: str) -> list[int]:
        """The parent of this id, whatever it is."""
        return self.find(DIALOGUE, name) or self.find(PASSAGE, name) or self.find(WORK, name)

    def gone(self, row: Mapping[str, Any]) -> Facts:
        """A line about parents that the lake no longer holds."""
        absent = [name for name in parents(row) if not self.named(name)]
        return [("made of what is gone", ", ".join(absent))] if absent else []

    def retold_at(self, row: Mapping[str, Any], words: str | None) -> tuple[int, int, int] | None:
        """(Passage, first character, end) of the words that a dialogue retells, where they still stand in the work."""
        for name in parents(row) if words else []:
            place = self.find(PASSAGE, name)
            if place:
                work_id, *span = chunk_span(name)
                found = standing(words or "", self.texts.get(work_id, ""), *span)
                if found is not None:
                    return place[0], *found
        return None

    def add_rows(self, rows: Mapping[str, Sequence[Node]], stratum: Mapping[str, tuple[str, str]]) -> None:
        """Rows of the split tables, each of the passage, dialogue or pair that it is."""
        for table, listed in rows.items():
            for row in listed:
                name = row["sample_id"]
                behind = self.find(PASSAGE if table == "splits/dapt" else DIALOGUE, name)
                if not behind:
                    self.lost.append(f"{table} {name}")
                where, group = stratum.get(name, ("", ""))
                facts = [("table", table), ("split", row["split"]), ("stratum", where), ("group", group)]
                self.add(ROW, f"{table} {name}", behind, facts, split=row["split"])

    def add_adapters(self, adapters: Sequence[Trained]) -> None:
        """Adapters of the rows that they learned, earlier stages first."""
        for one in adapters:
            learned = [at for name in sorted(one.rows) for at in self.find(ROW, f"{one.table} {name}")]
            before = [at for name in one.parents for at in self.find(ADAPTER, name)]
            gone = [name for name in one.parents if not self.find(ADAPTER, name)]
            facts = [*one.facts, ("learned", learned_words(one)), ("began from", ", ".join(one.parents)),
                     ("began from what is gone", ", ".join(gone))]  # fmt: skip
            self.add(ADAPTER, one.name, [*before, *learned], facts)


def learned_words(one: Trained) -> str:
    """How many rows an adapter read, in words; nothing for a mixture, which read none itself."""
    return f"{'' if one.sure else 'some of '}{len(one.rows):,} rows" if one.table else ""


def merged(spans: Iterable[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Spans with their surroundings, those that touch made one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted((max(0, start - SURROUNDINGS), min(length, end + SURROUNDINGS)) for start, end in spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def work_facts(work: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Where a work is from and who says that it may be used."""
    for label in ("title", "author", "edition", "language", "rights", "license", "url", "raw_sha256", "reject_reason"):
        yield label.replace("_", " "), work[label]


def origin_facts(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What wrote a synthetic row, and what it says of itself."""
    origin = json.loads(row["origin"] or "{}")
    for label in ("generator", "model", "prompt", "prompt_hash", "seed"):
        yield label.replace("_", " "), origin.get(label)
    yield "label", row.get("disclaimer")


def decision(row: Mapping[str, Any]) -> str:
    """A dialogue's screening decision with its reasons."""
    reasons = f" ({', '.join(row['reasons'])})" if row.get("reasons") else ""
    return f"{row.get('decision') or 'not screened yet'}{reasons}"


def turn(one: Mapping[str, Any]) -> tuple[str, str]:
    """A turn as role and words; a call reads `name {arguments}`."""
    call = one.get("tool_call")
    if call and call.get("tool_name"):
        return f"{one['role']} calls", f"{call['tool_name']} {call['arguments']}"
    return str(one["role"]), one["content"] or ""
