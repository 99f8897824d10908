"""What people find in the UI beside an asset's words: nothing of the graph is without owner, kind, tags and a code link."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from resources.home import PROJECT
from twainbot_assets import keys, labels

LOOK = """
import json
from twainbot_assets.definitions import defs
print(json.dumps({
    "/".join(node.key.path): {
        "description": node.description, "group": node.group_name, "kinds": sorted(node.kinds), "owners": list(node.owners),
        "tags": {name: value for name, value in node.tags.items() if not name.startswith("dagster/")},
        "code": [
            {"url": getattr(one, "url", None), "file": getattr(one, "file_path", None),
             "line": getattr(one, "line_number", None), "label": one.label}
            for one in node.metadata["dagster/code_references"].code_references
        ],
        "linked": "lineage_page" in node.metadata,
        "made": node.is_materializable,
    }
    for node in defs.resolve_asset_graph().asset_nodes
}))
"""
URL = "https://git.example/house/twainbot/blob/main"


def look(home: Path, **more: str) -> dict[str, dict[str, Any]]:
    """The graph with recipes of every kind, as a fresh process sees it."""
    own = {"TWAINBOT_PROFILE": "tiny", "TWAINBOT_RECIPES": "default,twain,franklin,mixed", "TWAINBOT_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK],
        cwd=PROJECT, env={**os.environ, labels.CODE_URL: "", **own, **more}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return look(tmp_path_factory.mktemp("home"))


def test_every_asset_has_a_description_an_owner_kinds_a_group_and_tags(graph):
    for name, node in graph.items():
        assert len(node["description"] or "") >= 20, name
        assert [owner.startswith("team:") for owner in node["owners"]] == [True], name
        assert 1 <= len(node["kinds"]) <= 3, name  # the UI shows no more
        assert node["group"] in keys.STAGES, name
        assert set(node["tags"]) == {"twainbot/partitions", "twainbot/made_by"}, name


def test_every_code_link_opens_the_line_where_the_asset_begins(graph):
    for name, node in graph.items():
        (link,) = node["code"]
        lines = Path(link["file"]).read_text().splitlines()
        assert (PROJECT / link["label"]).samefile(link["file"]), name
        begun = "\n".join(lines[link["line"] - 1 : link["line"] + 25])  # a decorator may be long
        assert lines[link["line"] - 1].lstrip().startswith(("@dg.", "def ")), name
        assert "def " in begun, name


@pytest.mark.slow
def test_where_the_code_lies_in_a_repository_the_links_are_its_urls(tmp_path):
    (link,) = look(tmp_path, **{labels.CODE_URL: f"{URL}/"})["chunks/local"]["code"]
    assert link["url"].startswith(f"{URL}/twainbot_assets/chunks.py#L")


def test_tags_tell_partitions_and_what_makes_a_new_version(graph):
    def tags(name: str) -> tuple[str, str]:
        found = graph[name]["tags"]
        return found["twainbot/partitions"], found["twainbot/made_by"]

    assert tags("sources/local") == ("unit", "observed")
    assert tags("chunks/local") == ("unit", "refresh")
    assert tags("dialogues/seeds") == ("batch", "refresh")
    assert tags("adapters/sft") == ("recipe", "refresh")
    assert tags("adapters/mixture") == ("mixture", "refresh")
    assert tags("release/model") == ("version", "on_request")
    assert tags("splits/sft") == ("none", "refresh")


def test_every_stage_has_an_owner():
    assert list(labels.OWNERS) == list(keys.STAGES)


def test_the_lineage_page_is_linked_from_what_stands_on_it(graph):
    assert {node["group"] for node in graph.values() if node["linked"]} == set(labels.LINKED)


def test_only_observed_assets_get_their_kind_here(graph):
    assert {node["kinds"][0] for node in graph.values() if not node["made"]} == {"file", "json", "yaml"}
