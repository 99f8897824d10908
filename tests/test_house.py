"""The contributor's house: the drawn graph is the graph, hooks and container do what `make` does, guides can be followed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests import guides
from twainbot_assets import drawing
from twainbot_assets.drawing import Node

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
GUIDES = ("add-a-source.md", "add-a-check.md", "add-a-recipe.md", "make-another-persona.md")
# of the devcontainer.json reference: what an image-based container may say
KNOWN_KEYS = {
    "name", "image", "hostRequirements", "containerEnv", "remoteEnv", "postCreateCommand", "postStartCommand", "forwardPorts",
    "portsAttributes", "customizations", "features", "remoteUser", "mounts", "runArgs",
}  # fmt: skip


def node(name: str, *parents: str, blocking: int = 1, warning: int = 0) -> Node:
    return Node(name, name.split("/")[0], "none", blocking, warning, frozenset(parents))


GRAPH = [
    node("sources/units"), node("corpora/<source>", "sources/units"), node("chunks/<source>", "corpora/<source>"),
    node("curated/passages", "chunks/<source>", "corpora/<source>"),
    node("curated/rejects", "curated/passages", blocking=0, warning=2), node("warehouse", "curated/passages"),
]  # fmt: skip


# --- the drawn graph ---------------------------------------------------------------------------------------------------


def test_a_stage_that_is_read_by_a_longer_way_too_gets_no_second_arrow():
    drawn = drawing.stages_chart(GRAPH)
    assert re.findall(r"^  (\w+ --> \w+)$", drawn, re.MULTILINE) == ["corpora --> chunks", "chunks --> curated"]
    assert 'curated["CURATED<br/>passages, rejects"]' in drawn
    assert "sources" not in drawn
    assert "warehouse" not in drawn


def test_assets_of_one_kind_are_drawn_with_the_gates_of_the_one_that_has_most():
    """Whichever came last decided once, and that changed with Python's hash seed."""
    few, many = node("corpora/<source>", blocking=4), node("corpora/<source>", blocking=6)
    assert drawing.joined(few, many).blocking == drawing.joined(many, few).blocking == 6


def test_inside_a_stage_what_belongs_to_another_is_round_and_gates_are_counted():
    drawn = drawing.inside_chart("curated", GRAPH)
    assert '(["chunks/\u2039source\u203a"])' in drawn
    assert '["passages<br/>1 gate"]' in drawn
    assert '["rejects<br/>2 warnings"]' in drawn
    assert drawn.count("-->") == 3
    assert "no gate" in drawing.gates(node("x/y", blocking=0))


def test_a_stage_that_reads_very_many_tables_of_others_is_drawn_with_their_stages_and_no_implied_arrows():
    read = [f"splits/t{number}" for number in range(drawing.MANY + 1)]
    many = [*(node(name) for name in read), node("evals/a", *read), node("evals/b", *read, "evals/a")]
    drawn = drawing.inside_chart("evals", many)
    assert '(["splits"])' in drawn
    assert drawn.count("-->") == 2  # splits to a, a to b; that b reads splits too follows


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("chunks", "local"), "chunks/<source>"),
        (("dedupe", "signatures", "jokes"), "dedupe/signatures/<source>"),
        (("sources", "local"), "sources/<source>"),
        (("sources", "settings_dedupe"), "sources/settings_<section>"),
        (("sources", "lexicon"), "sources/lexicon"),
        (("warehouse",), "warehouse"),
    ],
)
def test_assets_of_one_kind_are_drawn_once(path, name):
    assert drawing.drawn_name(path, ("local", "jokes")) == name


def test_only_the_marked_parts_of_the_page_are_made_anew():
    page = "# A\n\n<!-- drawn: counts -->\nold\n<!-- /drawn -->\n\nKept.\n"
    made = drawing.redrawn(page, GRAPH)
    assert "old" not in made
    assert made.startswith("# A\n")
    assert made.endswith("Kept.\n")
    assert drawing.redrawn(made, GRAPH) == made
    with pytest.raises(KeyError):
        drawing.redrawn(page.replace("counts", "weather"), GRAPH)


@pytest.mark.slow
def test_the_architecture_page_is_drawn_from_the_graph_as_it_is():
    own = {name: text for name, text in os.environ.items() if not name.startswith(("TWAINBOT_", "DAGSTER_"))}
    command = [sys.executable, "-W", "ignore", "-m", "twainbot_assets.drawing", "--check"]
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_architecture_page_names_every_package_and_every_contract():
    page = (ROOT / "docs" / "architecture.md").read_text()
    contracts = PROJECT["tool"]["importlinter"]
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \| [^|]*\| [^|]*\| [^|]*\|$", page, re.MULTILINE)}
    assert set(contracts["root_packages"]) <= set(rows)
    for contract in contracts["contracts"]:
        bound = contract.get("source_modules") or contract["layers"]
        assert all(contract["name"] in rows[package] for package in bound), contract["name"]


# --- hooks and container -----------------------------------------------------------------------------------------------


def test_hooks_are_the_tools_of_make_check_out_of_the_environment_and_download_nothing():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "pyrefly", "lint-imports"]
    recipe = MAKEFILE.split("\ncheck:", 1)[1].split("\n\n", 1)[0]
    wanted = {line.split()[0] for line in PROJECT["project"]["optional-dependencies"]["dev"]}
    for hook in hooks:
        program = hook["entry"].split()[0]
        assert hook["language"] == "system"
        assert program.startswith(".venv/bin/")
        assert f"$(BIN)/{Path(program).name}" in recipe
        package = {"lint-imports": "import-linter"}.get(Path(program).name, Path(program).name)
        assert any(name.startswith(package) for name in wanted)


@pytest.mark.parametrize("hook", ["ruff", "ruff-format"])
def test_a_hook_refuses_what_it_is_there_for(hook, tmp_path):
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entry = next(each["entry"] for each in config["repos"][0]["hooks"] if each["id"] == hook).split()
    program = Path(sys.executable).with_name(Path(entry[0]).name)
    if not program.is_file():
        pytest.skip("ruff is not installed: pip install -e .[dev]")
    faulty = tmp_path / "faulty.py"
    faulty.write_text("import os\nx = {  'a':1 }\n", encoding="utf-8")
    done = subprocess.run(
        [str(program), *entry[1:], str(faulty)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    changed = faulty.read_text() != "import os\nx = {  'a':1 }\n"  # a hook that mends a file fails the commit as well
    assert done.returncode != 0 or changed


def test_the_container_sets_up_with_make_and_says_only_what_the_reference_knows():
    said = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert set(said) <= KNOWN_KEYS
    assert said["postCreateCommand"] == "make setup"
    assert re.search(r"^setup:", MAKEFILE, re.MULTILINE)
    least = re.search(r"python:(\d+)\.(\d+)", said["image"])
    assert least
    assert (int(least[1]), int(least[2])) >= (3, 11)
    assert all(re.search(rf"^{name} \?=", MAKEFILE, re.MULTILINE) for name in said["containerEnv"])
    assert re.search(rf"^PORT \?= {said['forwardPorts'][0]}$", MAKEFILE, re.MULTILINE)


# --- guides ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_has_files_and_commands_and_its_patches_fit_the_code_of_today(page, tmp_path):
    found = guides.steps(page)
    assert {"file", "command"} <= {step.kind for step in found}
    for step in found:
        if step.kind == "patch":
            copy = tmp_path / step.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(copy.read_text() if copy.is_file() else (ROOT / step.name).read_text())
            guides.patch(copy, step.text)
            assert copy.read_text() != (ROOT / step.name).read_text()
        elif step.kind == "file" and step.name.endswith((".yaml", ".py")):
            assert compile(step.text, step.name, "exec") if step.name.endswith(".py") else yaml.safe_load(step.text)


def test_a_patch_whose_place_is_gone_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(AssertionError, match="holds 0 times"):
        guides.patch(tmp_path / "a.py", " y = 1\n+z = 2\n")
