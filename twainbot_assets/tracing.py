"""`twainbot trace`: one sample walked back to characters of an edition and on to the adapters. It reads the lake only.

The way back: split row, dialogue or pair, its frozen seed, the passages it was made from, the work. What is said of a
passage's characters is checked against the work as it lies in corpora/ now, never taken on trust.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from resources.views import registered
from twainbot.errors import BadConfig, UnknownName
from twainbot.provenance import SPAN, chunk_span, standing
from twainbot_assets.keys import TRAINING_STAGES
from twainbot_assets.partitions import counted
from twainbot_assets.profile import SOURCES, recipe_path

if TYPE_CHECKING:
    import polars as pl

    from resources.lake import Lake

SPLIT_TABLES = {"dapt": "splits/dapt", "sft": "splits/sft", "preference": "splits/preferences"}
EDGE_WORDS = 9  # shown of the beginning and of the end of a text
VALUE_CHARACTERS = 110  # of one value of a seed
SHOWN = 5  # dialogues made from a passage, and ids offered for an unknown one
ALIKE = 0.5  # difflib's ratio from which an id is worth offering


Row: TypeAlias = dict[str, Any]


class Tables:
    """Rows of the lake by id. A table that was never built holds none, nor does a unit or batch that is no longer one."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.units = registered(lake)  # by the last audit: a trace asks no Dagster instance

    def counts(self, table: str, key: str | None) -> bool:
        """Whether a partition is of a unit or batch that still is one."""
        if key is None:
            return True
        keys = counted(table, self.units)
        return keys is None or key in keys

    def row(self, table: str, column: str, value: str, key: str | None = None) -> Row | None:
        """The row of this id in a table or partition."""
        import polars as pl

        if not self.counts(table, key) or not self.lake.exists(table, key):
            return None
        found = self.lake.scan(table, key).filter(pl.col(column) == value).collect()
        return found.row(0, named=True) if found.height else None

    def in_unit(self, stage: str, column: str, value: str) -> Row | None:
        """The row of a chunk or work id; such an id names its unit, which is its partition."""
        unit = unit_of(value)
        found = (self.row(f"{stage}/{source}", column, value, unit) for source in SOURCES)
        return next((row for row in found if row is not None), None)

    def chunk(self, sample_id: str) -> Row | None:
        """A passage as chunks/ has it."""
        return self.in_unit("chunks", "chunk_id", sample_id)

    def work(self, work_id: str) -> Row | None:
        """A work, rejected ones included."""
        return self.in_unit("corpora", "work_id", work_id)

    def dialogue(self, sample_id: str) -> Row | None:
        """A dialogue, with its decision where it was screened."""
        found = self.row("dialogues/screened", "conversation_id", sample_id)
        batch = sample_id.split("/", 1)[0]
        written = (
            self.row(f"dialogues/{kind}", "conversation_id", sample_id, batch)
            for kind in ("style_transfer", "tool_calls")
        )
        return found or next((row for row in written if row is not None), None)

    def pair(self, sample_id: str) -> Row | None:
        """A preference pair."""
        return self.row("dialogues/contrastive", "preference_id", sample_id, sample_id.split("/", 1)[0])

    def ids(self) -> Iterator[str]:
        """Every id that can be traced, in no order."""
        listed = [(f"chunks/{source}", "chunk_id") for source in SOURCES]
        listed += [(f"corpora/{source}", "work_id") for source in SOURCES]
        listed += [(f"dialogues/{kind}", "conversation_id") for kind in ("style_transfer", "tool_calls")]
        for table, column in [*listed, ("dialogues/contrastive", "preference_id")]:
            if keys := [key for key in self.lake.keys(table) if self.counts(table, key)]:
                yield from self.lake.scan_all(table, keys).select(column).collect()[column]


def unit_of(sample_id: str) -> str:
    """The unit in a chunk or work id, after the source; a book is its own unit (`gutenberg/pg76:0-900`)."""
    unit, slash, _ = without_source(sample_id).partition("/")
    return unit if slash else SPAN.sub("", unit)


Walk: TypeAlias = Callable[[Tables, Row], Iterator[str]]


def trace(lake: Lake, sample_id: str) -> Iterator[str]:
    """Lines for people: what the sample is, what it was made from, where it went. Parents are indented.

    `sample_id`: of a passage, dialogue, transcript, preference pair or work; `<source>/` in front of it is allowed.
    Raises UnknownName offering ids that look like it.
    """
    tables = Tables(lake)
    for name in (sample_id, without_source(sample_id)):
        for find, walk in KINDS:
            row = find(tables, name)
            if row is not None:
                yield from walk(tables, row)
                return
    raise unknown(tables, sample_id)


def without_source(sample_id: str) -> str:
    """The id without a source's name in front."""
    source, _, rest = sample_id.partition("/")
    return rest if source in SOURCES and rest else sample_id


def unknown(tables: Tables, sample_id: str) -> UnknownName:
    """The error for an id that no table holds; passages of the same work are offered first."""
    known = sorted(set(tables.ids()))
    if not known:
        return UnknownName(f"Nothing was built in {tables.lake.base} yet, so no id can be traced. Run `twainbot run`.")
    name = without_source(sample_id)
    family = [found for found in known if found.rpartition(":")[0] == name.rpartition(":")[0] != ""]
    alike = difflib.get_close_matches(name, family or known, n=SHOWN, cutoff=0.0 if family else ALIKE)
    offered = f"Similar ids: {', '.join(alike)}." if alike else f"Ids look like {known[0]} or {known[-1]}."
    return UnknownName(f"No sample has the id {sample_id!r}. {offered}")


# --- passages and works ----------------------------------------------------------------------------------------------


def passage(tables: Tables, chunk: Row) -> Iterator[str]:
    """A passage: its characters in the work, what became of it, what was made from it."""
    sample_id = chunk["chunk_id"]
    yield f"passage {sample_id}"
    yield f"  text: {ends(chunk['text'])} ({len(chunk['text']):,} characters, {chunk['token_count']:,} tokens)"
    yield from indented(span_lines(tables.work(chunk["work_id"]), sample_id, chunk["text"]))
    yield from indented(judged(tables, sample_id))
    yield from indented(training(tables, sample_id))
    yield from indented(used(tables, chunk))


def former_passage(tables: Tables, sample_id: str) -> Iterator[str]:
    """A parent that chunks/ no longer holds: its place in the work as it is now, plainly marked."""
    yield f"passage {sample_id}"
    yield "  text: chunks/ holds no such passage any more; the work or the chunking changed since it was used"
    yield from indented(span_lines(tables.work(chunk_span(sample_id)[0]), sample_id, None))


def span_lines(work: Row | None, sample_id: str, text: str | None) -> Iterator[str]:
    """The work, the span, and whether the passage's text still is what stands there."""
    work_id, start, end = chunk_span(sample_id)
    if work is None:
        yield f"work: {work_id} is not in corpora/ any more, so characters {start:,} to {end:,} cannot be checked"
        return
    yield from work_lines(work)
    there = work["text"][start:end]
    place = f"characters {start:,} to {end:,} of {len(work['text']):,} in the cleaned work"
    if text is None:
        yield f"span: {place}; now there: {ends(there)}"
    elif text == there:
        yield f"span: {place}; verified, the passage is exactly that text"
    else:
        yield f"span: {place} NO LONGER MATCH; now there: {ends(there)}. Run `twainbot refresh`."


def work_lines(work: Row) -> Iterator[str]:
    """Title, author, edition, rights and origin of a work."""
    yield f"work: {work['title']!r} by {work['author'] or 'an unnamed author'} ({work['work_id']}, source {work['source']})"
    yield f"edition: {work['edition']}; licence: {work['license'] or 'none stated'} ({work['rights']}); {work['language']}"
    yield f"url: {work['url'] or 'none'}; retrieved {work['retrieved_at'] or 'at an unknown time'}"
    yield f"raw_sha256: {work['raw_sha256']}"


def whole_work(tables: Tables, work: Row) -> Iterator[str]:
    """A work: where it is from, and what was cut from it or why nothing was."""
    import polars as pl

    yield f"work {work['work_id']}"
    yield from indented(work_lines(work))
    if work["reject_reason"]:
        yield f"  rejected at corpora: {work['reject_reason']}"
        return
    table = f"chunks/{work['source']}"
    if tables.lake.exists(table, work["unit"]):
        rows = tables.lake.scan(table, work["unit"]).filter(pl.col("work_id") == work["work_id"])
        cut = rows.sort("start").select("chunk_id").collect()["chunk_id"].to_list()
        yield f"  text: {len(work['text']):,} characters, cut into {len(cut)} passages"
        yield from (f"  passage {sample_id}" for sample_id in cut)


def judged(tables: Tables, sample_id: str) -> Iterator[str]:
    """Screening, cluster and curation of a passage."""
    screened = tables.in_unit("screened", "chunk_id", sample_id)
    yield f"screening: {decision_of(screened)}" if screened else "screening: not done yet"
    cluster = tables.row("dedupe/clusters", "chunk_id", sample_id)
    yield f"cluster: {cluster_of(cluster)}" if cluster else "cluster: not found yet"
    reject = tables.row("curated/rejects", "sample_id", sample_id)
    if reject is not None:
        waits = "waits for a person (`twainbot decide`)" if reject["decision"] == "review" else "rejected"
        yield f"curated: {waits} at {reject['stage']}: {', '.join(reject['reasons'])}"
    else:
        kept = tables.row("curated/passages", "chunk_id", sample_id)
        yield "curated: kept" if kept else "curated: not decided yet"


def decision_of(row: Mapping[str, Any]) -> str:
    """A screening decision with its reasons and its toxicity."""
    reasons = f" ({', '.join(row['reasons'])})" if row["reasons"] else ""
    backend = row["toxicity_backend"]
    scored = f"{row['toxicity']:.3f} by {backend}" if row["toxicity"] is not None else "not scored"
    return f"{row['decision']}{reasons}; toxicity {scored}"


def cluster_of(row: Mapping[str, Any]) -> str:
    """A near-duplicate cluster, and whether this copy is the one that is kept."""
    if row["size"] == 1:
        return "no near-duplicate"
    kept = "this copy is kept" if row["is_canonical"] else "another copy is kept"
    return f"{row['cluster_id']} with {row['size']} members; {kept}"


def used(tables: Tables, chunk: Row) -> Iterator[str]:
    """Dialogues that were made from a passage, or that are the transcript it was cut from."""
    import polars as pl

    if not tables.lake.exists("dialogues/screened"):
        return
    names = [
        json.dumps(chunk["chunk_id"]),
        json.dumps(chunk["work_id"]),
    ]  # as they stand in an origin's list of parents
    mentions = pl.any_horizontal(pl.col("origin").str.contains(name, literal=True) for name in names)
    rows = tables.lake.scan("dialogues/screened").filter(mentions).select("conversation_id").collect()
    found = sorted(rows["conversation_id"].to_list())
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield f"used in: {', '.join(found[:SHOWN])}{more}"


# --- dialogues and pairs ---------------------------------------------------------------------------------------------


def dialogue(tables: Tables, row: Row) -> Iterator[str]:
    """A dialogue: who wrote it, from which seed and passages, whether it was kept, where it trains."""
    sample_id = row["conversation_id"]
    said = [turn["content"] for turn in row["turns"] if turn["role"] != "system" and turn["content"]]
    yield f"dialogue {sample_id} ({row['kind']}; {', '.join(row['style_tags'] or [])})"
    yield f"  text: {len(row['turns'])} turns: {ends(' '.join(said))}"
    yield from indented(origin_lines(row))
    yield from indented(gate_lines(row))
    yield from indented(training(tables, sample_id))
    seed = seed_of(tables, row["seed_id"])
    yield from indented(seed_lines(seed, row["seed_id"]))
    for parent in parents(row):
        yield from indented(parent_lines(tables, parent, seed))


def pair(tables: Tables, row: Row) -> Iterator[str]:
    """A preference pair, and the dialogue that it was made from with all that stands behind it."""
    sample_id = row["preference_id"]
    yield f"preference {sample_id} (flaw of the rejected reply: {row['flaw']})"
    yield f"  chosen: {ends(row['chosen'])}"
    yield f"  rejected: {ends(row['rejected'])}"
    yield from indented(origin_lines(row))
    yield from indented(training(tables, sample_id))
    yield from indented(seed_lines(seed_of(tables, sample_id), sample_id))
    for parent in parents(row)[:1]:  # the dialogue comes first; the passages after it are the dialogue's own parents
        behind = tables.dialogue(parent)
        yield from indented(dialogue(tables, behind) if behind else [f"dialogue {parent}: not in dialogues/ any more"])


def origin_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """What wrote a synthetic row: generator, model, prompt with its version and hash, seed, and the draft behind it."""
    origin = json.loads(row["origin"] or "{}")
    yield f"written by: {', '.join([str(origin.get('generator', 'unknown')), *named(origin, WRITER)])}"
    if origin.get("draft"):
        yield f"draft by: {', '.join([str(origin['draft'].get('generator', 'unknown')), *named(origin['draft'], WRITER)])}"
    if origin.get("repaired"):
        yield "repaired: the first answer was refused, the second one is this"
    if row.get("disclaimer"):
        yield f"disclaimer: {row['disclaimer']}"


WRITER = ("data", "model", "answered_by", "prompt", "prompt_hash", "seed")  # of an origin


def named(origin: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """`name value` of what the origin says."""
    return [f"{name} {origin[name]}" for name in names if origin.get(name) is not None]


def gate_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """The decision on a dialogue, and each gate with what it found; what the rules find now is told beside."""
    if not row.get("decision"):
        yield "screening: not done yet"
        return
    from twainbot.dialogues.quality import GATES, problems

    yield f"screening: {decision_of(row)}"
    kinds = {str(reason).partition(":")[0] for reason in row["reasons"] or []}
    passed = [gate for gate, found in GATES.items() if not kinds & set(found)]
    if row["toxicity"] is None and "toxicity" in passed:
        passed[passed.index("toxicity")] = "toxicity (not scored)"
    yield f"gates passed: {', '.join(passed) or 'none'}"
    if failed := [gate for gate, found in GATES.items() if kinds & set(found)]:
        yield f"gates failed: {', '.join(failed)}"
    now = problems(row)
    yield f"the rules today: {'; '.join(now) if now else 'no fault'}"


def parents(row: Mapping[str, Any]) -> list[str]:
    """Ids that a synthetic row names as its parents, in order."""
    return [str(parent) for parent in json.loads(row["origin"] or "{}").get("parents") or []]


def seed_of(tables: Tables, seed_id: str | None) -> Row | None:
    """The frozen seed of a dialogue or pair; transcripts have none."""
    return tables.row("dialogues/seeds", "seed_id", seed_id, seed_id.split("/", 1)[0]) if seed_id else None


def seed_lines(seed: Row | None, seed_id: str | None) -> Iterator[str]:
    """What a dialogue was written from, value by value."""
    if not seed_id:
        return
    if seed is None:
        yield f"seed: {seed_id} is not in dialogues/seeds any more"
        return
    yield f"seed: {seed_id}, frozen in batch {seed['batch']}"
    for name, value in json.loads(seed["payload"]).items():
        yield f"  {name}: {shortened(value)}"


def parent_lines(tables: Tables, parent: str, seed: Row | None) -> Iterator[str]:
    """A parent passage or work; for a passage also where the retold words stand in its work."""
    work = tables.work(parent)
    if work is not None:
        yield from whole_work_of_transcript(work)
        return
    if not SPAN.search(parent):
        yield f"work {parent}: not in corpora/ any more"
        return
    chunk = tables.chunk(parent)
    yield from passage(tables, chunk) if chunk is not None else former_passage(tables, parent)
    work_id, *span = chunk_span(parent)
    work, words = tables.work(work_id), json.loads(seed["payload"]).get("text") if seed is not None else None
    place = standing(words, work["text"], *span) if words and work is not None else None
    if place is not None:
        yield f"  retold words: characters {place[0]:,} to {place[1]:,} of the work"


def whole_work_of_transcript(work: Row) -> Iterator[str]:
    """The work behind a transcript, which is used whole."""
    yield f"work {work['work_id']}, used whole"
    yield from indented(work_lines(work))


# --- forward: splits and adapters ------------------------------------------------------------------------------------


def training(tables: Tables, sample_id: str) -> Iterator[str]:
    """The split of a sample, and the adapters of every recipe that were trained with it."""
    assigned = tables.row("splits/assignments", "sample_id", sample_id)
    if assigned is None:
        yield "split: none, so no adapter is trained on it"
        return
    yield f"split: {assigned['split']} ({assigned['stratum']}; group {assigned['group_id']})"
    for stage, table in SPLIT_TABLES.items():
        if tables.row(table, "sample_id", sample_id) is not None:
            yield f"{table}: {'a training row' if assigned['split'] == 'train' else 'held out, no adapter is trained on it'}"
            if assigned["split"] == "train":
                yield from adapter_lines(tables, stage, sample_id)


def adapter_lines(tables: Tables, stage: str, sample_id: str) -> Iterator[str]:
    """The adapters that a training row of this stage went into, and those that began from them."""
    trained = list(adapters(tables, stage))
    if not trained:
        yield f"adapters/{stage}: nothing trained yet"
    uses = [(row, *use_of(tables, row, stage, sample_id)) for row in trained]
    yield from (f"{line}: {adapter_name(row)}" for row, _, line in uses)
    recipes = {row["recipe"] for row, may_hold, _ in uses if may_hold}
    for later in TRAINING_STAGES[TRAINING_STAGES.index(stage) + 1 :]:
        rows = (row for row in adapters(tables, later) if record_of(row).get("init_adapter_sha256"))
        yield from (f"carried on in: {adapter_name(row)}" for row in rows if row["recipe"] in recipes)


def adapters(tables: Tables, stage: str) -> Iterator[Row]:
    """The current adapters of a stage, one per recipe, sorted by recipe."""
    for key in tables.lake.keys(f"adapters/{stage}"):
        yield from tables.lake.read(f"adapters/{stage}", key).iter_rows(named=True)


def adapter_name(row: Mapping[str, Any]) -> str:
    """An adapter by stage, recipe, folder and hashes."""
    return (
        f"adapters/{row['stage']} [{row['recipe']}] in {row['folder']} "
        f"(weights {row['adapter_sha256'][:12]}, fingerprint {row['fingerprint'][:12]})"
    )


def use_of(tables: Tables, row: Mapping[str, Any], stage: str, sample_id: str) -> tuple[bool, str]:
    """(Whether an adapter may hold a training row, in words): by its record of data and recipe, not by name alone."""
    drawn, doubt = reading(record_of(row), tables.lake.read(SPLIT_TABLES[stage]), stage)
    if drawn is None:
        return True, doubt
    if sample_id not in drawn:
        return False, f"not drawn by its recipe, which took {len(drawn)} rows"
    return True, f"trained on it ({doubt})" if doubt else "trained on it"


def reading(record: Mapping[str, Any], rows: pl.DataFrame, stage: str) -> tuple[set[str] | None, str]:
    """(The sample ids that a training drew, None where that cannot be told; what is doubtful about it, in words)."""
    from twainbot.records import content_hash

    if record.get("data_sha256") not in (None, content_hash(rows)):
        return None, f"trained on another version of {SPLIT_TABLES[stage]}, rebuilt since"
    drawn = drawn_by(record, rows, stage)
    if drawn is None:
        return None, "trained on this table by a recipe that changed since, so whether it drew this row is unknown"
    left_out = (record.get("plan") or {}).get("too_long") or 0
    return drawn, f"unless it is among {left_out} rows that were too long" if left_out else ""


def learned(lake: Lake, row: Mapping[str, Any], stage: str) -> tuple[set[str], bool, str]:
    """The rows that an adapter learned from, all that it may have where that cannot be told; whether it can; any doubt."""
    if not lake.exists(SPLIT_TABLES[stage]):
        return set(), False, f"{SPLIT_TABLES[stage]} is not in the lake any more"
    rows = lake.read(SPLIT_TABLES[stage])
    drawn, doubt = reading(record_of(row), rows, stage)
    return set(rows.filter(rows["split"] == "train")["sample_id"]) if drawn is None else drawn, drawn is not None, doubt


def drawn_by(record: Mapping[str, Any], rows: pl.DataFrame, stage: str) -> set[str] | None:
    """The sample ids that a training drew, drawn again by its recipe; None where that recipe is not the one on disk."""
    from training.config import load_recipe
    from training.rows import choose_dialogues, choose_for_sft

    train = rows.filter(rows["split"] == "train")
    if stage == "dapt":
        return set(train["sample_id"])  # reads every passage
    try:
        recipe = load_recipe(recipe_path(*str(record.get("recipe")).split("/", 1)))
    except (BadConfig, TypeError):  # no recipe of that name, or none named
        return None
    if recipe.stage_hash(stage) != record.get("config_sha256"):
        return None
    if stage == "sft":
        chosen = choose_for_sft(train, recipe.seed, recipe.sft)
    else:
        chosen = choose_dialogues(train, recipe.seed, recipe.preference.max_rows, None)
    return set(chosen["sample_id"])


def record_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the training wrote about itself; empty where the row has no record."""
    found: dict[str, Any] = json.loads(row.get("record") or "{}")
    return found


# --- words -----------------------------------------------------------------------------------------------------------


def ends(text: str) -> str:
    """The first and last words of a text in quotation marks; a short text whole."""
    words = text.split()
    if len(words) <= 2 * EDGE_WORDS:
        return f'"{" ".join(words)}"'
    return f'"{" ".join(words[:EDGE_WORDS])} ... {" ".join(words[-EDGE_WORDS:])}"'


def shortened(value: Any) -> str:
    """A seed's value on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}..."


def indented(lines: Iterable[str]) -> Iterator[str]:
    """The lines, two spaces in."""
    return (f"  {line}" for line in lines)


# A transcript's id is also its work's, and its dialogue tells more: dialogues are looked up before works.
KINDS: tuple[tuple[Callable[[Tables, str], Row | None], Walk], ...] = (
    (Tables.chunk, passage), (Tables.dialogue, dialogue), (Tables.pair, pair), (Tables.work, whole_work),
)  # fmt: skip
