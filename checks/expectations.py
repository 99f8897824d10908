"""Great Expectations suites at the unpartitioned boundaries: one Dagster check per expectation, suites as YAML.

The library (9 s to import) is imported in the check's body only. A schema check comes first and blocks: without its
columns the others would not run, and Great Expectations would report that as plain failures. An exception inside an
expectation is "did not run", never a quiet failure or pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import yaml
from pydantic import BaseModel, ConfigDict, Field

from checks.gates import outcome
from resources.lake import LakeResource
from twainbot import yaml_text
from twainbot.errors import BadConfig
from twainbot.markdown import code

if TYPE_CHECKING:
    import polars as pl

SUITES = Path(__file__).parent / "suites"
SCHEMA = "schema"
ROWS_NAMED = 10


class Expectation(BaseModel):
    """One expectation: `type` is a class of great_expectations.expectations, `arguments` go to it.

    `value_set: styles` is the closed vocabulary of styles, which a profile's personas widen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: str
    type: str
    says: str
    severity: str = Field(default="critical", pattern="^(critical|warning)$")  # critical blocks, warning warns
    arguments: dict[str, Any] = {}


class Suite(BaseModel):
    """The suite of one asset. `columns`: what must be there; `row_id`: names the rows at fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asset: str
    row_id: str
    columns: tuple[str, ...]
    expectations: tuple[Expectation, ...]


@cache
def suites() -> tuple[Suite, ...]:
    """All suites, by file name. Raises BadConfig naming the file at fault."""
    found = []
    for path in sorted(SUITES.glob("*.yaml")):
        try:
            found.append(Suite.model_validate(yaml_text.read(path.read_text(encoding="utf-8"))))
        except (ValueError, yaml.YAMLError) as error:
            raise BadConfig(f"The suite {path} does not validate: {error}") from error
    return tuple(found)


def check_specs(suite: Suite) -> list[dg.AssetCheckSpec]:
    """The schema check, then one check per expectation."""
    key = dg.AssetKey(suite.asset.split("/"))
    first = dg.AssetCheckSpec(
        SCHEMA, asset=key, blocking=True, description="All columns that the suite reads are there."
    )
    others = [
        dg.AssetCheckSpec(one.check, asset=key, blocking=one.severity == "critical", description=one.says)
        for one in suite.expectations
    ]
    return [first, *others]


def as_check(suite: Suite) -> dg.AssetChecksDefinition:
    """The suite as a Dagster multi-asset check over the lake's table."""
    name = f"expectations__{suite.asset.replace('/', '__')}"

    def run(lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
        yield from judged(suite, lake.open().read(suite.asset))

    run.__annotations__ = {"lake": LakeResource}  # Dagster reads annotations as objects, not as text
    return dg.multi_asset_check(name=name, specs=check_specs(suite))(run)


def judged(suite: Suite, rows: pl.DataFrame) -> Iterator[dg.AssetCheckResult]:
    """All results of a suite on a table."""
    key = dg.AssetKey(suite.asset.split("/"))
    absent = [name for name in suite.columns if name not in rows.columns]
    why = f"columns missing: {', '.join(absent)}" if absent else f"{len(suite.columns)} columns present"
    yield outcome(not absent, why, blocking=True, name=SCHEMA, asset=key)
    findings = {} if absent else validated(suite, rows)
    for one in suite.expectations:
        passed, why, metadata = findings.get(one.check, (False, "did not run: the schema check failed", {}))
        blocking = one.severity == "critical" or why.startswith("did not run")
        yield outcome(passed, why, blocking=blocking, metadata=metadata, name=one.check, asset=key)


def arguments(one: Expectation) -> dict[str, Any]:
    """The expectation's arguments, the vocabulary of styles filled in where they name it."""
    from twainbot.personas import styles

    named = one.arguments.get("value_set") == "styles"
    return {**one.arguments, "value_set": list(styles())} if named else one.arguments


def validated(suite: Suite, rows: pl.DataFrame) -> dict[str, tuple[bool, str, dict[str, Any]]]:
    """Check name to (passed, why, metadata), from one validation of all expectations."""
    import great_expectations as gx
    from great_expectations import expectations

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    frame = rows.select(suite.columns).to_pandas(use_pyarrow_extension_array=True)
    source = context.data_sources.add_pandas("lake").add_dataframe_asset("table")
    batch = source.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    wanted = [
        getattr(expectations, one.type)(**arguments(one), meta={"check": one.check}) for one in suite.expectations
    ]
    made = gx.ExpectationSuite(name=suite.asset, expectations=wanted)
    settings = {
        "result_format": "SUMMARY",
        "unexpected_index_column_names": [suite.row_id],
        "partial_unexpected_count": ROWS_NAMED,
    }
    report: dict[str, Any] = batch.validate(made, result_format=settings).to_json_dict()
    return {entry["expectation_config"]["meta"]["check"]: finding(entry) for entry in report["results"]}


def finding(entry: Mapping[str, Any]) -> tuple[bool, str, dict[str, Any]]:
    """One validation result in plain words. An exception means that the expectation did not run."""
    fault = exception_in(entry.get("exception_info") or {})
    if fault:
        return False, f"did not run: {fault}", {}
    result = entry.get("result") or {}
    unexpected, count = result.get("unexpected_count"), result.get("element_count")
    observed = result.get("observed_value")
    why = f"{unexpected} of {count} rows at fault" if unexpected is not None else f"observed {observed}"
    metadata: dict[str, Any] = {"rows_at_fault": rows_at_fault(result)} if result.get("partial_unexpected_list") else {}
    return bool(entry["success"]), why, metadata


def exception_in(info: Mapping[str, Any]) -> str:
    """The message of a swallowed exception; its shape is flat, or one entry per metric."""
    if "raised_exception" in info:
        return str(info.get("exception_message") or "unknown fault") if info["raised_exception"] else ""
    faults = (exception_in(part) for part in info.values() if isinstance(part, Mapping))
    return next((fault for fault in faults if fault), "")


def rows_at_fault(result: Mapping[str, Any]) -> Any:
    """Some unexpected values, as Markdown."""
    listed: Sequence[Any] = result.get("partial_unexpected_list") or ()
    return dg.MetadataValue.md("\n".join(f"- {code(str(value)[:120])}" for value in listed[:ROWS_NAMED]))
