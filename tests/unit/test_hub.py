"""A push to the Hub through huggingface_hub's own client, against a server of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources import hub
from tests import hub_server
from twainbot.errors import BadInput, BadUse, SourceUnavailable
from twainbot.release import manifest
from twainbot_assets.tools import verify_folder

FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# Card\n",
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "adapter/adapter_model.safetensors": bytes(range(256)) * 3,
    "gguf/model.gguf": b"GGUF" + bytes(40),
}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """The folder with these files."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def cut(folder: Path, files: dict[str, bytes], version: str, name: str = "twainbot-lora") -> Path:
    """A bundle of these files with its manifest."""
    made = manifest.build(name, version, files, {"base": "b"}, rehearsal=True)
    return written(folder, {**files, manifest.MANIFEST_NAME: manifest.to_json(made)})


@pytest.fixture
def bundle(tmp_path):
    return cut(tmp_path / "bundle", FILES, "twainbot-lora-v0.1-rehearsal")


@pytest.fixture
def server(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage speaks another protocol
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with hub_server.running("secret-of-the-test") as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        monkeypatch.setenv("HF_TOKEN", found.token)
        yield found


def test_every_file_arrives_as_it_lies_in_the_bundle(bundle, server):
    address = hub.push(bundle, "someone/bot")
    here = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert server.files == here
    assert len(here) == len(FILES) + 1  # and the manifest
    assert address.startswith(f"{server.url}/someone/bot/commit/")


def test_the_repository_is_private_and_commit_and_tag_bear_the_version(bundle, server):
    hub.push(bundle, "someone/bot")
    assert [made["visibility"] for made in server.created] == ["private"]
    assert server.messages == server.tags == ["twainbot-lora-v0.1-rehearsal"]


def test_a_later_version_leaves_nothing_of_the_one_before_and_verifies_when_fetched(bundle, server, tmp_path):
    hub.push(bundle, "someone/bot")
    fewer = {path: content for path, content in FILES.items() if not path.startswith("gguf/")}
    later = {**fewer, "README.md": b"---\nlicense: apache-2.0\n---\n# Another card\n"}
    hub.push(cut(tmp_path / "later", later, "twainbot-lora-v0.2-rehearsal"), "someone/bot")
    assert set(server.files) == {*later, "manifest.json"}
    assert server.messages == server.tags == ["twainbot-lora-v0.1-rehearsal", "twainbot-lora-v0.2-rehearsal"]
    assert "v0.2-rehearsal, a rehearsal: 4 files" in verify_folder(written(tmp_path / "fetched", server.files))


def test_the_hubs_own_gitattributes_stay_beside_a_dataset_that_brings_none_and_do_not_harm_it(server, tmp_path):
    for version in ("data-v0.1-rehearsal", "data-v0.2-rehearsal"):
        data = {"README.md": b"# Data\n", f"sft/{version}.parquet": b"PAR1"}
        hub.push(cut(tmp_path / version, data, version, "twainbot-data"), "someone/data")
    assert set(server.files) == {*data, "manifest.json", ".gitattributes"}
    assert b"filter=lfs" in server.files[".gitattributes"]
    left_by_the_client = {".cache/huggingface/download/README.md.metadata": b"c0ffee"}
    assert "whole" in verify_folder(written(tmp_path / "fetched", {**server.files, **left_by_the_client}))


def test_a_repository_of_something_else_is_not_emptied_by_a_mistyped_name(bundle, server):
    hub.push(bundle, "someone/bot")
    theirs = {".gitattributes": b"x", "README.md": b"# My thesis", "thesis/chapter1.md": b"It was"}
    server.files.clear()
    server.files.update(theirs)
    with pytest.raises(
        BadUse, match=r"someone/bot holds thesis/chapter1.md and no manifest.json of twainbot-lora: .* this one first"
    ):
        hub.push(bundle, "someone/bot")
    assert server.files == theirs
    del server.files["thesis/chapter1.md"]  # a push that broke off, or a repository made on the Hub's own page
    hub.push(bundle, "someone/bot")
    assert "manifest.json" in server.files


@pytest.mark.parametrize("theirs", [b'{"short_name": "my page"}', b"[]", b"no JSON", "another bundle"])
def test_a_manifest_of_something_else_is_no_bundles(bundle, server, tmp_path, theirs):
    hub.push(bundle, "someone/bot")
    if theirs == "another bundle":
        theirs = (cut(tmp_path / "data", {"a": b"a"}, "data-v1.0", "twainbot-data") / "manifest.json").read_bytes()
    server.files.update({"manifest.json": theirs, "index.html": b"<html>"})
    kept = dict(server.files)
    with pytest.raises(BadUse, match=r"someone/bot holds index.html and no manifest.json of twainbot-lora"):
        hub.push(bundle, "someone/bot")
    assert server.files == kept


def test_a_token_that_the_hub_refuses_ends_in_one_sentence_without_it(bundle, server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "wrong-token-of-the-test")
    with pytest.raises(SourceUnavailable, match=r"someone/bot was not pushed: .*HF_TOKEN") as error:
        hub.push(bundle, "someone/bot")
    assert "wrong-token" not in str(error.value)
    assert server.files == {}


def test_a_hub_that_nobody_answers_at_ends_in_one_sentence(bundle, server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(SourceUnavailable, match=r"someone/bot was not pushed: .*Check HF_TOKEN and HF_ENDPOINT"):
        hub.push(bundle, "someone/bot")


@pytest.mark.parametrize(
    "name",
    ["bot", "a/b/c", "https://x/y", "some one/bot", "", "a/b\n", "a/b..c", "a/b--c", "a/b.git", f"a/{'b' * 120}"],
)
def test_what_names_no_repository_is_refused_before_anything_is_sent(bundle, name):
    with pytest.raises(BadUse, match="OWNER/NAME"):
        hub.push(bundle, name)


def test_a_folder_without_a_manifest_is_not_pushed(tmp_path):
    with pytest.raises(BadInput, match="no bundle"):
        hub.push(tmp_path, "someone/bot")
