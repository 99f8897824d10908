"""The scorecard's figures as SVG data URIs, one for light pages and one for dark. What is plotted, scorecard.py decides.

Deterministic: no dates, fixed ids. Text stays text, so that a reader's fonts and searches apply.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_WIDTH, _HEIGHT = 6.4, 3.3  # inches; two stand side by side on a 1,100 pixel page


@dataclass(frozen=True)
class Figure:
    """One plot twice, and what it shows in words for those who cannot see it."""

    title: str
    light: str  # data URI
    dark: str
    alt: str
    wide: bool = False  # takes a row of its own


@dataclass(frozen=True)
class Theme:
    """Colours of one page mode: text, faint lines, and the two arms."""

    ink: str
    faint: str
    base: str
    adapter: str
    accents: tuple[str, ...]
    on_accent: str  # text on top of an accent


LIGHT = Theme("#2b2620", "#d9d0c1", "#8d99a6", "#a8432f", ("#a8432f", "#2f6f8f", "#6b7f3a", "#8a5a9e"), "#fffdf8")
DARK = Theme("#ece5d8", "#453f37", "#7f8b98", "#e58467", ("#e58467", "#74b3d1", "#aebf74", "#c39bd3"), "#17150f")

Rate = tuple[float, float, float]  # value, low, high


def perplexity(rows: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """Bars per held-out set and stage; a bar's label is its perplexity."""

    def draw(axes: Any, theme: Theme) -> None:
        position = 0.0
        ticks: list[float] = []
        labels: list[str] = []
        for name, stages in rows.items():
            start = position
            for i, (stage, value) in enumerate(stages):
                colour = theme.base if i == 0 else theme.accents[(i - 1) % len(theme.accents)]
                axes.bar(position, value, width=0.82, color=colour)
                axes.annotate(
                    f"{value:.3g}",
                    (position, value),
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                )
                axes.annotate(
                    stage, (position, 0), xytext=(0, -4), textcoords="offset points", ha="center", va="top", fontsize=9
                )
                position += 1
            ticks.append((start + position - 1) / 2)
            labels.append(name)
            position += 0.7
        axes.set_xticks(ticks, [f"\n{label}" for label in labels], fontweight="bold")
        axes.tick_params(axis="x", length=0)
        axes.set_ylim(0, 1.15 * max((value for stages in rows.values() for _, value in stages), default=1))

    said = "; ".join(f"{name}: " + ", ".join(f"{s} {v:.3g}" for s, v in stages) for name, stages in rows.items())
    return _figure("Perplexity on held-out text (lower is better)", draw, said)


def rates(rows: Sequence[tuple[str, Rate | None, Rate | None]]) -> Figure:
    """Base and adapter rates in 0..1 with their intervals, one line a measure."""

    def draw(axes: Any, theme: Theme) -> None:
        for i, (_, base, adapter) in enumerate(rows):
            for rate, colour, marker, shift in ((base, theme.base, "s", 0.16), (adapter, theme.adapter, "o", -0.16)):
                if rate is None:
                    continue
                axes.plot(rate[1:], [-i + shift] * 2, color=colour, linewidth=2.4, solid_capstyle="round", alpha=0.55)
                axes.plot(rate[0], -i + shift, marker=marker, color=colour, markersize=8)
        axes.set_yticks([-i for i in range(len(rows))], [name for name, _, _ in rows])
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.grid(axis="x", color=theme.faint, linewidth=0.8)
        axes.grid(axis="y", visible=False)
        axes.plot([], [], marker="s", linestyle="", color=theme.base, label="base")
        axes.plot([], [], marker="o", linestyle="", color=theme.adapter, label="adapter")
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1, fontsize=9)

    said = "; ".join(
        f"{name}: "
        + ", ".join(f"{arm} {r[0]:.0%} ({r[1]:.0%} to {r[2]:.0%})" for arm, r in (("base", b), ("adapter", a)) if r)
        for name, b, a in rows
    )
    return _figure("Tool calls, with 95 % intervals", draw, said, height=max(_HEIGHT, 0.55 * len(rows) + 1))


def losses(curves: Mapping[str, tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]]) -> Figure:
    """Training (line) and validation (dots) loss over optimizer steps, one colour a stage."""

    def draw(axes: Any, theme: Theme) -> None:
        for i, (stage, (train, validation)) in enumerate(curves.items()):
            colour = theme.accents[i % len(theme.accents)]
            if train:
                axes.plot(*zip(*train, strict=True), color=colour, linewidth=1.8, label=stage)
            if validation:
                label = None if train else stage
                axes.plot(
                    *zip(*validation, strict=True),
                    color=colour,
                    marker="o",
                    markersize=5,
                    linestyle=":",
                    linewidth=1.2,
                    label=label,
                )
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss (nats a token, weighted)")
        axes.legend(frameon=False, fontsize=9)

    said = "; ".join(f"{stage}: {t[0][1]:.2f} to {t[-1][1]:.2f}" for stage, (t, _) in curves.items() if t)
    # A recipe may weigh decisions and ends of turns (decision_weight, end_weight): its line then lies above plain nats.
    return _figure("Loss (line: training, as weighted by the recipe; dots: validation)", draw, said, wide=True)


def funnel(rows: Sequence[tuple[str, int]]) -> Figure:
    """Rows kept after each stage, widest first, with the share of the stage before."""

    def draw(axes: Any, theme: Theme) -> None:
        most = max((count for _, count in rows), default=1) or 1
        for i, (_, count) in enumerate(rows):
            axes.barh(
                -i,
                count,
                left=(most - count) / 2,
                height=0.72,
                color=theme.accents[1],
                alpha=1 - 0.3 * i / max(len(rows), 1),
            )
            before = rows[i - 1][1] if i else count
            share = f"  ({count / before:.0%})" if i and before else ""
            axes.annotate(
                f"{count:,}{share}",
                (most / 2, -i),
                ha="center",
                va="center",
                fontsize=9,
                fontweight="bold",
                color=theme.on_accent,
            )
        axes.set_yticks([-i for i in range(len(rows))], [name for name, _ in rows])
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)

    return _figure(
        "From raw chunks to samples",
        draw,
        "; ".join(f"{name} {count:,}" for name, count in rows),
        height=max(_HEIGHT, 0.5 * len(rows)),
    )


def _figure(
    title: str, draw: Callable[[Any, Theme], None], alt: str, height: float = _HEIGHT, *, wide: bool = False
) -> Figure:
    size = (2 * _WIDTH if wide else _WIDTH, height)
    return Figure(title, _svg(draw, LIGHT, size), _svg(draw, DARK, size), f"{title}. {alt}.", wide)


def _svg(draw: Callable[[Any, Theme], None], theme: Theme, size: tuple[float, float]) -> str:
    import matplotlib as mpl  # a second to import
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    settings = {
        "svg.fonttype": "none", "svg.hashsalt": "twainbot", "font.family": "sans-serif", "font.size": 10,
        "font.sans-serif": ["DejaVu Sans"], "text.color": theme.ink, "axes.labelcolor": theme.ink,
        "xtick.color": theme.ink, "ytick.color": theme.ink, "axes.edgecolor": theme.faint, "axes.grid": True,
        "axes.grid.axis": "y", "grid.color": theme.faint, "axes.axisbelow": True, "axes.spines.top": False,
        "axes.spines.right": False, "axes.spines.left": False, "ytick.left": False, "axes.facecolor": "none",
        "figure.facecolor": "none", "savefig.facecolor": "none",
    }  # fmt: skip
    with mpl.rc_context(settings):
        canvas = Canvas(figsize=size, layout="constrained")
        FigureCanvasSVG(canvas)
        draw(canvas.add_subplot(), theme)
        out = io.BytesIO()
        canvas.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()
