"""A bundle's manifest: whole, cut, edited, swapped, hostile."""

from __future__ import annotations

import copy
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.errors import BadInput
from twainbot.release import manifest

FILES = {"adapter/adapter_config.json": b"{}", "README.md": b"# Card\n"}
PARENTS = {"base": "sha256:aa", "data": "sha256:bb"}


def whole():
    return manifest.build("twainbot-lora", "v0.1", FILES, PARENTS)


def found(files=FILES):
    return {path: manifest.digest(data) for path, data in files.items()}


def test_a_whole_bundle_has_no_problems_with_or_without_the_manifest_file():
    assert manifest.verify(whole(), found()) == []
    assert manifest.verify(whole(), {**found(), "manifest.json": manifest.digest(b"x")}) == []


def test_files_are_listed_by_path_with_hash_and_size():
    assert [entry["path"] for entry in whole()["files"]] == ["README.md", "adapter/adapter_config.json"]
    assert whole()["files"][0]["sha256"] == hashlib.sha256(b"# Card\n").hexdigest()
    assert whole()["files"][0]["bytes"] == 7


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"README.md": b"# Card\n"}, "adapter/adapter_config.json is missing."),
        ({**FILES, "README.md": b"# Car"}, "README.md has 5 bytes, 7 expected"),
        ({**FILES, "README.md": b"# Hard\n"}, "README.md has sha256"),
        ({**FILES, "extra.bin": b""}, "extra.bin is in the folder but not in the manifest."),
    ],
)
def test_each_damage_is_named(files, sentence):
    (problem,) = manifest.verify(whole(), found(files))
    assert problem.startswith(sentence)


@pytest.mark.parametrize("field", ["version", "name", "rehearsal", "parents"])
def test_an_edited_manifest_is_seen(field):
    edited = {**whole(), field: "other"}
    assert manifest.verify(edited, found())[0].startswith("The manifest was edited")


def test_an_edit_that_also_swaps_the_file_is_seen_by_the_identity():
    edited = copy.deepcopy(whole())
    edited["files"][0]["sha256"], edited["files"][0]["bytes"] = manifest.digest(b"new")
    assert manifest.verify(edited, found({**FILES, "README.md": b"new"})) == [
        "The manifest was edited: its manifest_id does not match its content."
    ]


def test_a_file_listed_twice_or_without_a_hash_is_a_problem():
    doubled = whole()
    doubled["files"].append(doubled["files"][0])
    assert "README.md is listed twice." in manifest.verify(doubled, found())
    bare = whole()
    bare["files"][0]["sha256"] = "short"
    assert "README.md has no sha256 in the manifest." in manifest.verify(bare, found())


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", "C:/x", "a\\b", "", "a/../../b"])
def test_a_path_out_of_the_bundle_is_refused_when_written_and_when_read(path):
    with pytest.raises(BadInput):
        manifest.build("n", "v1", {path: b""}, PARENTS)
    hostile = whole()
    hostile["files"][0]["path"] = path
    assert any("bad path" in problem for problem in manifest.verify(hostile, found()))


@pytest.mark.parametrize("parents", [{}, {"base": ""}])
def test_a_release_without_parents_is_refused(parents):
    with pytest.raises(BadInput, match="names no parent"):
        manifest.build("n", "v1", FILES, parents)


def test_an_empty_manifest_is_a_problem():
    assert manifest.verify({"files": []}, {})[-1] == "The manifest lists no files."


def test_json_round_trips_to_the_same_bytes():
    data = manifest.to_json(whole())
    assert manifest.from_json(data) == whole()
    assert manifest.to_json(manifest.from_json(data)) == data


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"manifest_version": 2}', b"\xff"])
def test_something_else_is_no_manifest(data):
    with pytest.raises(BadInput):
        manifest.from_json(data)


def test_two_releases_differ_by_path_and_parent():
    new = manifest.build("twainbot-lora", "v0.2", {"README.md": b"!", "new.txt": b""}, {**PARENTS, "data": "sha256:cc"})
    assert manifest.difference(whole(), new) == {
        "added": ["new.txt"],
        "removed": ["adapter/adapter_config.json"],
        "changed": ["README.md"],
        "parents": ["data"],
    }


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.binary(max_size=8), min_size=1, max_size=5))
def test_what_is_built_verifies_and_any_changed_byte_does_not(files):
    made = manifest.build("n", "v1", files, PARENTS)
    assert manifest.verify(made, found(files)) == []
    path = min(files)
    assert manifest.verify(made, found({**files, path: files[path] + b"x"})) != []
