"""What the card of a data bundle says, drawn from its own tables. How a card is written is cards.py's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from twainbot.corpora.inventory import matrix_lines
from twainbot.corpora.rights import USES
from twainbot.markdown import plain
from twainbot.personas import authors, speaking
from twainbot.records import SPLITS
from twainbot.release import funnel
from twainbot.release.cards import DatasetFacts, SourceFacts, dataset_card, table
from twainbot.release.snapshot import SPLIT_CONFIGS, WHOLE_CONFIGS, Material

NAME = "TwainBot"
DEFAULT = "sft"
CONFIG_WORDS = {
    "dapt": "a passage of a work, for pretraining on the domain: `text`, `style`, `token_count`",
    "sft": "a dialogue as chat `messages` with the `tools` that it offers, for supervised fine-tuning",
    "preferences": "a `prompt` with a `chosen` and a `rejected` reply",
    "dialogues": "the dialogues of `sft` as they were stored and screened: `turns`, tags, origin, disclaimer, toxicity",
    "provenance": "where a row of `dapt`, `sft` or `preferences` comes from; same `sample_id`, same split",
    "works": "a work behind those rows: title, author, edition, URL, terms, hashes; no text",
    "left_out": "a work, passage, dialogue or pair that is not released, with the stage and the reasons; no text",
}
LOADING = """```python
import json
from pathlib import Path

from datasets import load_dataset

folder = str(Path().resolve())  # where this README lies
talks = load_dataset(folder, "sft", split="train")  # without a name it is sft, without a split all of them


def for_chat_template(messages):
    \"\"\"Drop the nulls that Arrow fills in, and read the arguments of the calls.\"\"\"
    messages = [{key: value for key, value in message.items() if value is not None} for message in messages]
    for message in messages:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


messages = for_chat_template(talks[0]["messages"])
tools = json.loads(talks[0]["tools"])
```

It opens offline; a split without rows is not listed. The arguments of tool calls and the tool schemas are JSON text: as
objects, Arrow would give each the keys of all the others, with nulls for values that nobody wrote. The same rows lie as
JSON lines under `jsonl/`, for tools that read those."""
TRACING = """```python
row = load_dataset(folder, "provenance", split="train")[0]
work = next(work for work in load_dataset(folder, "works", split="works") if work["work_id"] == row["work_id"])
```

Characters `start` to `end` (0-based, end exclusive) of the cleaned work `work_id` are the passage, or the words that a
dialogue retells; `span` says which. `raw_sha256` names the file that the work was read from, `text_sha256` its cleaned
text. What was written here has the `generator` with its `model`, `prompt_hash` and `seed`, the frozen `seed_id`, the
ids of its `parents`, nearest first, and the weather `bulletins` among them. In the lake that it was cut from,
`twainbot trace <sample_id>` tells the same with the texts."""
KIND_WORDS = {
    "style_transfer": "a passage retold in a persona's manner",
    "tool_calls": "weather asked of a tool, and told from its answer",
    "no_tool": "talk that needs no tool",
    "transcript": "a logged conversation, used whole",
    "preference": "a reply with one flaw put in, against the reply without it",
}


def card(
    found: Material, tables: Mapping[str, pl.DataFrame], rights: pl.DataFrame, *, version: str, rehearsal: bool,
    parents: Mapping[str, str], files: Mapping[str, tuple[str, int]], made_with: Mapping[str, Any],
) -> str:  # fmt: skip
    """The README.md. `files`: hash and size of the data files; `made_with`: profile, code version, commit."""
    return dataset_card(facts(found, tables, rights, version, rehearsal, parents, files, made_with))


def facts(
    found: Material, tables: Mapping[str, pl.DataFrame], rights: pl.DataFrame, version: str, rehearsal: bool,
    parents: Mapping[str, str], files: Mapping[str, tuple[str, int]], made_with: Mapping[str, Any],
) -> DatasetFacts:  # fmt: skip
    """Everything that the card says, counted."""
    splits = {
        split: {name: tables[name].filter(split=split).height for name in ("dapt", "sft", "preferences")}
        for split in SPLITS
    }
    return DatasetFacts(
        name=NAME, version=version, license="other",
        front={"license_name": "see-notice", "license_link": "NOTICE.md"},
        description=description(tables), splits=splits, by_source=by_source(tables), default=DEFAULT, configs=filled(tables),
        contents=[("What is in it", config_table(tables)), ("How to open it", LOADING), ("Where a row comes from", TRACING)],
        sources=source_facts(tables), rights=matrix_lines(rights.to_dicts()),
        funnel=funnel_section(found, tables), rejects=funnel.reason_counts(tables["left_out"]),
        synthetic=synthetic(tables), toxicity_backend=backends(tables), limits=limits(tables), parents=parents,
        closing=[("Terms", terms(tables)), ("Files", file_table(files)), ("Made with", made_section(made_with))],
        rehearsal=rehearsal,
    )  # fmt: skip


def configs() -> dict[str, dict[str, str]]:
    """Config to split to file."""
    return {name: {split: f"{name}/{split}.parquet" for split in SPLITS} for name in SPLIT_CONFIGS} | {
        name: {name: f"{name}/{name}.parquet"} for name in WHOLE_CONFIGS
    }


def filled(tables: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, str]]:
    """The configs less splits without rows: `datasets` (5.2) opens no config that lists one ("corresponds to no data")."""
    counted = {
        name: {split: path for split, path in files.items() if rows_of(tables[name], split)}
        for name, files in configs().items()
    }
    return {name: files for name, files in counted.items() if files}


def rows_of(rows: pl.DataFrame, split: str) -> int:
    """How many rows a split has; those of a config without splits are all in one."""
    return rows.filter(split=split).height if "split" in rows.columns else rows.height


def description(tables: Mapping[str, pl.DataFrame]) -> str:
    """What it is, in two sentences."""
    counts = {name: f"{tables[name].height:,}" for name in ("dapt", "sft", "preferences")}
    return (
        f"{counts['dapt']} passages, {counts['sft']} dialogues and {counts['preferences']} preference pairs, which teach a "
        f"small language model to speak as a persona ({', '.join(each.called for each in speaking())}), to joke about "
        "the weather, and to ask a weather tool before it states any. Every row can be walked back to characters of a "
        "named work, or to the generator, prompt hash and seed that wrote it."
    )


def config_table(tables: Mapping[str, pl.DataFrame]) -> str:
    """What each config's rows are."""
    lines = [(f"`{name}`", f"{tables[name].height:,}", words) for name, words in CONFIG_WORDS.items()]
    return table(("config", "rows", "a row is"), lines)


def by_source(tables: Mapping[str, pl.DataFrame]) -> str:
    """Rows of the provenance by source and by kind, over the splits; and dialogues by persona."""
    told = tables["provenance"]
    texts = funnel.by_split(told.filter(kind="passage"), "source")
    kinds = funnel.by_split(tables["sft"], "kind")
    pairs = ("preference", *(tables["preferences"].filter(split=split).height for split in SPLITS))
    lines = [(f"passages of {source}", "text as it was found", *counts) for source, *counts in texts]
    lines += [(kind, KIND_WORDS.get(kind, ""), *counts) for kind, *counts in [*kinds, pairs]]
    personas = table(("persona of the dialogues", *SPLITS), funnel.by_split(tables["sft"], "persona"))
    return f"{table(('what', 'in words', *SPLITS), lines)}\n\n{personas}"


def source_facts(tables: Mapping[str, pl.DataFrame]) -> list[SourceFacts]:
    """Per source, licence and rights: the works behind released rows, and the passages of `dapt` among them."""
    works = tables["works"]
    passages = Counter(tables["provenance"].filter(kind="passage")["work_id"])
    grouped = works.group_by("source", "license", "rights").agg("work_id").sort("source", "license", "rights")
    return [
        SourceFacts(
            row["source"],
            len(row["work_id"]),
            sum(passages[work] for work in row["work_id"]),
            row["license"],
            row["rights"],
        )
        for row in grouped.to_dicts()
    ]


def funnel_section(found: Material, tables: Mapping[str, pl.DataFrame]) -> str:
    """The steps as a table, then what each source lost."""
    works = found.works.filter(pl.col("reject_reason").is_null()).height
    lines = [
        (step.name, f"{step.came:,}", f"{step.left_out:,}", f"{step.kept:,}", reasons_line(step.reasons))
        for step in funnel.steps(tables, works, found.passages.height)
    ]
    steps = table(("step", "came", "left", "went on", "why they left"), lines)
    lost = table(("source", "stage", "reason", "rows"), funnel.left_by_source(tables["left_out"]))
    return f"{steps}\n\nBy source; each row stands in config `left_out`:\n\n{lost}"


def reasons_line(reasons: Mapping[str, int]) -> str:
    """Reasons with their counts, most first."""
    return ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in reasons.items()) or "-"


def synthetic(tables: Mapping[str, pl.DataFrame]) -> str:
    """Who wrote what was written, and the disclaimers in the rows' own words."""
    told = tables["provenance"].filter(pl.col("generator").is_not_null() & (pl.col("generator") != "transcript"))
    if told.is_empty():
        return ""
    writers = Counter(told.select("kind", "generator", "model", "prompt_hash").iter_rows())
    lines = [(*(value or "-" for value in who), f"{count:,}") for who, count in sorted(writers.items(), key=str)]
    said = sorted(set(told["disclaimer"].drop_nulls()))
    quoted = "\n".join(f"> {text}" for text in said)
    return (
        f"{told.height:,} of {tables['provenance'].height:,} rows were written by a program for this set. Neither "
        f"{' nor '.join(authors())} nor any newspaper wrote them, and the forecasts in them were never issued. The rows carry "
        f"this in `disclaimer`:\n\n{quoted}\n\n{table(('kind', 'generator', 'model', 'prompt hash', 'rows'), lines)}\n\n"
        "Seed and parents of each row stand in config `provenance`."
    )


def backends(tables: Mapping[str, pl.DataFrame]) -> str:
    """What scored the dialogues' toxicity."""
    return ", ".join(sorted(tables["dialogues"]["toxicity_backend"].unique())) or "not_scored"


def limits(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """What a user must know before training on it."""
    scenarios = tables["sft"]["scenario"].n_unique()
    manner = (
        "It imitates manners of writing of the eighteenth and nineteenth centuries, whose views and words are not ours."
    )
    suites = "The evaluation suites of the scorecard are no part of it, and rows that hold their text were taken out."
    found = [
        f"English only. {manner} Word lists and rules screen it; nobody read every row.",
        f"The dialogues know {scenarios} scenarios and have few writers: they teach a form, and their wording repeats.",
        "The weather in tool results is simulated or taken from bulletins; it is no record of any day.",
        f"Test rows share their sources' manner with training rows; they measure this set, not the world. {suites}",
    ]
    abroad = "Some texts are in the public domain in the United States and may not be elsewhere."
    return [*found, *([abroad] if "public_domain_us" in tables["works"]["rights"] else [])]


def terms(tables: Mapping[str, pl.DataFrame]) -> str:
    """What may be done with the texts, by the rights behind them."""
    rights = sorted(set(tables["works"]["rights"]))
    lines = [(name, USES[name]["train"], USES[name]["release_text"], USES[name]["excerpt"]) for name in rights]
    closed = tables["left_out"].filter(decision="withheld").height
    held = (
        f"{closed:,} rows whose rights forbid it were trained on and are not in here."
        if closed
        else "No row had to be withheld for its rights."
    )
    listed = table(("rights", "train on it", "pass the text on", "quote from it"), lines)
    return f"{listed}\n\nWorks with their authors and licences: [NOTICE.md](NOTICE.md). {held}"


def file_table(files: Mapping[str, tuple[str, int]]) -> str:
    """Hash and size of the data files; manifest.json has these and this card's own."""
    return table(
        ("file", "bytes", "sha256"), [(path, f"{size:,}", f"`{sha}`") for path, (sha, size) in sorted(files.items())]
    )


def made_section(made_with: Mapping[str, Any]) -> str:
    """Profile, settings, code and commit, one a line."""
    known = table(("what", "value"), [(name, value) for name, value in made_with.items() if value is not None])
    below = "The parents below are tables and settings of the graph, partitions in brackets, with their data versions."
    return f"{known}\n\n{below}"


def notice(tables: Mapping[str, pl.DataFrame]) -> str:
    """NOTICE.md: each unit of text with its authors, licence, rights and URL."""
    works = tables["works"]
    distinct = {name: pl.col(column).drop_nulls().unique().sort()
                for name, column in {"authors": "author", "titles": "title", "urls": "url"}.items()}  # fmt: skip
    grouped = works.group_by("source", "unit", "license", "rights").agg(works=pl.len(), **distinct)
    lines = [notice_line(row) for row in grouped.sort("source", "unit", "license").to_dicts()]
    head = ("source", "unit", "titles", "authors", "works", "licence", "rights", "url")
    return (
        "# Notice\n\nThe texts in this data set come from these works, under these terms. What was written by a program stands "
        f"beside them and names its generator.\n\n{table(head, lines)}\n\nSingle works: config `works` of the data set.\n"
    )


def notice_line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """One unit's line; where its works have URLs of their own, config `works` has them."""
    url = row["urls"][0] if len(row["urls"]) == 1 else f"{len(row['urls'])} pages" if row["urls"] else "-"
    terms_of = (plain(row["license"] or "none stated"), row["rights"], url)
    who = (plain(named(row["titles"])), plain(named(row["authors"])))
    return (row["source"], row["unit"], *who, row["works"], *terms_of)


def named(values: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    listed = [value for value in values if value]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) + more) or "-"


def json_line(row: Mapping[str, Any]) -> str:
    """A row as a line of JSON; messages without the nulls that only Arrow needs."""
    return json.dumps({name: bare(value) for name, value in row.items()}, ensure_ascii=False, default=str)


def bare(value: Any) -> Any:
    """A value whose objects have lost their null keys."""
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items() if inner is not None}
    return [bare(inner) for inner in value] if isinstance(value, list) else value
