"""A push to the Hub through huggingface_hub's own client, against a server of the tests."""

from __future__ import annotations

import pytest

from resources import hub
from tests import hub_server
from twainbot.errors import BadInput, BadUse, SourceUnavailable
from twainbot.release import manifest

FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# Card\n",
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "adapter/adapter_model.safetensors": bytes(range(256)) * 3,
    "gguf/model.gguf": b"GGUF" + bytes(40),
}


@pytest.fixture
def bundle(tmp_path):
    made = manifest.build("twainbot-lora", "twainbot-lora-v0.1-rehearsal", FILES, {"base": "b"}, rehearsal=True)
    for path, content in {**FILES, manifest.MANIFEST_NAME: manifest.to_json(made)}.items():
        target = tmp_path / "bundle" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return tmp_path / "bundle"


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


def test_a_token_that_the_hub_refuses_ends_in_one_sentence_without_it(bundle, server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "wrong-token-of-the-test")
    with pytest.raises(SourceUnavailable, match=r"someone/bot was not pushed: .*HF_TOKEN") as error:
        hub.push(bundle, "someone/bot")
    assert "wrong-token" not in str(error.value)
    assert server.files == {}


@pytest.mark.parametrize("name", ["bot", "a/b/c", "https://x/y", "some one/bot", ""])
def test_what_names_no_repository_is_refused_before_anything_is_sent(bundle, name):
    with pytest.raises(BadUse, match="OWNER/NAME"):
        hub.push(bundle, name)


def test_a_folder_without_a_manifest_is_not_pushed(tmp_path):
    with pytest.raises(BadInput, match="no bundle"):
        hub.push(tmp_path, "someone/bot")
