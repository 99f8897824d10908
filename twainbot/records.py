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
    "work_id": pl.String,  # <source>/<unit>, then the work's own name or place where a unit holds several; of a reject too
    "source": pl.String,  # gutenberg | satire | jokes | weather | transcripts | local
    "unit": pl.String,  # a partition: the book, file, feed, collection, or office and year
    "title": pl.String,  # as source or sidecar name it (of a joke its collection's), else its first words or the unit
    "author": pl.String,  # "Mark Twain", not "Twain, Mark"; empty where none is known
    "style": pl.String,  # one of STYLES or of the profile's own personas
    "language": pl.String,  # as the source says, mostly ISO 639-1; en where it says nothing
    "rights": pl.String,  # one of RIGHTS: what the claim comes to
    "license": pl.String,  # name, address or copyright notice as found; unknown where there is none
    "rights_claim": pl.String,  # who says so: header | licence | declared | catalogue | source | none
    "rights_rule": pl.String,  # why that decides: a name of twainbot/corpora/rights.py
    "url": pl.String,  # the work's own address, else where its bytes were read
    "edition": pl.String,  # the unit, unless its sidecar names another
    "retrieved_at": pl.String,  # ISO 8601, UTC; volatile: not part of the data version
    "raw_sha256": pl.String,  # of the document that its text came out of
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
    "unit": pl.String,  # the unit, or what was not taken
    "state": pl.String,  # works | rejected | no good version | not taken
    "works": pl.Int64,  # good ones
    "rejects": pl.Int64,  # works with a reject_reason
    "characters": pl.Int64,  # of the good works' texts
    "reasons": pl.List(pl.String),  # why rows were rejected, or why the unit was not taken
    "warnings": pl.List(pl.String),  # of its works, each once
    "rights": pl.List(pl.String),  # of its good works, each once
    "raw_sha256": pl.List(pl.String),  # of what was read: the first three, sorted
    "urls": pl.List(pl.String),  # where it was read: the first three, sorted
}
# a line of the licence matrix
RIGHTS_LINE: Schema = {
    "source": pl.String,  # gutenberg | satire | jokes | weather | transcripts | local
    "rights": pl.String,  # one of RIGHTS
    "license": pl.String,  # name, address or copyright notice as found; unknown where there is none
    "claim": pl.String,  # who says so
    "rule": pl.String,  # why that decides
    "works": pl.Int64,  # that carry these rights
    "characters": pl.Int64,  # of their texts
    "train": pl.String,  # yes | no: may the text train a model
    "release_text": pl.String,  # yes | no | with its notice | in the USA: may the text be released
    "excerpt": pl.String,  # yes | with its notice | headline and link | no: may a part be shown with its source
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
    "style": pl.String,  # of its work: one of STYLES or of the profile's own personas
    "tone": pl.String,  # by its style and its words: neutral where no tone has enough of them
    "topic": pl.String,  # by its words: general where no topic has enough of them
    "copyright_status": pl.String,  # one of RIGHTS
    "is_satire": pl.Boolean,  # its style is satire
    "weather_relevance": pl.Float64,  # 0..1
    "humor_density": pl.Float64,  # humour cues per 100 words
    "heading": pl.String,  # chapter or section that it stands in; empty where none
    "provenance": pl.String,  # JSON: title, author, edition, url, license, raw_sha256
    "readability": pl.Float64,  # Flesch-Kincaid grade: years of school
    "era": pl.String,  # period | modern | undated, by vocabulary and spelling
    "tagger": pl.String,  # name and version of the rules that gave the tags
}

SCREENED: Schema = {
    "chunk_id": pl.String,  # <work_id>:<start>-<end>
    "work_id": pl.String,  # the work that it is cut from
    "decision": pl.String,  # one of DECISIONS
    "reasons": pl.List(pl.String),  # why it is not kept, rejecting ones first; empty where it is kept
    "toxicity": pl.Float64,  # null where it was not scored
    "toxicity_backend": pl.String,  # "not_scored" where it was not scored
    "lexical_flags": pl.List(pl.String),  # kinds of words found: profanity, period terms, personal data, ...
    "sensitive_topics": pl.List(pl.String),  # topics found; those of the settings' review_topics send it to review
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
    "license": pl.String,  # of its work, as found
}

REJECT: Schema = {
    "sample_id": pl.String,  # chunk id, or work id where the work itself was rejected
    "work_id": pl.String,  # the work that it is, or is cut from
    "source": pl.String,  # gutenberg | satire | jokes | weather | transcripts | local
    "stage": pl.String,  # corpora | screened | dedupe | curated
    "decision": pl.String,  # review | reject
    "reasons": pl.List(pl.String),  # why, at the first stage it did not pass; `reviewed` last if a person decided
}

# arguments: a JSON object as text, so that Arrow's struct union adds no null arguments
TOOL_CALL = pl.Struct({"tool_name": pl.String, "arguments": pl.String})
TURN = pl.Struct({"role": pl.String, "content": pl.String, "tool_call": TOOL_CALL})

SEED: Schema = {
    "seed_id": pl.String,  # <batch>/<kind>/<number>
    "batch": pl.String,  # the partition that it is frozen in
    "kind": pl.String,  # style_transfer | tool_calls | contrastive
    "chunk_ids": pl.List(pl.String),  # of the passages or bulletins used; empty where there are none
    "payload": pl.String,  # JSON: the frozen inputs of this seed
}

DIALOGUE: Schema = {
    "conversation_id": pl.String,  # that of its seed, or the transcript's work id
    "kind": pl.String,  # style_transfer | tool_calls | no_tool | transcript
    "scenario": pl.String,  # what happens in it: single, clarify, follow_up, ...
    "tools": pl.String,  # JSON list of the tool schemas that the assistant was offered, under their served names
    "turns": pl.List(TURN),  # roles: system | user | assistant | tool
    "style_tags": pl.List(pl.String),  # persona, scenario, then what it is about or its form; a transcript's own
    "seed_id": pl.String,  # what it was made from; null for a transcript
    "origin": pl.String,  # JSON: who wrote it from what: generator, model, parents, prompt_hash, seed, ...
    "disclaimer": pl.String,  # who did not write it, or the transcript and its licence
}

PREFERENCE: Schema = {
    "preference_id": pl.String,  # of the seed that chose the flaw
    "prompt": pl.List(TURN),  # the turns before the two replies
    "chosen": pl.String,  # the reply to prefer
    "rejected": pl.String,  # another reply to the same prompt, with the flaw
    "flaw": pl.String,  # what was done to the rejected reply
    "seed_id": pl.String,  # of the dialogue that it was made from
    "origin": pl.String,  # JSON: generator, model, prompt_hash, seed, parents
}

FEEDBACK: Schema = {
    "conversation_id": pl.String,  # the dialogue that was rated
    "style": pl.Int64,  # 1..5
    "humor": pl.Int64,  # 1..5
    "factuality": pl.Int64,  # 5: all that is stated has its ground; 1: something has none; 3: faults of form
    "rater": pl.String,  # version of the rubric, or judge:model/prompt:hash
    "rationale": pl.String,  # what the scores rest on
}

SCREENED_DIALOGUE: Schema = {
    **DIALOGUE,
    "decision": pl.String,  # one of DECISIONS
    "reasons": pl.List(pl.String),  # why it is not kept; empty where nothing was found
    "toxicity": pl.Float64,  # of its replies together, the worst part of 512 tokens; null where no model ran
    "toxicity_backend": pl.String,  # "not_scored" where no model ran
}

ASSIGNMENT: Schema = {
    "sample_id": pl.String,  # chunk, conversation or preference id
    "kind": pl.String,  # passage | dialogue | preference
    "group_id": pl.String,  # of the first of the samples that must not cross splits: same cluster, work, seed or place
    "cluster_id": pl.String,  # of the passage that it is or retells; null elsewhere
    "split": pl.String,  # train | validation | test | held_back
    "stratum": pl.String,  # passage/<style>, dialogue/<kind> or preference: each is divided alike
}

DAPT_ROW: Schema = {
    "sample_id": pl.String,  # chunk id of the passage
    "split": pl.String,  # train | validation | test
    "style": pl.String,  # one of STYLES or of the profile's own personas
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
    "rejected": pl.String,  # another reply to the same prompt, with a flaw
}

GENERATION: Schema = {
    "case_id": pl.String,  # of the suite, such as call-036
    "suite": pl.String,  # tool_calls | grounding | chat
    "arm": pl.String,  # base, or the training stage whose adapter spoke
    "prompt": pl.String,  # the user's words
    "reply": pl.String,  # the reply that is judged, as the model wrote it: in a chat after a call the one behind the result
    "steps": pl.String,  # JSON list of {role, text, call}: the whole exchange after the prompt
    "expected": pl.String,  # JSON: the suite's expected calls; null where it has none
    "result": pl.String,  # JSON: the tool result that the reply was given, or null
}

EVAL: Schema = {
    "kind": pl.String,  # metric | item | verdict
    "name": pl.String,  # of the metric, item or verdict
    "arm": pl.String,  # base, stage, recipe or mixture that spoke; adapter where it is compared with base; else what was judged
    "value": pl.Float64,  # null where there was nothing to measure
    "low": pl.Float64,  # lower end of the 95 % confidence interval; null where it has none
    "high": pl.Float64,  # its upper end
    "n": pl.Int64,  # items behind the value
    "unit": pl.String,  # share | ratio | gain | words | number
    "better": pl.String,  # higher | lower | neither
    "payload": pl.String,  # JSON: a verdict in full, or what an item was; null for a metric
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
    """Column to the comment beside it in the schema that binds the table; empty where none does."""
    schema = schema_of(table)
    name = next((name for name, value in globals().items() if value is schema), "") if schema is not None else ""
    return _comments(name)


@cache
def _comments(schema: str) -> dict[str, str]:
    """Those of a schema and of what it takes in (`**CHUNK`)."""
    body = dict(_BODY.findall(Path(__file__).read_text(encoding="utf-8"))).get(schema, "")
    taken_in = [_comments(name) for name in re.findall(r"\*\*(\w+)", body)]
    return {column: said for found in (*taken_in, dict(_COMMENT.findall(body))) for column, said in found.items()}
