"""Gates: named judgements on a table, as Dagster checks. What each stage demands stands in this package's stage modules.

A blocking gate runs inside the asset, before the commit: a bad partition never reaches the lake and its last good version
stays. A gate that raised did not run; it says so and counts as failed, never as passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from twainbot.errors import TwainBotError
from twainbot.markdown import code

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Finding:
    """What a gate found. `why`: one plain sentence with the value and the bound."""

    passed: bool
    why: str
    value: float | int | str | None = None
    bound: float | int | str | None = None
    rows: Sequence[str] = field(default=())  # some of the rows at fault
    error: bool = False  # not passed is an ERROR, though nothing is blocked: an evaluation's fail


@dataclass(frozen=True)
class Gate:
    """One named judgement. Blocking: a failure stops the commit. Otherwise it warns."""

    name: str
    says: str
    judge: Callable[[pl.DataFrame], Finding]
    blocking: bool = True


def specs(
    asset: dg.AssetKey, gates: Sequence[Gate], partitions_def: dg.PartitionsDefinition[str] | None = None
) -> list[dg.AssetCheckSpec]:
    """Check specs for gates that run inside their asset."""
    return [
        dg.AssetCheckSpec(
            gate.name, asset=asset, description=gate.says, blocking=gate.blocking, partitions_def=partitions_def
        )
        for gate in gates
    ]


def run_gate(gate: Gate, rows: pl.DataFrame) -> tuple[Finding, bool]:
    """The gate's finding, and whether it ran at all."""
    try:
        return gate.judge(rows), True
    except Exception as error:  # any fault inside a gate means that it did not run
        return Finding(False, f"did not run: {type(error).__name__}: {error}"), False


def result(gate: Gate, finding: Finding, ran: bool, asset: dg.AssetKey, partition: str | None) -> dg.AssetCheckResult:
    """The finding as Dagster records it: ERROR for a blocking gate or one that did not run, else WARN."""
    metadata: dict[str, Any] = {"ran": ran, "why": finding.why}
    if partition is not None:
        metadata["partition"] = partition  # the check page shows the latest result whatever its partition
    if finding.value is not None:
        metadata["value"] = finding.value
    if finding.bound is not None:
        metadata["bound"] = finding.bound
    if finding.rows:
        metadata["rows_at_fault"] = dg.MetadataValue.md(
            "\n".join(f"- {code(str(row))}" for row in list(finding.rows)[:10])
        )
    return dg.AssetCheckResult(
        check_name=gate.name,
        asset_key=asset,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR
        if gate.blocking or finding.error or not ran
        else dg.AssetCheckSeverity.WARN,
        description=finding.why,
        metadata=metadata,
    )


def judge(
    gates: Sequence[Gate], rows: pl.DataFrame, asset: dg.AssetKey, partition: str | None
) -> tuple[list[dg.AssetCheckResult], list[str]]:
    """All results, and one sentence for each blocking gate that failed."""
    results: list[dg.AssetCheckResult] = []
    faults: list[str] = []
    for gate in gates:
        finding, ran = run_gate(gate, rows)
        results.append(result(gate, finding, ran, asset, partition))
        if gate.blocking and not finding.passed:
            faults.append(f"{gate.name}: {finding.why}")
    return results, faults


def refusal(asset: dg.AssetKey, partition: str | None, faults: Sequence[str]) -> dg.Failure:
    """The failure that ends a step whose result was refused. Retrying cannot help."""
    which = asset.to_user_string() + (f" [{partition}]" if partition else "")
    text = f"{which} was not committed: {'; '.join(faults)}. The last good version stays."
    return dg.Failure(description=text, allow_retries=False)


def plain(error: TwainBotError) -> dg.Failure:
    """An error of ours as a step failure, with its own words and no retry."""
    return dg.Failure(description=str(error), allow_retries=False)


def outcome(
    passed: bool, why: str, blocking: bool = False, metadata: dict[str, Any] | None = None, name: str | None = None,
    asset: dg.AssetKey | None = None,
) -> dg.AssetCheckResult:  # fmt: skip
    """A check result for the unpartitioned boundaries, in the same form as a gate's."""
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=passed,
        severity=severity,
        description=why,
        metadata={"why": why, **(metadata or {})},
        check_name=name,
        asset_key=asset,
    )


def share(part: int, whole: int) -> float:
    """Part of whole; 0.0 of nothing."""
    return part / whole if whole else 0.0


def named(rows: Iterator[str] | Sequence[str], count: int = 5) -> str:
    """The first few names and how many more there are."""
    listed = list(rows)
    more = f" and {len(listed) - count} more" if len(listed) > count else ""
    return ", ".join(listed[:count]) + more


def given(table: pl.DataFrame | None) -> pl.DataFrame:
    """The table that a gate compares with. A gate built only for its name has none, and cannot judge."""
    if table is None:
        raise ValueError("the table to compare with was not given")
    return table
