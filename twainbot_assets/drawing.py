"""The drawn graph of docs/architecture.md, made from the definitions: `python -m twainbot_assets.drawing` (`make docs`).

With --check nothing is written, and a page that is not up to date is an error. Assets of one kind, one per source, are
drawn once, as `<source>`; observed sources are listed and not drawn: nearly everything reads one.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resources.home import PROJECT

PAGE = PROJECT / "docs" / "architecture.md"
PROFILE = {
    "TWAINBOT_PROFILE": "tiny",
    "TWAINBOT_RECIPES": "default,twain,franklin,mixed",
}  # with a router and a mixture
ROUND_THE_GRAPH = (
    "sources",
    "warehouse",
)  # what reads or is read by nearly all stages: an arrow each would hide the rest
IN_A_LINE = 4  # names of assets in a stage's box
MANY = 6  # tables of other stages beside a stage's own: past so many the stages are drawn instead
PART = re.compile(r"(<!-- drawn: (?P<name>\w+) -->\n).*?(<!-- /drawn -->)", re.DOTALL)


@dataclass(frozen=True)
class Node:
    """An asset as it is drawn. `name`: `<stage>/<asset>`; `parents`: the names that it is made from."""

    name: str
    stage: str
    partitions: str
    blocking: int  # gates that block
    warning: int
    parents: frozenset[str]

    @property
    def short(self) -> str:
        """The name inside its stage."""
        return self.name.removeprefix(f"{self.stage}/")


def drawn_name(path: Sequence[str], sources: Sequence[str]) -> str:
    """The asset's path, a source's name in it as `<source>`; the observed settings, recipes and raw units as one each."""
    if path[0] == "sources":
        kind = next((start for start in ("settings_", "recipe_") if path[1].startswith(start)), "")
        return "sources/<source>" if path[1] in sources else f"sources/{kind}<section>" if kind else "/".join(path)
    return "/".join("<source>" if part in sources else part for part in path)


def nodes() -> list[Node]:
    """Every asset of the graph of this process's profile, those of one kind as one, in the order of the stages."""
    from twainbot_assets import keys
    from twainbot_assets.definitions import defs
    from twainbot_assets.partitions import BATCHES, DATA_VERSIONS, MIXTURES, MODEL_VERSIONS, RECIPES, UNITS
    from twainbot_assets.profile import SOURCES

    words = [*((units, "unit") for units in UNITS.values()), (BATCHES, "batch"), (RECIPES, "recipe")]
    words += [(MIXTURES, "mixture"), (DATA_VERSIONS, "version"), (MODEL_VERSIONS, "version")]
    graph, found = defs.resolve_asset_graph(), dict[str, Node]()
    for each in graph.asset_nodes:
        name = drawn_name(each.key.path, SOURCES)
        blocking = [graph.get_check_spec(key).blocking for key in each.check_keys]
        parents = {drawn_name(key.path, SOURCES) for key in each.parent_keys} - {name}
        partitions = next((word for known, word in words if known == each.partitions_def), "none")
        now = Node(name, each.key.path[0], partitions, sum(blocking), len(blocking) - sum(blocking), frozenset(parents))
        found[name] = joined(found.get(name, now), now)
    order = {stage: number for number, stage in enumerate(keys.STAGES)}
    return sorted(found.values(), key=lambda node: (order.get(node.stage, len(order)), node.name))


def joined(one: Node, other: Node) -> Node:
    """Two assets of one kind as one: all their parents, and the gates of the one that has most."""
    return replace(
        one, blocking=max(one.blocking, other.blocking), warning=max(one.warning, other.warning),
        partitions=max(one.partitions, other.partitions), parents=one.parents | other.parents,
    )  # fmt: skip


def by_stage(listed: Sequence[Node]) -> dict[str, list[Node]]:
    """The stages in their order, each with its assets."""
    return {stage: [node for node in listed if node.stage == stage] for stage in dict.fromkeys(n.stage for n in listed)}


def label(*lines: str) -> str:
    """Lines of a box. Mermaid reads angle brackets as a tag and shows its own writing of them as it stands: so others."""
    return '"' + "<br/>".join(line.replace("<", "\u2039").replace(">", "\u203a") for line in lines) + '"'


def stages_chart(listed: Sequence[Node]) -> str:
    """The stages as boxes with their assets, and which stage reads which."""
    stages = by_stage([node for node in listed if node.stage not in ROUND_THE_GRAPH])
    stage_of = {node.name: node.stage for node in listed}
    boxes = [
        f"  {stage}[{label(stage.upper(), *(', '.join(each) for each in rows([node.short for node in held])))}]"
        for stage, held in stages.items()
    ]
    read = dict.fromkeys(
        (stage_of[parent], stage)
        for stage, held in stages.items()
        for each in held
        for parent in sorted(each.parents)
        if stage_of.get(parent, stage) not in (stage, *ROUND_THE_GRAPH)
    )
    return mermaid("flowchart TB", [*boxes, *arrows(read)])


def rows(names: Sequence[str]) -> list[Sequence[str]]:
    """Names so many to a line that a box is read at the size of the page."""
    return [names[start : start + IN_A_LINE] for start in range(0, len(names), IN_A_LINE)]


def arrows(read: Mapping[tuple[str, str], None]) -> list[str]:
    """Mermaid's arrows from what is read to what reads it, less those that a longer way says too."""
    return [f"  {before} --> {after}" for before, after in read if not reaches(read, before, after)]


def reaches(read: Mapping[tuple[str, str], None], start: str, goal: str) -> bool:
    """Whether the goal is reached in two steps or more."""
    waiting = [after for before, after in read if before == start and after != goal]
    seen = set[str]()
    while waiting:
        at = waiting.pop()
        if at == goal:
            return True
        if at not in seen:
            seen.add(at)
            waiting += [after for before, after in read if before == at]
    return False


def inside_chart(stage: str, listed: Sequence[Node]) -> str:
    """One stage's assets, what of other stages they read, and how many gates each has.

    Where they read much of other stages these stand for it: lines from each of ten tables to each of ten would be a skein.
    """
    held = [node for node in listed if node.stage == stage]
    stage_of = {node.name: node.stage for node in listed if node.stage != "sources"}
    outside = sorted({parent for node in held for parent in node.parents if stage_of.get(parent, stage) != stage})
    shown = {name: stage_of[name] if len(outside) > MANY else name for name in outside}
    ids = {name: f"n{number}" for number, name in enumerate([*dict.fromkeys(shown.values()), *(n.name for n in held)])}
    lines = [f"  {ids[name]}([{label(name)}])" for name in dict.fromkeys(shown.values())]
    lines += [f"  {ids[node.name]}[{label(node.short, gates(node))}]" for node in held]
    read = dict.fromkeys(
        (ids[shown.get(parent, parent)], ids[node.name])
        for node in held
        for parent in sorted(node.parents)
        if parent in stage_of
    )
    return mermaid("flowchart LR", [*lines, *arrows(read)])


def gates(node: Node) -> str:
    """`3 gates, 1 warning`."""
    counts = [(node.blocking, "gate"), (node.warning, "warning")]
    return ", ".join(f"{count} {word}{'s' * (count > 1)}" for count, word in counts if count) or "no gate"


def mermaid(head: str, lines: Sequence[str]) -> str:
    """A fenced Mermaid block."""
    return "\n".join(["```mermaid", head, *lines, "```", ""])


def insides(listed: Sequence[Node]) -> str:
    """A drawing of each stage whose assets read each other."""
    found = []
    for stage, held in by_stage(listed).items():
        names = {node.name for node in held}
        if stage not in ROUND_THE_GRAPH and any(node.parents & names for node in held):
            found.append(f"### {stage}\n\n{inside_chart(stage, listed)}")
    return "\n".join(found)


def counted(listed: Sequence[Node]) -> str:
    """A table of the stages: assets, partitions, gates."""
    rows = ["| stage | assets | partitions | gates | warnings |", "|---|---|---|---|---|"]
    for stage, held in by_stage(listed).items():
        kinds = ", ".join(dict.fromkeys(node.partitions for node in held))
        names = ", ".join(f"`{node.short}`" for node in held)
        totals = (sum(node.blocking for node in held), sum(node.warning for node in held))
        rows.append(f"| `{stage}` | {names} | {kinds} | {totals[0]} | {totals[1]} |")
    return "\n".join([*rows, ""])


def redrawn(text: str, listed: Sequence[Node]) -> str:
    """The page with each `<!-- drawn: NAME -->` part made anew. Raises KeyError for a part that nobody draws."""
    parts = {"stages": stages_chart, "insides": insides, "counts": counted}
    return PART.sub(lambda match: f"{match[1]}{parts[match['name']](listed)}{match[3]}", text)


def main() -> int:
    """Write the page, or with --check say whether it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m twainbot_assets.drawing", description="Draw docs/architecture.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page is not up to date")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as home:
        os.environ.update({**PROFILE, "TWAINBOT_HOME": home})
        before = PAGE.read_text(encoding="utf-8")
        after = redrawn(before, nodes())
    if check and after != before:
        print(f"{Path(PAGE).relative_to(PROJECT)} is not up to date with the graph. Run `make docs`.", file=sys.stderr)
    elif not check:
        PAGE.write_text(after, encoding="utf-8")
    return int(check and after != before)


if __name__ == "__main__":
    sys.exit(main())
