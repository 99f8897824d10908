"""Model card and dataset card as Hugging Face reads them: YAML front matter, then Markdown. All figures come in as data.

A card states what was measured and what was not. A gate that did not pass stands in the same table as one that did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twainbot.errors import BadInput
from twainbot.evals.verdicts import Verdict
from twainbot.markdown import plain
from twainbot.release.figures import figure, state_words

_SIZES = [
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
]
RIGHTS_COLUMNS = ("source", "works", "licence", "rights", "who says so, by which rule", "trained on")


@dataclass(frozen=True)
class ModelFacts:
    """What a model card is written from. Lists keep their order; `parents`: {what: hash or revision}."""

    name: str
    version: str
    base_model: str
    base_revision: str
    base_license: str
    license: str
    persona: str  # one sentence: who speaks
    parents: Mapping[str, str]
    training: Mapping[str, Any]  # {setting: value}, as trained
    verdicts: Sequence[Verdict]
    limits: Sequence[str] = ()  # further honest limits, one sentence each
    base_note: str = ""  # how the training base differs from the published one, such as a 4-bit approximation
    datasets: Sequence[str] = ()
    tags: Sequence[str] = ()
    rehearsal: bool = False
    usage: str = ""  # a code block that was tested
    others: Mapping[str, Sequence[Verdict]] = field(
        default_factory=dict
    )  # of the further personas: {persona: verdicts}
    files: Sequence[tuple[str, str]] = ()  # (path, what it is)
    not_exported: Sequence[str] = ()  # why a form of it is not here, one sentence each


@dataclass(frozen=True)
class SourceFacts:
    """One source of the data set: works and chunks kept, and the terms that they came under."""

    source: str
    works: int
    chunks: int
    license: str
    rights: str


@dataclass(frozen=True)
class DatasetFacts:
    """What a dataset card is written from. `splits`: {split: {kind: rows}}; `rejects`: {reason: rows}."""

    name: str
    version: str
    license: str
    description: str
    sources: Sequence[SourceFacts]
    splits: Mapping[str, Mapping[str, int]]
    rejects: Mapping[str, int]
    parents: Mapping[str, str]
    synthetic: str  # generator, prompt hash and seed in words; "" where nothing is synthetic
    toxicity_backend: str  # "not_scored" where no model ran
    limits: Sequence[str] = ()
    tags: Sequence[str] = ()
    configs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # {config: {split: file pattern}}
    rights: Sequence[Sequence[Any]] = ()  # lines of the licence matrix: inventory.matrix_lines
    rehearsal: bool = False
    default: str = ""  # the config that opens where none is named
    front: Mapping[str, Any] = field(default_factory=dict)  # further keys of the front matter, such as license_link
    contents: Sequence[tuple[str, str]] = ()  # (title, body) of sections about the rows, before all others
    by_source: str = ""  # tables below that of the splits
    funnel: str = ""  # from raw to released
    closing: Sequence[tuple[str, str]] = ()  # (title, body) of sections after the limits


def model_card(facts: ModelFacts) -> str:
    """The README.md of a model bundle. Raises BadInput where base or parents are missing."""
    _need(facts.name, facts.parents, base_model=facts.base_model, base_revision=facts.base_revision)
    front = {
        "license": _hub_license(facts.license),
        "base_model": facts.base_model,
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "language": ["en"],
        "datasets": list(facts.datasets) or None,
        "tags": list(dict.fromkeys(["lora", "tool-calling", *facts.tags, *(["rehearsal"] if facts.rehearsal else [])])),
        "model-index": [_model_index(facts)] if _measured(facts.verdicts) else None,
    }
    parts = [
        f"# {facts.name} {facts.version}",
        _rehearsal(facts.rehearsal, "a base too small to be useful"),
        facts.persona,
        _section("How to use it", facts.usage),
        _section("What is here", _files(facts)),
        _section("What was measured", _all_verdicts(facts)),
        _section("Base model", _base(facts)),
        _section("Training", table(("setting", "value"), [(k, v) for k, v in facts.training.items()])),
        _section("Limits", _limits([*_verdict_limits(facts.verdicts), *facts.limits])),
        _section("Where it came from", table(("parent", "hash or revision"), sorted(facts.parents.items()))),
    ]
    return _front_matter(front) + "\n\n".join(part for part in parts if part) + "\n"


def dataset_card(facts: DatasetFacts) -> str:
    """The README.md of a data bundle. Raises BadInput where parents are missing."""
    _need(facts.name, facts.parents, license=facts.license)
    rows = sum(count for kinds in facts.splits.values() for count in kinds.values())
    front = {
        "license": facts.license,
        "language": ["en"],
        "pretty_name": f"{facts.name} {facts.version}",
        "size_categories": [_size(rows)],
        "task_categories": ["text-generation"],
        "tags": [*facts.tags, *(["synthetic"] if facts.synthetic else []), *(["rehearsal"] if facts.rehearsal else [])],
        **facts.front,
        "configs": _configs(facts.configs, facts.default) or None,
    }
    parts = [
        f"# {facts.name} {facts.version}",
        _rehearsal(facts.rehearsal, "a small sample"),
        facts.description,
        *(_section(title, body) for title, body in facts.contents),
        _section("Splits", "\n\n".join(part for part in (_split_table(facts.splits), facts.by_source) if part)),
        _section("Sources and terms", _source_table(facts.sources)),
        _section("Rights of all that was taken", table(RIGHTS_COLUMNS, facts.rights) if facts.rights else ""),
        _section("From raw to released", facts.funnel),
        _section(
            "What was left out", table(("reason", "rows"), sorted(facts.rejects.items(), key=lambda r: (-r[1], r[0])))
        ),
        _section("Synthetic text", facts.synthetic or "None."),
        _section("Screening", _screening(facts.toxicity_backend)),
        _section("Limits", _limits(facts.limits)),
        *(_section(title, body) for title, body in facts.closing),
        _section("Where it came from", table(("parent", "hash or revision"), sorted(facts.parents.items()))),
    ]
    return _front_matter(front) + "\n\n".join(part for part in parts if part) + "\n"


def _split_table(splits: Mapping[str, Mapping[str, int]]) -> str:
    kinds = sorted({kind for counts in splits.values() for kind in counts})
    rows = [(split, *(f"{counts.get(kind, 0)}" for kind in kinds)) for split, counts in splits.items()]
    kept_apart = "No near-duplicate cluster, work or dialogue seed crosses a split."
    return f"{table(('split', *kinds), rows)}\n\n{kept_apart}"


def _source_table(sources: Sequence[SourceFacts]) -> str:
    rows = [(s.source, s.works, s.chunks, plain(s.license), s.rights) for s in sources]
    return table(("source", "works", "chunks", "licence", "rights"), rows)


def _need(name: str, parents: Mapping[str, str], **fields: str) -> None:
    missing = sorted(key for key, value in {**fields, **parents}.items() if not value)
    if missing or not parents:
        raise BadInput(
            f"The card of {name} lacks {', '.join(missing) or 'its parents'}: a card without them helps nobody."
        )


def _front_matter(fields: Mapping[str, Any]) -> str:
    import yaml

    kept = {key: value for key, value in fields.items() if value is not None}
    return f"---\n{yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)}---\n\n"


def _rehearsal(rehearsal: bool, what: str) -> str:
    if not rehearsal:
        return ""
    stated = f"It was made with {what}, to show that the pipeline works."
    return f"> **This is a rehearsal.** {stated} Do not judge the method by its figures."


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; "None." where there are no rows. Cells are made safe."""
    if not rows:
        return "None."
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(re.sub(r"(?<!\\)\|", r"\\|", str(value)).split())


def _measured(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.value is not None]


def _model_index(facts: ModelFacts) -> dict[str, Any]:
    metrics = [
        {"type": v.gate, "name": f"{v.gate} (n={v.n}, {v.state})", "value": round(float(v.value), 4)}
        for v in _measured(facts.verdicts)
        if v.value is not None
    ]
    task = {"type": "text-generation", "name": "Persona dialogue with tool calls"}
    dataset = {"type": "twainbot", "name": f"{facts.name} evaluation set"}
    return {
        "name": f"{facts.name}-{facts.version}",
        "results": [{"task": task, "dataset": dataset, "metrics": metrics}],
    }


def _all_verdicts(facts: ModelFacts) -> str:
    """The default persona's table, then a heading and a table for each further one."""
    others = [f"### {persona}\n\n{_verdict_table(verdicts)}" for persona, verdicts in facts.others.items()]
    return "\n\n".join([_verdict_table(facts.verdicts), *others])


def _files(facts: ModelFacts) -> str:
    if not facts.files:
        return ""
    listed = table(("path", "what"), [(f"`{path}`", what) for path, what in facts.files])
    return "\n\n".join([listed, *(f"Not here: {why}" for why in facts.not_exported)])


def _hub_license(name: str) -> str:
    """The Hub writes licences in small letters, and knows no sentence."""
    return name.lower() if name and " " not in name else "other"


def _verdict_table(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for v in verdicts:
        interval = f"{figure(v, v.interval.low)} to {figure(v, v.interval.high)}" if v.interval else "-"
        state = state_words(v.state)
        sign = "at least" if v.better == "higher" else "at most"
        rows.append((v.gate, state, v.n, figure(v, v.value), interval, f"{sign} {figure(v, v.bound)}", v.why))
    return table(("gate", "state", "n", "value", "95 % interval", "bound", "in words"), rows)


def _verdict_limits(verdicts: Sequence[Verdict]) -> list[str]:
    open_gates = [v for v in verdicts if v.state in ("inconclusive", "not_run", "not_measurable")]
    failed = [v for v in verdicts if v.state == "fail"]
    return [f"It fails the gate {v.gate}: {v.why}" for v in failed] + [
        f"The gate {v.gate} is {state_words(v.state)}, so nothing is claimed for it." for v in open_gates
    ]


def _base(facts: ModelFacts) -> str:
    stated = f"`{facts.base_model}` at revision `{facts.base_revision}`, under {facts.base_license}."
    return f"{stated} {facts.base_note}".strip()


def _limits(limits: Sequence[str]) -> str:
    return "\n".join(f"- {limit}" for limit in limits)


def _screening(backend: str) -> str:
    if backend == "not_scored":
        return "No toxicity model ran: rows carry no score. Word lists and quality rules were applied."
    return f"Toxicity was scored by {backend}; the scores are in the rows."


def _size(rows: int) -> str:
    return next((name for limit, name in _SIZES if rows < limit), "n>10M")


def _configs(configs: Mapping[str, Mapping[str, str]], default: str) -> list[dict[str, Any]]:
    return [
        {
            "config_name": name,
            **({"default": True} if name == default else {}),
            "data_files": [{"split": split, "path": path} for split, path in files.items()],
        }
        for name, files in configs.items()
    ]
