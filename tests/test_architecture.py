"""The house's own rules, held by tests: imports point down, loading is cheap, every asset is named, described, gated."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("twainbot", "twainbot_assets", "resources", "checks", "training")
HEAVY = (
    "torch", "transformers", "peft", "trl", "mlflow", "great_expectations", "detoxify", "datasets", "polars", "sklearn",
    "matplotlib", "openai", "anthropic",
)  # fmt: skip
LATE = ("torch", "transformers", "peft", "trl", "mlflow", "great_expectations", "detoxify", "datasets",
        "openai", "anthropic")  # fmt: skip
PROFILES = ("tiny", "sample", "laptop", "full")
MAX_LINES = 500  # of a module: past it nobody holds it in the head
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

LOOK = """
import json, os, sys, traceback
import dagster as dg


def look():
    from twainbot_assets.definitions import defs
    heavy = sorted(set(sys.modules) & set({heavy!r}))
    graph = defs.resolve_asset_graph()
    nodes = [
        {{
            "key": node.key.to_user_string(), "group": node.group_name, "description": node.description or "",
            "code_version": node.code_version or "", "checks": len(node.check_keys), "made": node.is_materializable,
            "partitions": node.partitions_def and (
                node.partitions_def.name if isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
                else len(node.partitions_def.get_partition_keys())
            ),
            "kind": type(node.partitions_def).__name__,
            "parents": sorted(parent.to_user_string() for parent in node.parent_keys),
        }}
        for node in graph.asset_nodes
    ]
    return {{"heavy": heavy, "nodes": nodes}}


for profile in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            os.environ["TWAINBOT_PROFILE"] = profile
            print(json.dumps([profile, look()]), flush=True)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.waitpid(child, 0)
"""


@cache
def locations() -> tuple[dict[str, dict[str, Any]], str]:
    """What a process sees that loads the code location of a profile: heavy modules, and all assets. Beside it, what was said.

    Each is forked from one that has imported Dagster and nothing else, for which every one would wait.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK.format(heavy=HEAVY), *PROFILES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')), done.stderr


def location(profile: str) -> dict[str, Any]:
    """The code location of one profile."""
    found, said = locations()
    assert profile in found, said
    return found[profile]


@pytest.fixture(scope="module")
def made() -> list[dict[str, Any]]:
    """The assets that are materialised, observed sources left out."""
    return [node for node in location("tiny")["nodes"] if node["made"]]


@cache
def tree(path: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_point_down_and_the_pure_package_stays_pure():
    program = Path(sys.executable).with_name("lint-imports")
    if not program.is_file():
        pytest.skip("import-linter is not installed: pip install -e .[dev]")
    done = subprocess.run([str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.slow
def test_loading_the_code_location_leaves_heavy_libraries_alone():
    assert location("tiny")["heavy"] == []


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["sample", "laptop", "full"])
def test_every_profile_loads_as_a_code_location_with_the_same_assets(profile):
    assert {node["key"] for node in location(profile)["nodes"]} == {node["key"] for node in location("tiny")["nodes"]}


@pytest.mark.parametrize("field", ["group", "description", "code_version"])
def test_every_asset_has_a(field, made):
    assert [node["key"] for node in made if not node[field]] == []


def test_every_asset_has_a_check(made):
    assert [node["key"] for node in made if not node["checks"]] == []


def test_an_assets_group_is_its_stage_and_its_first_key(made):
    odd = [node["key"] for node in made if node["key"].split("/")[0] != node["group"]]
    assert [key for key in odd if key != "warehouse"] == []


def test_observed_sources_are_described_and_grouped():
    sources = [node for node in location("tiny")["nodes"] if not node["made"]]
    assert sources
    assert [node["key"] for node in sources if not node["description"] or node["group"] != "sources"] == []


def test_no_asset_depends_on_one_that_the_graph_does_not_know():
    nodes = location("tiny")["nodes"]
    known = {node["key"] for node in nodes}
    assert [node["key"] for node in nodes if not set(node["parents"]) <= known] == []


def test_partition_sets_are_plain_and_stay_under_100_keys():
    for profile in ("tiny", "full"):
        for node in location(profile)["nodes"]:
            assert node["kind"] in ("NoneType", "StaticPartitionsDefinition", "DynamicPartitionsDefinition"), node[
                "key"
            ]
            if node["kind"] == "StaticPartitionsDefinition":
                assert 1 <= node["partitions"] < 100, node["key"]


def test_no_module_is_longer_than_500_lines():
    long = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


def test_every_module_opens_with_its_charter():
    bare = [path for path in MODULES if path.read_text().strip() and not ast.get_docstring(tree(path))]
    assert [name_of(path) for path in bare] == []


def test_no_import_is_relative_since_code_versions_follow_full_names():
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert found == []


def test_heavy_libraries_are_never_imported_at_module_level_outside_training():
    found = [
        f"{name_of(path)}:{node.lineno} {name}"
        for path in MODULES
        if path.relative_to(ROOT).parts[0] != "training"
        for node in outermost_imports(tree(path).body)
        for name in imported(node)
        if name.split(".")[0] in LATE
    ]
    assert found == []


def outermost_imports(body: list[ast.stmt]) -> list[ast.Import | ast.ImportFrom]:
    """Imports that run when a module is loaded; what stands under `if TYPE_CHECKING:` does not."""
    return [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]


def test_public_functions_and_classes_are_documented():
    bare = [
        f"{name_of(path)}:{node.name}"
        for path in MODULES
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


def test_asset_modules_do_not_postpone_annotations_that_dagster_reads():
    stages = {path for path in (ROOT / "twainbot_assets").glob("*.py") if "@dg.asset" in path.read_text()}
    assert stages
    assert [name_of(path) for path in stages if "from __future__ import annotations" in path.read_text()] == []
