"""What a person wants to see of curation, as Dagster metadata: plots, tables and pairs to read. Nothing is decided here.

Every report takes whole tables and answers an empty one with a sentence.
"""

from __future__ import annotations

import bisect
import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twainbot.markdown import plain
from twainbot_assets.publish import WIDTH, bare, bars, counts_table, draw_bars, figure

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twainbot.curation import Curated

# Five ends of a chunk, from good to bad, in colours that stay apart for the colour-blind and in print.
PASSAGE, WAITS, COPY, EVAL_TEXT, REJECTED = "passage", "in review", "copy", "eval text", "rejected"
FATES = {PASSAGE: "#2a7f62", WAITS: "#e0a526", COPY: "#9aa7b1", EVAL_TEXT: "#6a4c93", REJECTED: "#b4442f"}
SOURCE_COLOURS = ("#35608d", "#c98b2b", "#4f8f6b", "#a4566f", "#7d76b5", "#8a8f94")
SHOWN_REASONS, SHOWN_WORKS, SHOWN_WORK_REASONS, SHOWN_PAIRS, SHOWN_HITS = 12, 15, 5, 6, 20
KEPT_WORDS = 6  # equal words shown on either side of a difference
LONGEST_SIDE = 160  # words of one side of a pair

# funnel ---------------------------------------------------------------------------------------------------------------


def funnel_report(works: pl.DataFrame, chunks: pl.DataFrame, curated: Curated) -> dict[str, Any]:
    """From raw to curated: a plot of steps, of fates by source and of reasons, and the numbers behind it.

    `works` needs work_id, source, reject_reason and characters.
    """
    table = fates(works, chunks, curated)
    numbers = {"funnel_numbers": counts_table(table.to_dicts())}
    if not chunks.height:
        return {"funnel": f"Nothing was cut into chunks: {works.height} works, no chunk.", **numbers}
    reasons = reason_counts(curated.rejects)
    heights = [1.5, 0.34 * table.height + 0.8, 0.26 * max(1, len(reasons)) + 0.5]

    def draw(made: Figure) -> None:
        steps, by_source, why = made.subplots(3, 1, height_ratios=heights)
        draw_steps(steps, table)
        draw_fates(by_source, table)
        draw_reasons(why, reasons)

    return {"funnel": figure(draw, WIDTH, sum(heights) + 0.9), **numbers}


def fates(works: pl.DataFrame, chunks: pl.DataFrame, curated: Curated) -> pl.DataFrame:
    """One row per source: works, characters, chunks, and how many chunks came to each end. A chunk has one end."""
    import polars as pl

    of_works = works.group_by("source").agg(
        pl.len().alias("works"),
        pl.col("reject_reason").is_not_null().sum().alias("works rejected"),
        pl.col("characters").sum(),
    )
    ends = pl.concat([curated.passages.select("source", pl.lit(PASSAGE).alias("fate")), rejected(curated.rejects)])
    counted = ends.group_by("source").agg(*((pl.col("fate") == fate).sum().alias(fate) for fate in FATES))
    of_chunks = chunks.group_by("source").agg(pl.len().alias("chunks"))
    joined = of_works.join(of_chunks, on="source", how="full", coalesce=True).join(counted, on="source", how="left")
    return joined.fill_null(0).sort("source")


def rejected(rejects: pl.DataFrame) -> pl.DataFrame:
    """Columns source and fate, of the rejected chunks; whole works that were rejected have none."""
    import polars as pl

    stage = pl.col("stage")
    fate = (
        pl.when(stage == "dedupe")
        .then(pl.lit(COPY))
        .when(stage == "curated")
        .then(pl.lit(EVAL_TEXT))
        .when(pl.col("decision") == "review")
        .then(pl.lit(WAITS))
        .otherwise(pl.lit(REJECTED))
    )
    return rejects.filter(stage != "corpora").select("source", fate.alias("fate"))


def reason_counts(rejects: pl.DataFrame) -> dict[tuple[str, str], int]:
    """(reason, fate) to the number of chunks of which it is the first reason, most frequent first."""
    fate = rejected(rejects)["fate"].to_list()
    firsts = [short(reasons[0]) for reasons in rejects.filter(rejects["stage"] != "corpora")["reasons"].to_list()]
    return dict(Counter(zip(firsts, fate, strict=True)).most_common(SHOWN_REASONS))


def short(reason: str) -> str:
    """A reason without the name of the one item or cluster that it points at."""
    kind = reason.partition(":")[0]
    return {"duplicate_in": "near-duplicate", "eval_text": "text of an evaluation"}.get(kind, reason)


def draw_steps(axes: Axes, table: pl.DataFrame) -> None:
    """Bars for what is left after each step, stacked by source."""
    steps = {
        "chunks": list(FATES), "kept by screen or reviewer": [PASSAGE, COPY, EVAL_TEXT],
        "best of their cluster": [PASSAGE, EVAL_TEXT], "passages": [PASSAGE],
    }  # fmt: skip
    places = list(range(len(steps)))[::-1]
    left = [0] * len(steps)
    for number, row in enumerate(table.iter_rows(named=True)):
        sizes = [sum(row[fate] for fate in fates_left) for fates_left in steps.values()]
        colour = SOURCE_COLOURS[number % len(SOURCE_COLOURS)]
        axes.barh(places, sizes, left=left, color=colour, label=row["source"])
        left = [have + size for have, size in zip(left, sizes, strict=True)]
    whole = max(left[0], 1)
    for place, size in zip(places, left, strict=True):
        axes.text(size + whole * 0.01, place, f"{size:,} ({size / whole:.0%})", va="center", fontsize=8)
    axes.set_yticks(places, list(steps))
    axes.set_xlim(0, whole * 1.17)
    characters, works, lost = (int(table[name].sum()) for name in ("characters", "works", "works rejected"))
    axes.set_title(f"{characters:,} characters, {works:,} works ({lost:,} unreadable)", loc="left")
    legend_below(axes)
    bare(axes)


def draw_fates(axes: Axes, table: pl.DataFrame) -> None:
    """One bar of 100 % per source: where its chunks went."""
    places = list(range(table.height))[::-1]
    totals = [max(1, total) for total in table["chunks"].to_list()]
    left = [0.0] * table.height
    for fate, colour in FATES.items():
        shares = [count / total for count, total in zip(table[fate].to_list(), totals, strict=True)]
        axes.barh(places, shares, left=left, color=colour, label=fate)
        for place, start, share in zip(places, left, shares, strict=True):
            if share >= 0.06:  # narrower than its own label
                axes.text(start + share / 2, place, f"{share:.0%}", ha="center", va="center", color="white", fontsize=8)
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axes.set_yticks(places, [f"{source} ({n:,})" for source, n in table.select("source", "chunks").iter_rows()])
    axes.set_xlim(0, 1)
    axes.set_title("Where the chunks of each source went", loc="left")
    legend_below(axes)
    bare(axes)


def legend_below(axes: Axes) -> None:
    """What the colours mean, in one row under the bars."""
    axes.legend(
        ncols=6, loc="upper center", bbox_to_anchor=(0.42, -0.01), fontsize=7.5, handlelength=1, columnspacing=1.2
    )


def draw_reasons(axes: Axes, reasons: Mapping[tuple[str, str], int]) -> None:
    """The most frequent first reasons, in the colour of the fate that they led to."""
    if not reasons:
        axes.text(0, 0.5, "Every chunk became a passage.", transform=axes.transAxes)
        bare(axes)
        axes.set_yticks([])
        return
    names = [reason for reason, _ in reasons]  # one that led to two fates stands twice, in both colours
    title = "First reason of each chunk that is no passage"
    draw_bars(axes, names, list(map(float, reasons.values())), title, [FATES[fate] for _, fate in reasons])


# screen ---------------------------------------------------------------------------------------------------------------


def works_by_screen(screened: pl.DataFrame, count: int = SHOWN_WORKS) -> Any:
    """Works of which the screen kept least, with its reasons. Ranked by the lower end of the share's interval.

    So a book that lost 40 of 50 chunks stands above a joke that lost its only one.
    """
    import polars as pl

    from twainbot.evals.statistics import wilson

    counts = screened.group_by("work_id").agg(
        pl.len().alias("chunks"), (pl.col("decision") != "keep").sum().alias("lost")
    )
    ranked = sorted((-wilson(lost, chunks).low, str(work)) for work, chunks, lost in counts.iter_rows() if lost)
    if not ranked:
        return f"The screen kept all of {screened.height:,} chunks."
    shown = (work for _, work in ranked[:count])
    return counts_table([screen_row(work, screened.filter(screened["work_id"] == work)) for work in shown])


def screen_row(work: str, chunks: pl.DataFrame) -> dict[str, Any]:
    """A line of the table of works: how much was not kept, and the most frequent reasons."""
    lost = chunks.filter(chunks["decision"] != "keep")
    decisions = Counter(lost["decision"].to_list())
    reasons = Counter(reason for listed in lost["reasons"].to_list() for reason in listed or ())
    frequent = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))[:SHOWN_WORK_REASONS]
    return {
        "work": work,
        "chunks": chunks.height,
        "not kept": f"{lost.height / chunks.height:.0%}",
        "review": decisions["review"],
        "reject": decisions["reject"],
        "reasons": ", ".join(f"{reason} {number}" for reason, number in frequent),
    }


# tags -----------------------------------------------------------------------------------------------------------------

# name of a band: its upper bound, exclusive
BANDS: dict[str, tuple[str, dict[str, float]]] = {
    "weather_relevance": ("Weather relevance (0 to 1)", {"0": 1e-9, "to .25": 0.25, "to .5": 0.5, "to .75": 0.75, "to 1": 2}),
    "humor_density": ("Humour cues per 100 words", {"0": 1e-9, "under 1": 1, "1-2": 2, "2-4": 4, "4 on": 1e9}),
    "readability": ("Reading grade (years)", {"under 4": 4, "4-6": 6, "6-8": 8, "8-10": 10, "10-13": 13, "13 on": 1e9}),
}  # fmt: skip
WORDS = {"topic": "Topic", "tone": "Tone", "era": "Era, by vocabulary"}
LAYOUT: list[list[Any]] = [
    ["topic", "topic"],
    ["tone", "tone"],
    ["era", "weather_relevance"],
    ["humor_density", "readability"],
]


def tag_report(chunks: pl.DataFrame) -> Any:
    """Shares of each tag in each source: a row per source, a column per value, the darker the more."""
    if not chunks.height:
        return "There are no passages, so there are no tags to count."
    sources = sorted(chunks["source"].unique().to_list())
    shares = {name: tag_shares(chunks, name, sources) for row in LAYOUT for name in row}

    def draw(made: Figure) -> None:
        panels = made.subplot_mosaic(LAYOUT)
        for name, axes in panels.items():
            draw_heat(axes, shares[name], sources, WORDS.get(name) or BANDS[name][0])
        made.suptitle(f"Tags of {chunks.height:,} passages, % of each source's", fontsize=9)

    return figure(draw, WIDTH * 1.25, len(LAYOUT) * (0.24 * len(sources) + 1.05))


def tag_shares(chunks: pl.DataFrame, tag: str, sources: Sequence[str]) -> dict[str, list[float]]:
    """Value of the tag to its share in each source, in the order of the sources; the most frequent word first."""
    values = [banded(tag, value) for value in chunks[tag].to_list()]
    pairs = Counter(zip(chunks["source"].to_list(), values, strict=True))
    totals = Counter(chunks["source"].to_list())
    frequent = [value for value, _ in sorted(Counter(values).items(), key=lambda one: (-one[1], one[0]))]
    order = [*BANDS[tag][1], "none"] if tag in BANDS else frequent
    return {
        value: [pairs[source, value] / totals[source] for source in sources] for value in order if value in frequent
    }


def banded(tag: str, value: Any) -> str:
    """The band of a number, the word itself, or `none`."""
    if value is None:
        return "none"
    return next(band for band, bound in BANDS[tag][1].items() if value < bound) if tag in BANDS else str(value)


def draw_heat(axes: Axes, shares: Mapping[str, Sequence[float]], sources: Sequence[str], title: str) -> None:
    """A table of shares as shades with their numbers."""
    table = [[column[place] for column in shares.values()] for place in range(len(sources))]
    axes.imshow(table, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    for place, row in enumerate(table):
        for column, share in enumerate(row):
            if share >= 0.005:
                colour = "white" if share > 0.55 else "#222222"
                axes.text(column, place, f"{share:.0%}"[:-1], ha="center", va="center", fontsize=7.5, color=colour)
    bare(axes)
    axes.set_xticks(range(len(shares)), list(shares), fontsize=7.5)
    axes.set_yticks(range(len(sources)), list(sources))
    axes.set_title(title, loc="left", fontsize=9)


# near-duplicates ------------------------------------------------------------------------------------------------------


def cluster_sizes(rows: pl.DataFrame) -> dict[str, Any]:
    """How many clusters of which size, as a plot; chunks that have no copy are a number, since they would dwarf it."""
    sizes = rows.filter(rows["is_canonical"])["size"].to_list()
    several = Counter(size_band(size) for size in sizes if size > 1)
    alone = sum(size == 1 for size in sizes)
    held = sum(size for size in sizes if size > 1)
    title = f"{sum(several.values()):,} clusters hold {held:,} chunks; {alone:,} chunks stand alone"
    order = sorted(several, key=lambda band: int(re.findall(r"\d+", band)[0]))
    plot = bars({band: float(several[band]) for band in order}, title) if several else f"{title}."
    return {"clusters": len(sizes), "cluster_sizes": plot}


def size_band(size: int) -> str:
    """`2 chunks` to `9 chunks`, then bands that double."""
    if size < 10:
        return f"{size} chunks"
    low = 10 * 2 ** ((size // 10).bit_length() - 1)
    return f"{low} to {2 * low - 1} chunks"


def side_by_side(edges: pl.DataFrame, chunks: pl.DataFrame, count: int = SHOWN_PAIRS) -> dict[str, Any]:
    """Pairs to read, differing words in bold: the least alike, where a wrong threshold would show, and some up to equal."""
    ranked = edges.sort("jaccard", "a", "b")
    if not ranked.height:
        return {"pairs_to_read": "There are no near-duplicates."}
    picked = ranked[picked_pairs(ranked["jaccard"].to_list(), count)]
    texts = texts_of(picked, chunks)
    shown = (
        (f"Jaccard {row['jaccard']:.3f}, containment {row['containment']:.3f}", row["a"], row["b"])
        for row in picked.iter_rows(named=True)
    )
    return {"pairs_to_read": read_pairs(shown, texts)}


def alike_side_by_side(pairs: pl.DataFrame, chunks: pl.DataFrame, count: int = SHOWN_PAIRS) -> dict[str, Any]:
    """The pairs that are most alike in meaning, and how many of which cosine there are."""
    if not pairs.height:
        return {"pairs_to_read": "No two works hold chunks that are alike in meaning and not in words."}
    import polars as pl

    most = pairs.sort(["cosine", "a", "b"], descending=[True, False, False]).head(count)
    texts = texts_of(most, chunks)
    shown = (
        (f"Cosine {row['cosine']:.3f}, Jaccard {row['jaccard']:.3f}", row["a"], row["b"])
        for row in most.iter_rows(named=True)
    )
    steps = pairs.select((pl.col("cosine") * 20).floor() / 20).to_series().value_counts().sort("cosine")
    by_cosine = {f"from {step:.2f}": float(number) for step, number in steps.iter_rows()}
    return {"pairs_to_read": read_pairs(shown, texts), "by_cosine": bars(by_cosine, "Pairs by cosine")}


def texts_of(pairs: pl.DataFrame, chunks: pl.DataFrame) -> dict[str, str]:
    """The texts of both sides of these pairs by chunk id: all texts of a large corpus would be a gigabyte."""
    named = chunks.filter(chunks["chunk_id"].is_in([*pairs["a"], *pairs["b"]]))
    return dict(named.select("chunk_id", "text").iter_rows())


def picked_pairs(similarity: Sequence[float], count: int) -> list[int]:
    """Rows out of a rising column: the lowest half of the count, then those nearest to equal steps up to 1."""
    lowest = count // 2
    steps = [similarity[0] + (1 - similarity[0]) * step / (count - lowest) for step in range(1, count - lowest)]
    nearest = [bisect.bisect_left(similarity, step) for step in steps]
    return sorted({row for row in (*range(lowest), *nearest, len(similarity) - 1) if row < len(similarity)})


def read_pairs(pairs: Iterator[tuple[str, str, str]], texts: Mapping[str, str]) -> Any:
    """(how alike, one id, other id) as Markdown metadata: each pair a table of two columns."""
    import dagster as dg

    blocks = []
    for how, one, other in pairs:
        left, right = marked(texts[one], texts[other])
        blocks.append(f"**{how}**\n\n| {plain(one)} | {plain(other)} |\n|---|---|\n| {left} | {right} |")
    note = "Bold: words that the other text has not, or has elsewhere. …: words that are equal in both."
    return dg.MetadataValue.md("\n\n".join([*blocks, note]))


def marked(one: str, other: str) -> tuple[str, str]:
    """Both texts with the words in bold that differ, as Markdown; long equal stretches are left out of both alike."""
    left, right = (re.sub(r"(--+|[—–])", r"\1 ", text).split() for text in (one, other))
    plain_left, plain_right = ([bared(word) for word in side] for side in (left, right))
    sides: tuple[list[str], list[str]] = [], []
    # In 200 words and more autojunk takes no frequent word as an anchor: texts that repeat one take 40 s without it.
    for kind, a, b, c, d in difflib.SequenceMatcher(None, plain_left, plain_right).get_opcodes():
        for side, words in zip(sides, (left[a:b], right[c:d]), strict=True):
            if kind == "equal":
                side.extend(map(plain, elided(words)))
            elif words:
                side.append(f"**{' '.join(map(plain, words))}**")
    return clipped(sides[0]), clipped(sides[1])


def bared(word: str) -> str:
    """A word as near-duplicates compare it: case and punctuation make no difference."""
    return "".join(letter for letter in word.casefold() if letter.isalnum()) or word


def elided(words: Sequence[str]) -> Sequence[str]:
    """Equal words, the middle of a long stretch left out."""
    return words if len(words) <= 3 * KEPT_WORDS else [*words[:KEPT_WORDS], "…", *words[-KEPT_WORDS:]]


def clipped(parts: Sequence[str]) -> str:
    """Parts joined, up to the longest side that is still read."""
    shown: list[str] = []
    room = LONGEST_SIDE
    for part in parts:
        words = part.split()
        if len(words) > room:
            closing = "**" if room and part.startswith("**") else ""
            return " ".join([*shown, " ".join(words[:room]) + closing, "… (cut here)"])
        shown.append(part)
        room -= len(words)
    return " ".join(shown)


# evaluations, reviews -------------------------------------------------------------------------------------------------


def contamination_table(found: pl.DataFrame, count: int = SHOWN_HITS) -> Any:
    """Which evaluation item stands in which text, the longest overlaps first."""
    if not found.height:
        return "No text holds a run of words of an evaluation item."
    worst = found.sort(["words", "text_id", "item_id"], descending=[True, False, False]).head(count)
    return counts_table(
        [
            {
                "text": row["text_id"],
                "suite": row["suite"],
                "item": row["item_id"],
                "words": row["words"],
                "share": f"{row['share']:.0%}",
                "characters": f"{row['start']}-{row['end']}",
                "excerpt": row["excerpt"],
            }
            for row in worst.iter_rows(named=True)
        ]
    )


def review_table(reviews: Sequence[Mapping[str, Any]], known: Sequence[str], count: int = SHOWN_HITS) -> Any:
    """Decisions of people, latest first: on what, by whom, when, and whether a chunk of that name is still there."""
    if not reviews:
        return "Nobody has decided anything yet; `twainbot decide` prints the queue."
    have = set(known)
    latest = sorted(reviews, key=lambda row: str(row.get("decided_at") or ""), reverse=True)[:count]
    names = ("chunk_id", "decision", "reviewer", "decided_at", "note")
    return counts_table(
        [
            {
                **{name: row.get(name) for name in names},
                "applies": "yes" if row["chunk_id"] in have else "no such chunk now",
            }
            for row in latest
        ]
    )
