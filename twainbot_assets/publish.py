"""How every asset hands over its table: gates, data version, metadata. What is in the table is the stage's business."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from checks.gates import Gate, judge, plain, refusal
from twainbot.errors import TwainBotError

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

Published: TypeAlias = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]

SAMPLE_ROWS = 5
SAMPLE_CHARACTERS = 160


def publish(
    context: dg.AssetExecutionContext,
    make: Callable[[], pl.DataFrame],
    gates: Sequence[Gate] = (),
    metadata: Callable[[pl.DataFrame], Mapping[str, Any]] | None = None,
    version: Callable[[pl.DataFrame], str] | None = None,
) -> Published:
    """Make the table, judge it, and only then hand it to the lake with its content as data version.

    An error of ours or a failed blocking gate ends the step with one plain sentence, and nothing is written.
    """
    from twainbot.records import content_hash

    try:
        rows = make()
    except TwainBotError as error:
        raise plain(error) from error
    partition = context.partition_key if context.has_partition_key else None
    results, faults = judge(gates, rows, context.asset_key, partition)
    if faults:
        yield from results
        raise refusal(context.asset_key, partition, faults)
    yield dg.MaterializeResult(
        value=rows,
        data_version=dg.DataVersion((version or content_hash)(rows)[:16]),
        metadata={**table_metadata(rows), **(metadata(rows) if metadata else {})},
        check_results=results,
    )


def table_metadata(rows: pl.DataFrame) -> dict[str, Any]:
    """Row count, column schema and a sample table, under the names that the UI knows."""
    columns = [dg.TableColumn(name, type=str(dtype)) for name, dtype in rows.schema.items()]
    return {
        "dagster/row_count": rows.height,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "sample": sample_table(rows),
    }


def sample_table(rows: pl.DataFrame, count: int = SAMPLE_ROWS) -> Any:
    """The first rows as a metadata table; long values are cut."""
    records = [
        dg.TableRecord({name: cell(value) for name, value in row.items()})
        for row in rows.head(count).iter_rows(named=True)
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in rows.columns])
    return dg.MetadataValue.table(records, schema=schema)


def cell(value: Any) -> str:
    """A value as a short line of text."""
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= SAMPLE_CHARACTERS else f"{text[:SAMPLE_CHARACTERS]}…"


def counts_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows of plain values as a metadata table."""
    names = list(rows[0]) if rows else []
    schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in names])
    records = [dg.TableRecord({name: cell(row[name]) for name in names}) for row in rows]
    return dg.MetadataValue.table(records, schema=schema)


def plot(draw: Callable[[Axes], None], width: float = 6.0, height: float = 3.0) -> Any:
    """A plot as Markdown metadata: the UI shows it behind `Show Markdown`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    draw(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    plt.close(figure)
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")


def bars(counts: Mapping[str, float], title: str) -> Any:
    """Horizontal bars, longest name first, as plot metadata."""

    def draw(axes: Axes) -> None:
        names = list(counts)[::-1]
        axes.barh(names, [counts[name] for name in names], color="#4f6d7a")
        axes.set_title(title, fontsize=10)
        axes.bar_label(axes.containers[0], fontsize=8)  # type: ignore[arg-type]

    return plot(draw, height=max(1.5, 0.35 * len(counts) + 0.8))
