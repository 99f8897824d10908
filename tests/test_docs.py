"""The words are true: README's table is the graph, every command named exists, links resolve, recipes and profiles validate."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from training.config import Recipe, load_recipe
from twainbot_assets import cli, profile

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
RECIPES = sorted((ROOT / "training" / "configs").rglob("*.yaml"))
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))

LOOK = """
import json
import dagster as dg
from twainbot_assets import keys
from twainbot_assets.definitions import defs
from twainbot_assets.partitions import BATCHES, DATA_VERSIONS, MIXTURES, MODEL_VERSIONS, RECIPES, UNITS
from twainbot_assets.profile import SOURCES

kinds = [(None, "none"), (BATCHES, "batch"), (RECIPES, "recipe"), (DATA_VERSIONS, "version"), (MODEL_VERSIONS, "version")]
kinds += [(MIXTURES, "mixture")]
kinds += [(units, "unit") for units in UNITS.values()]
graph = defs.resolve_asset_graph()
print(json.dumps({
    "words": {"source": SOURCES, "section": keys.SETTINGS, "training": keys.TRAINING_STAGES},
    "jobs": [job.name for job in defs.jobs],
    "nodes": {
        "/".join(node.key.path): {
            "stage": node.group_name,
            "partitions": next(word for partitions, word in kinds if partitions == node.partitions_def),
            "checks": {key.name: graph.get_check_spec(key).blocking for key in node.check_keys},
        }
        for node in graph.asset_nodes
    },
}))
"""


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The graph of profile tiny, with recipes of every kind, as a fresh process with an empty home sees it."""
    home = {
        "TWAINBOT_PROFILE": "tiny",
        "TWAINBOT_RECIPES": "default,twain,franklin,mixed",
        "TWAINBOT_HOME": str(tmp_path_factory.mktemp("home")),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK],
        cwd=ROOT, env={**os.environ, **home}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(header: str, text: str = README) -> list[list[str]]:
    """The cells of the Markdown table that begins with this header, row by row."""
    after = text.split(header, 1)[1].splitlines()[2:]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in itertools.takewhile(lambda line: line.startswith("|"), after)
    ]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def spelt_out(name: str, words: dict[str, list[str]]) -> list[str]:
    """`settings_<section>` as the names that it stands for."""
    placeholder = re.search(r"<(\w+)>", name)
    return [name.replace(placeholder[0], word) for word in words[placeholder[1]]] if placeholder else [name]


def asset_rows(graph: dict[str, Any]) -> list[tuple[list[str], str, str]]:
    """(asset paths, partitions, gate cell) of each row of README's asset table."""
    rows = []
    for stage, assets, partitions, gate in table("| stage | assets | partitions | gate |"):
        (prefix,) = quoted(stage)
        names = [name for cell in quoted(assets) for name in spelt_out(cell, graph["words"])]
        rows.append(([name if name == prefix else f"{prefix}/{name}" for name in names], partitions, gate))
    return rows


def test_the_asset_table_names_every_asset_of_the_graph_once_and_no_other(graph):
    listed = [path for paths, _, _ in asset_rows(graph) for path in paths]
    assert sorted(listed) == sorted(graph["nodes"])


def test_the_asset_table_puts_assets_under_their_stage_and_partitions(graph):
    found = {path: (path.split("/")[0], partitions) for paths, partitions, _ in asset_rows(graph) for path in paths}
    assert found == {path: (node["stage"], node["partitions"]) for path, node in graph["nodes"].items()}


def test_gates_in_the_asset_table_are_blocking_checks_of_each_asset_and_warnings_are_not(graph):
    for paths, _, gate in asset_rows(graph):
        blocking, _, warning = gate.partition("warns:")
        for path in paths:
            checks = graph["nodes"][path]["checks"]
            named = {**dict.fromkeys(quoted(blocking), True), **dict.fromkeys(quoted(warning), False)}
            assert {name: checks.get(name) for name in named} == named, path


def test_the_jobs_that_readme_names_are_the_graphs_jobs(graph):
    sentence = README.split("Jobs for the UI:", 1)[1].split(". ", 1)[0]
    listed = [job for name in quoted(sentence) for job in spelt_out(name, graph["words"])]
    assert sorted(listed) == sorted(graph["jobs"])


def test_the_command_table_is_the_command_lines_own_list():
    listed = [quoted(row[0])[0].removeprefix("twainbot ") for row in table("| command | does |")]
    shown = [name for name, command in cli.main.commands.items() if not command.hidden]
    assert sorted(listed) == sorted(shown)


def snippets(text: str) -> list[str]:
    """What stands in backticks, and the lines of fenced console blocks."""
    fenced = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [*inline, *(line.split("#")[0].strip() for block in fenced for line in block.splitlines())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {match[1] for text in snippets(page.read_text()) if (match := re.match(r"make ([a-z-]+)", text))}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_that_a_page_names_exists(page):
    for text in snippets(page.read_text()):
        match = re.match(r"(?:\.venv/bin/)?twainbot ([a-z-]+)", text)
        if match:
            assert match[1] in cli.main.commands, text
            known = {option for parameter in cli.main.commands[match[1]].params for option in parameter.opts}
            assert set(re.findall(r"(?<= )--[a-z-]+", text)) <= known | {"--help"}, text


def test_options_in_a_commands_row_are_its_own():
    for command, does in table("| command | does |"):
        known = cli.main.commands[quoted(command)[0].removeprefix("twainbot ")].params
        options = {option for parameter in known if isinstance(parameter, click.Option) for option in parameter.opts}
        assert {text.split()[0] for text in quoted(does) if text.startswith("--")} <= options, command


def test_the_index_of_docs_lists_every_page_and_readme_leads_to_it():
    listed = set(re.findall(r"\]\(([\w./-]+)\)", (ROOT / "docs" / "README.md").read_text()))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages | {"decisions"} <= listed
    assert "](docs/README.md)" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    broken = [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]
    assert broken == []


def test_the_profile_table_lists_every_profile_with_its_base_and_whether_it_is_a_rehearsal():
    listed = {quoted(row[0])[0]: row[3] for row in table("| profile | texts | base | rehearsal |")}
    assert listed == {path.stem: "yes" if profile.load(path.stem).rehearsal else "no" for path in PROFILES}


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_validates_and_says_what_it_is(path):
    loaded = profile.parse(path.read_text(), path)
    assert loaded.name == path.stem
    assert loaded.description.endswith(".")
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_recipe_validates_and_starts_with_its_command(path):
    recipe = load_recipe(path)
    assert (recipe.profile, recipe.name) == (path.parent.name, path.stem)
    first = path.read_text().splitlines()[0]
    command = r"resources\.merging {} --base " if recipe.mix else r"training\.\w+ {} --data "
    assert re.match(f"# python -m {command.format(re.escape(path.relative_to(ROOT).as_posix()))}", first)


def test_every_recipe_belongs_to_a_profile():
    assert {path.parent.name for path in RECIPES} <= {path.stem for path in PROFILES}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_is_numbered_dated_and_says_context_decision_and_price(page):
    lines = page.read_text().splitlines()
    assert lines[0].startswith(f"# {page.name[:4]}: ")
    day = re.match(r"(\d{4}-\d{2}-\d{2}), (accepted|superseded by \d{4})$", lines[2])
    assert day
    assert date.fromisoformat(day[1]) >= date(2026, 11, 22)
    assert [word for word in ("Context", "Decision", "Price") if f"**{word}.**" not in page.read_text()] == []
    assert 10 <= len(lines) <= 40


def test_decisions_are_numbered_without_gaps():
    assert [page.name[:4] for page in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]


def test_the_data_cards_faults_are_the_manifests():
    card = (ROOT / "docs" / "data_card.md").read_text()
    planted = re.findall(r"^\s+kind: (\w+)$", (ROOT / "samples" / "manifest.yaml").read_text(), re.MULTILINE)
    counts = [int(match[1]) if (match := re.search(r"\((\d+)\)", row[0])) else 1 for row in table("| fault |", card)]
    assert sum(counts) == len(planted)
    assert len(counts) == len(set(planted))


READ_ELSEWHERE = ("brought",)  # personas, whose files a guide writes


def keys_of(model: type[BaseModel]) -> set[str]:
    """Names of a model's fields and of those of the models in them."""
    fields = {name: field for name, field in model.model_fields.items() if name not in READ_ELSEWHERE}
    return set(fields).union(*(keys_of(part) for field in fields.values() for part in parts_of(field.annotation)))


def parts_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field's type speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in get_args(annotation) for part in parts_of(argument)]


@pytest.mark.parametrize(
    ("pages", "model"), [(["training.md"], Recipe), (["profiles.md", "generators.md"], profile.Profile)]
)
def test_every_key_of_a_recipe_and_of_a_profile_is_told(pages, model):
    text = "\n".join((ROOT / "docs" / page).read_text() for page in pages)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    told = set(re.findall(r"[a-z][a-z0-9_]*", " ".join(re.findall(r"`([^`]+)`", plain))))
    assert sorted(keys_of(model) - told) == []
