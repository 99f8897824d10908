"""The record kinds: one polars schema per table. What a stage does to rows lives in that stage's package.

Every table may carry more columns than its schema lists; none may lack one. `conform` checks and orders columns,
`content_hash` gives the data version of a table. The comment beside a column is its description in the UI (`meanings`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from twainbot.columns import own_columns
from twainbot.errors import BadInput
from twainbot.styles import STYLES as STYLES

SCHEMA_VERSION = 1  # written into every lake file; a reader refuses any other

Schema: TypeAlias = Mapping[str, Any]

SPLITS = ("train", "validation", "test")
HELD_BACK = (
    "held_back"  # a sample that would tie two splits together: it neither trains nor judges (splits/straddling.py)
)
DECISIONS = ("keep", "review", "reject")
RIGHTS = ("public_domain", "public_domain_us", "cc0", "open_license", "permission", "restricted", "unknown")
TRAINABLE_RIGHTS = ("public_domain", "public_domain_us", "cc0", "open_license", "permission")

# A work whose reject_reason is not null is a recorded reject: it keeps its identity and reason, and goes no further.
WORK: Schema = {
    "work_id": pl.String,  # <source>/<unit>/<work>; never changes, also of a reject
    "source": pl.String,  # gutenberg | satire | jokes | weather | transcripts | local
    "unit": pl.String,  # the file, book or feed that it came in: a partition
    "title": pl.String,  # as the source names it
    "author": pl.String,  # "Mark Twain", not "Twain, Mark"; empty where none is known
    "style": pl.String,  # the voice that it stands for: one of STYLES
    "language": pl.String,  # ISO 639-1, such as en
    "rights": pl.String,  # one of RIGHTS: what the claim comes to
    "license": pl.String,  # name or address of the licence, where there is one
    "rights_claim": pl.String,  # who says so: header | licence | declared | catalogue | source | none
    "rights_rule": pl.String,  # why that decides: a name of twainbot/corpora/rights.py
    "url": pl.String,  # where it was read
    "edition": pl.String,  # the one that was read: etext number, office and year, else the unit
    "retrieved_at": pl.String,  # ISO 8601, UTC; volatile: not part of the data version
    "raw_sha256": pl.String,  # of the bytes that were read
    "text": pl.String,  # as corpora/repairs.py stores it; spans refer to this
    "normaliser_version": pl.String,  # of the repairs
    "repairs": pl.String,  # JSON: places changed, by repair
    "warnings": pl.List(pl.String),  # what was odd and did no harm
    "reject_reason": pl.String,  # why it goes no further; null for a good work
    "extra": pl.String,  # JSON object: what only this source knows (headline, office, turns, forecast facts)
}

# what became of a unit of the corpora
AUDIT: Schema = {
    "source": pl.String,  # gutenberg | satire | jokes | weather | transcripts | local
    "unit": pl.String,  # the file, book or feed
    "state": pl.String,  # works | rejected | no good version | not taken
    "works": pl.Int64,  # good ones
    "rejects": pl.Int64,  # works with a reject_reason
    "characters": pl.Int64,  # of the good works' texts
    "reasons": pl.List(pl.String),  # why rows were rejected, or why the unit was not taken
    "warnings": pl.List(pl.String),  # of its works, each once
    "rights": pl.List(pl.String),  # of its works, each once
    "raw_sha256": pl.List(pl.String),  # of what was read
    "urls": pl.List(pl.String),  # where it was read
}
# a line of the licence matrix
RIGHTS_LINE: Schema = {
    "source": pl.String,  # gutenberg | satire | jokes | weather | transcripts | local
    "rights": pl.String,  # one of RIGHTS
    "license": pl.String,  # name or address of the licence
    "claim": pl.String,  # who says so
    "rule": pl.String,  # why that decides
    "works": pl.Int64,  # that carry these rights
    "characters": pl.Int64,  # of their texts
    "train": pl.String,  # yes | no: may the text train a model
    "release_text": pl.String,  # yes | no | with its notice | in the USA: may the text be released
    "excerpt": pl.String,  # yes | no | ...: may a part be shown with its source
}

CHUNK: Schema = {
    "chunk_id": pl.String,  # <work_id>:<start>-<end>
    "work_id": pl.String,  # the work that it is cut from
    "source": pl.String,  # gutenberg | satire | jokes | weather | transcripts | local
    "unit": pl.String,  # the file, book or feed of the work
    "start": pl.Int64,  # characters in work.text, 0-based, inclusive
    "end": pl.Int64,  # exclusive
    "text": pl.String,  # == work.text[start:end]
    "token_count": pl.Int64,  # exact, base tokenizer, no special tokens
    "style": pl.String,  # the voice of its work: one of STYLES
    "tone": pl.String,  # by its words: neutral where no tone has enough of them
    "topic": pl.String,  # by its words: general where no topic has enough of them
    "copyright_status": pl.String,  # one of RIGHTS
    "is_satire": pl.Boolean,  # its style is satire
    "weather_relevance": pl.Float64,  # 0..1
    "humor_density": pl.Float64,  # humour cues per 100 words
    "heading": pl.String,  # chapter or section that it stands in
    "provenance": pl.String,  # JSON: title, author, edition, url, license, raw_sha256
    "readability": pl.Float64,  # Flesch-Kincaid grade: years of school
    "era": pl.String,  # period | modern | undated, by vocabulary and spelling
    "tagger": pl.String,  # name and version of the rules that gave the tags
}

SCREENED: Schema = {
    "chunk_id": pl.String,  # <work_id>:<start>-<end>
    "work_id": pl.String,  # the work that it is cut from
    "decision": pl.String,  # one of DECISIONS
    "reasons": pl.List(pl.String),  # why it is not kept, or what was weighed; empty where nothing was found
    "toxicity": pl.Float64,  # null where no model ran
    "toxicity_backend": pl.String,  # "not_scored" where no model ran
    "lexical_flags": pl.List(pl.String),  # kinds of words found: profanity, period terms, personal data, ...
    "sensitive_topics": pl.List(pl.String),  # topics that want a second look; they alone reject nothing
    "quality_flags": pl.List(pl.String),  # what is wrong with it as text: too_few_words, repeated_ngrams, ...
    "language": pl.String,  # en | other | unclear, by its words
    "scored_because": pl.String,  # flagged | sample | not_drawn | no_model: why the model scored it, or did not
    "evidence": pl.List(pl.String),  # period terms with their surroundings, for whoever reviews
}

SIGNATURE: Schema = {
    "chunk_id": pl.String,  # <work_id>:<start>-<end>
    "work_id": pl.String,  # the work that it is cut from
    "text_hash": pl.String,  # 128-bit hex of the normalised text
    "shingle_count": pl.Int64,  # n-grams, repeats included; 0 where the text has no words
    "signature": pl.List(pl.UInt32),  # as many values as the scheme's engine makes of a text
    "scheme": pl.String,  # engine, its parameters, shingle length, hash and normaliser version; unlike ones refuse to join
    "keys": pl.Binary,  # on which texts meet, four bytes each, little-endian: a join reads these, and no signature
    "key_scheme": pl.String,  # the scheme, and how keys come from it: other bands are other keys
}

EDGE: Schema = {
    "a": pl.String,  # chunk id, a < b
    "b": pl.String,  # the other chunk id
    "jaccard": pl.Float64,  # exact, of the sets of n-grams
    "containment": pl.Float64,  # exact: shared n-grams over those of the smaller set
}

CLUSTER: Schema = {
    "chunk_id": pl.String,  # <work_id>:<start>-<end>
    "cluster_id": pl.String,  # the smallest chunk id of the cluster
    "is_canonical": pl.Boolean,  # the one member that is kept
    "size": pl.Int64,  # chunks of the cluster
}

PASSAGE: Schema = {
    **CHUNK,
    "cluster_id": pl.String,  # of near-duplicates; it is the one that was kept
    "title": pl.String,  # of its work
    "author": pl.String,  # of its work
    "license": pl.String,  # of its work
}

REJECT: Schema = {
    "sample_id": pl.String,  # chunk id, or work id where the work itself was rejected
    "work_id": pl.String,  # the work that it is, or is cut from
    "source": pl.String,  # gutenberg | satire | jokes | weather | transcripts | local
    "stage": pl.String,  # corpora | screened | dedupe | curated
    "decision": pl.String,  # review | reject
    "reasons": pl.List(pl.String),  # every rule that it broke, with what was found
}

# arguments: a JSON object as text, so that Arrow's struct union adds no null arguments
TOOL_CALL = pl.Struct({"tool_name": pl.String, "arguments": pl.String})
TURN = pl.Struct({"role": pl.String, "content": pl.String, "tool_call": TOOL_CALL})

SEED: Schema = {
    "seed_id": pl.String,  # <batch>/<kind>/<number>
    "batch": pl.String,  # the partition that it is frozen in
    "kind": pl.String,  # style_transfer | tool_calls | contrastive
    "chunk_ids": pl.List(pl.String),  # passages and bulletins that the dialogue is made of
    "payload": pl.String,  # JSON: the frozen inputs of this seed
}

DIALOGUE: Schema = {
    "conversation_id": pl.String,  # that of its seed, or the transcript's own
    "kind": pl.String,  # style_transfer | tool_calls | no_tool | transcript
    "scenario": pl.String,  # what happens in it: single, clarify, follow_up, ...
    "tools": pl.String,  # JSON list of the tool schemas that the assistant was offered, under their served names
    "turns": pl.List(TURN),  # roles: system | user | assistant | tool
    "style_tags": pl.List(pl.String),  # persona, kind and form of what it was made of
    "seed_id": pl.String,  # what it was made from; null for a transcript
    "origin": pl.String,  # JSON: generator, model, prompt_hash, seed, parents
    "disclaimer": pl.String,  # who did not write it, or the transcript and its licence
}

PREFERENCE: Schema = {
    "preference_id": pl.String,  # that of its seed
    "prompt": pl.List(TURN),  # the turns before the two replies
    "chosen": pl.String,  # the reply to prefer
    "rejected": pl.String,  # the same reply with the flaw
    "flaw": pl.String,  # what was done to the rejected reply
    "seed_id": pl.String,  # what it was made from
    "origin": pl.String,  # JSON: generator, model, prompt_hash, seed, parents
}

FEEDBACK: Schema = {
    "conversation_id": pl.String,  # the dialogue that was rated
    "style": pl.Int64,  # 1..5
    "humor": pl.Int64,  # 1..5
    "factuality": pl.Int64,  # 1..5: does it say what its result says
    "rater": pl.String,  # name and version of the rules, or the judge's model
    "rationale": pl.String,  # what cost points
}

SCREENED_DIALOGUE: Schema = {
    **DIALOGUE,
    "decision": pl.String,  # one of DECISIONS
    "reasons": pl.List(pl.String),  # why it is not kept; empty where nothing was found
    "toxicity": pl.Float64,  # the worst turn's; null where no model ran
    "toxicity_backend": pl.String,  # "not_scored" where no model ran
}

ASSIGNMENT: Schema = {
    "sample_id": pl.String,  # chunk, conversation or preference id
    "kind": pl.String,  # passage | dialogue | preference
    "group_id": pl.String,  # what must not cross splits: the component of clusters, works and seeds
    "cluster_id": pl.String,  # of near-duplicates, where it was compared
    "split": pl.String,  # train | validation | test | held_back
    "stratum": pl.String,  # kind, and style or kind of dialogue: each is divided alike
}

DAPT_ROW: Schema = {
    "sample_id": pl.String,  # chunk id of the passage
    "split": pl.String,  # train | validation | test
    "style": pl.String,  # one of STYLES
    "text": pl.String,  # the passage
    "token_count": pl.Int64,  # exact, base tokenizer, no special tokens
}

SFT_ROW: Schema = {
    "sample_id": pl.String,  # conversation id
    "split": pl.String,  # train | validation | test
    "kind": pl.String,  # style_transfer | tool_calls | no_tool | transcript
    "persona": pl.String,  # whose voice it teaches
    "scenario": pl.String,  # what happens in it: single, clarify, follow_up, ...
    "messages": pl.String,  # JSON list of chat messages; tool calls as {"name", "arguments"}
    "tools": pl.String,  # JSON list of tool schemas
}

PREFERENCE_ROW: Schema = {
    "sample_id": pl.String,  # preference id
    "split": pl.String,  # train | validation | test
    "prompt": pl.String,  # JSON list of chat messages
    "chosen": pl.String,  # the reply to prefer
    "rejected": pl.String,  # the same reply with a flaw
}

GENERATION: Schema = {
    "case_id": pl.String,  # of the suite, such as call-036
    "suite": pl.String,  # tool_calls | grounding | chat
    "arm": pl.String,  # base, or the training stage whose adapter spoke
    "prompt": pl.String,  # the user's words
    "reply": pl.String,  # the model's first turn after the case's context, as it wrote it
    "steps": pl.String,  # JSON list of {role, text, call}: the whole exchange after the prompt
    "expected": pl.String,  # JSON: the suite's expected calls; null where it has none
    "result": pl.String,  # JSON: the tool result that the reply was given; null where it had none
}

EVAL: Schema = {
    "kind": pl.String,  # metric | item | verdict
    "name": pl.String,  # of the metric, item or verdict
    "arm": pl.String,  # base, the training stage whose adapter spoke, or adapter where the two are compared
    "value": pl.Float64,  # null where there was nothing to measure
    "low": pl.Float64,  # 95 % confidence interval; null where it has none
    "high": pl.Float64,  # its upper end
    "n": pl.Int64,  # items behind the value
    "unit": pl.String,  # share | ratio | gain | words | number
    "better": pl.String,  # higher | lower | neither
    "payload": pl.String,  # JSON: a verdict in full, or what an item was
}

VOLATILE = ("retrieved_at", "created_at", "duration_s", "tokens_per_s", "path")


def empty(schema: Schema) -> pl.DataFrame:
    """A frame of no rows with exactly the schema's columns."""
    return pl.DataFrame(schema=dict(schema))


def frame(rows: Iterable[Mapping[str, Any]], schema: Schema) -> pl.DataFrame:
    """Rows of dictionaries to a frame with the schema's columns first, cast to its types.

    Keys beyond the schema are kept as further columns; a missing key becomes null.
    """
    listed = list(rows)
    if not listed:
        return empty(schema)
    extra = [key for key in dict.fromkeys(key for row in listed for key in row) if key not in schema]
    known = pl.DataFrame([{key: row.get(key) for key in schema} for row in listed], schema=dict(schema), strict=False)
    if not extra:
        return known
    more = pl.DataFrame([{key: row.get(key) for key in extra} for row in listed], infer_schema_length=None)
    return known.hstack(more)


def conform(rows: pl.DataFrame, schema: Schema, table: str) -> pl.DataFrame:
    """The same rows with the schema's columns first and cast, further columns after them.

    Raises BadInput naming the table and the columns that are missing or do not cast.
    """
    missing = [name for name in schema if name not in rows.columns]
    if missing:
        found = f"Table {table} lacks the columns {missing}; it has {rows.columns}."
        raise BadInput(f"{found} Rebuild the asset that writes it.")
    extra = [name for name in rows.columns if name not in schema]
    try:
        return rows.select([pl.col(name).cast(dtype) for name, dtype in schema.items()] + [pl.col(n) for n in extra])
    except pl.exceptions.PolarsError as error:
        found = f"Table {table} has a column of the wrong type: {error}."
        raise BadInput(f"{found} Rebuild the asset that writes it.") from error


_LINES = 50_000  # of a table at once in Python


def content_hash(rows: pl.DataFrame, volatile: Iterable[str] = VOLATILE) -> str:
    """64 hex digits over the rows, whatever their order, less the volatile columns.

    Equal content gives equal hashes on any machine: rows are written as canonical JSON lines, then sorted.
    """
    skipped = set(volatile)
    columns = sorted(name for name in rows.columns if name not in skipped)
    digest = hashlib.sha256(json.dumps([SCHEMA_VERSION, columns]).encode())
    chosen = rows.select(columns)
    # Lines as Arrow strings, in the order of their bytes, which is that of their characters: as Python's own a million
    # take several times the room.
    slices = [_lines(chosen.slice(start, _LINES)) for start in range(0, chosen.height, _LINES)]
    for line in pl.concat(slices).sort() if slices else ():
        digest.update(line.encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()


def _lines(rows: pl.DataFrame) -> pl.Series:
    """Each row as a canonical JSON line."""
    records = rows.iter_rows(named=True)
    return pl.Series(
        [json.dumps(row, sort_keys=True, ensure_ascii=False, default=str) for row in records], dtype=pl.String
    )


# What every lake file must hold, by its path in the lake or by its stage. Tables with no entry carry their own columns.
TABLES: Mapping[str, Schema] = {
    "corpora": WORK,
    "corpora/audit": AUDIT,
    "corpora/rights": RIGHTS_LINE,
    "chunks": CHUNK,
    "screened": SCREENED,
    "dedupe/signatures": SIGNATURE,
    "dedupe/edges": EDGE,
    "dedupe/clusters": CLUSTER,
    "curated/passages": PASSAGE,
    "curated/rejects": REJECT,
    "dialogues/seeds": SEED,
    "dialogues/style_transfer": DIALOGUE,
    "dialogues/tool_calls": DIALOGUE,
    "dialogues/contrastive": PREFERENCE,
    "dialogues/feedback": FEEDBACK,
    "dialogues/screened": SCREENED_DIALOGUE,
    "splits/assignments": ASSIGNMENT,
    "splits/dapt": DAPT_ROW,
    "splits/sft": SFT_ROW,
    "splits/preferences": PREFERENCE_ROW,
    "evals/baseline": GENERATION,
    "evals/generations": GENERATION,
    **{
        f"evals/{name}": EVAL
        for name in ("perplexity", "style", "humor", "tool_calls", "grounding", "coding", "ratings", "personas")
    },
}


def schema_of(table: str) -> Schema | None:
    """The schema that binds a table (`chunks/local`, `splits/dapt`), or None where it carries its own columns."""
    parts = table.split("/")
    for length in range(len(parts), 0, -1):
        found = TABLES.get("/".join(parts[:length]))
        if found is not None:
            return found
    return None


_BODY = re.compile(r"^([A-Z_]+): Schema = \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r'^    "(\w+)": .*,  # (.+)$', re.MULTILINE)


def meanings(table: str) -> dict[str, str]:
    """Column to the comment beside it in the schema that binds the table; of tables without one what `columns` says."""
    schema = schema_of(table)
    if schema is None:
        return dict(own_columns(table))
    return _comments(next(name for name, value in globals().items() if value is schema))


@cache
def _comments(schema: str) -> dict[str, str]:
    """Those of a schema and of what it takes in (`**CHUNK`)."""
    body = dict(_BODY.findall(Path(__file__).read_text(encoding="utf-8"))).get(schema, "")
    taken_in = [_comments(name) for name in re.findall(r"\*\*(\w+)", body)]
    return {column: said for found in (*taken_in, dict(_COMMENT.findall(body))) for column, said in found.items()}
