"""How every asset hands over its table: gates, data version, metadata. What is in the table is the stage's business."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from checks.gates import Gate, judge, plain, refusal
from twainbot.errors import TwainBotError
from twainbot_assets import keys
from twainbot_assets.as_read import record_sources

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Published: TypeAlias = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]

SAMPLE_ROWS = 5
SAMPLE_CHARACTERS = 160
NESTED_CHARACTERS = 40  # a dialogue of 120 characters is a cell as high as the screen
WIDTH, DPI = 7.2, 110  # inches and dots an inch: 792 pixels, the width of the UI's Markdown dialog
INK = "#4f6d7a"
LOOK = {
    "font.size": 8.5, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False,
}  # fmt: skip


def publish(
    context: dg.AssetExecutionContext,
    make: Callable[[], pl.DataFrame],
    gates: Sequence[Gate] = (),
    metadata: Callable[[pl.DataFrame], Mapping[str, Any]] | None = None,
    version: Callable[[pl.DataFrame], str] | None = None,
    refused: Callable[[TwainBotError], Sequence[dg.AssetCheckResult]] | None = None,
) -> Published:
    """Make the table, judge it, and only then hand it to the lake with its content as data version.

    An error of ours or a failed blocking gate ends the step with one plain sentence, and nothing is written. refused:
    the checks that an error of ours fails.
    """
    from twainbot.records import content_hash

    try:
        record_sources(context)
        rows = make()
    except TwainBotError as error:
        yield from refused(error) if refused else ()
        raise plain(error) from error
    partition = context.partition_key if context.has_partition_key else None
    results, faults = judge(gates, rows, context.asset_key, partition)
    if faults:
        yield from results
        raise refusal(context.asset_key, partition, faults)
    try:
        described = metadata(rows) if metadata else {}
    except TwainBotError as error:
        raise plain(error) from error
    yield dg.MaterializeResult(
        value=rows,
        data_version=dg.DataVersion((version or content_hash)(rows)[:16]),
        metadata={
            **table_metadata(rows, keys.table(context.asset_key)),
            **described,
            "sample": sample_table(rows),
        },
        check_results=results,
    )


def table_metadata(rows: pl.DataFrame, table: str) -> dict[str, Any]:
    """Row count and described columns, under the names that the UI knows; a sample of the rows comes last, after reports."""
    from twainbot_assets.columns import meanings

    said = {name: words.replace("<", "\\<") for name, words in meanings(table).items()}  # Markdown would drop <start>
    columns = [dg.TableColumn(name, str(dtype), said.get(name)) for name, dtype in rows.schema.items()]
    return {
        "dagster/row_count": rows.height,
        "dagster/column_schema": dg.TableSchema(columns=columns),
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
    """A value as a short line of text; what nests, as itself or as JSON, is only hinted at: the reports show it readably."""
    text = "" if value is None else " ".join(str(value).split())
    limit = NESTED_CHARACTERS if text.startswith(("[{", "{")) else SAMPLE_CHARACTERS
    return text if len(text) <= limit else f"{text[:limit]}…"


def short(value: Any) -> Any:
    """A figure to four places, or to four digits where it is smaller than one; any other value as it is."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if abs(value) < 1 else round(value, 4)


def counts_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows of plain values as a metadata table, figures short enough to be compared."""
    names = list(rows[0]) if rows else []
    schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in names])
    records = [dg.TableRecord({name: cell(short(row[name])) for name in names}) for row in rows]
    return dg.MetadataValue.table(records, schema=schema)


def figure(draw: Callable[[Figure], None], width: float, height: float) -> Any:
    """A drawing, in inches, as Markdown metadata: the UI shows it behind `Show Markdown`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with mpl.rc_context(LOOK):
        made = plt.figure(figsize=(width, height), layout="constrained")
        draw(made)
        buffer = io.BytesIO()
        made.savefig(buffer, format="png", dpi=DPI)
        plt.close(made)
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")


def plot(draw: Callable[[Axes], None], width: float = 6.0, height: float = 3.0) -> Any:
    """One pair of axes as plot metadata."""
    return figure(lambda made: draw(made.subplots()), width, height)


def bars(counts: Mapping[str, float], title: str, colours: Sequence[str] | None = None) -> Any:
    """Horizontal bars, first name on top, as plot metadata; a sentence where there is nothing to count."""
    if not counts:
        return f"{title}: nothing to show."
    names, values = list(counts), list(counts.values())
    return figure(
        lambda made: draw_bars(made.subplots(), names, values, title, colours), WIDTH, max(1.5, 0.32 * len(names) + 0.7)
    )


def draw_bars(
    axes: Axes, names: Sequence[str], values: Sequence[float], title: str, colours: Sequence[str] | None = None
) -> None:
    """Bars with their numbers at the end; the names are the axis, so no other scale is needed."""
    places = list(range(len(names)))[::-1]
    drawn = axes.barh(places, values, color=list(colours or [INK] * len(names)))
    axes.set_yticks(places, names)
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.set_xlim(0, max(*values, 1) * 1.14)  # room for the longest bar's number
    axes.set_title(title, loc="left")
    bare(axes)


def bare(axes: Axes) -> None:
    """Take away the frame and the scale of axes whose numbers stand beside what they measure."""
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
