"""Bundles handed to a folder, to S3 and to DVC: whole or not there, never over other bytes, and the same when fetched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resources import bundle_store
from resources.commit import commit_of
from tests import data_lake as small
from twainbot.errors import BadInput, BadUse, SourceUnavailable
from twainbot.release import manifest
from twainbot_assets import dataset_release, publishing
from twainbot_assets.tools import verify_folder

pytestmark = pytest.mark.slow

FILES = {"README.md": b"# Data\n", "sft/train.parquet": b"PAR1", "jsonl/sft/train.jsonl": b"{}\n"}
BUCKET = "releases"


def bundle(folder: Path, files=FILES, version="data-v1.0") -> Path:
    """A folder with files and their manifest."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    made = manifest.build("twainbot-data", version, files, {"splits/sft": "ab"})
    (folder / manifest.MANIFEST_NAME).write_bytes(manifest.to_json(made))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, DVC's own left out."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def server():
    """An S3 server on 127.0.0.1 with an empty bucket, as the usual AWS variables name it."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    started = moto.ThreadedMotoServer("127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(BUCKET)
        yield f"s3://{BUCKET}"
        s3fs.S3FileSystem.clear_instance_cache()
    started.stop()


@pytest.fixture(params=["folder", "s3"])
def target(request, tmp_path) -> str:
    """An empty place, in a folder and on S3."""
    return (
        str(tmp_path / "out") if request.param == "folder" else f"{request.getfixturevalue('server')}/{tmp_path.name}"
    )


def names(target: str) -> list[str]:
    return bundle_store.listed(bundle_store.place(target))


def test_a_bundle_is_copied_whole_and_a_second_time_costs_nothing(tmp_path, target):
    folder = bundle(tmp_path / "bundle")
    assert bundle_store.put(folder, target) == (4, 0)
    assert names(target) == sorted([*FILES, "manifest.json"])
    found = bundle_store.place(target)
    assert all(found.joinpath(*name.split("/")).read_bytes() == data for name, data in FILES.items())
    assert bundle_store.put(folder, target) == (0, 4)


def test_a_copy_that_was_cut_short_is_taken_up_where_it_ended(tmp_path, target):
    folder = bundle(tmp_path / "bundle")
    bundle_store.write(bundle_store.place(target) / "README.md", FILES["README.md"])
    assert bundle_store.put(folder, target) == (3, 1)


KILLED = """
import os, signal, sys
from pathlib import Path
from resources import bundle_store

synced, real = [], os.fsync

def fsync(descriptor):
    synced.append(descriptor)
    if len(synced) == 3:  # two for each file, of its bytes and of its folder: the second file has no name yet
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)

os.fsync = fsync
bundle_store.put(Path(sys.argv[1]), sys.argv[2])
"""


def test_what_a_killed_copy_had_begun_to_write_is_removed_by_the_next_try(tmp_path):
    folder, target = bundle(tmp_path / "bundle"), str(tmp_path / "out")
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder), target], check=False).returncode == -9
    (rest,) = (Path(target) / "jsonl" / "sft").iterdir()
    assert rest.name.startswith(".train.jsonl.")
    assert bundle_store.put(folder, target) == (3, 1)
    assert contents(Path(target)) == contents(folder)


def test_a_refused_copy_removes_nothing_be_it_a_rest_or_no_file_of_ours(tmp_path):
    mine, rest = ".notes.txt.tmp", f".README.md.{'0af1' * 8}.tmp"
    for name in (mine, rest):
        bundle_store.write(bundle_store.place(str(tmp_path / "out")) / name, b"x")
    with pytest.raises(BadUse, match=r"\.notes\.txt\.tmp is no file of this bundle"):
        bundle_store.put(bundle(tmp_path / "bundle"), str(tmp_path / "out"))
    assert names(str(tmp_path / "out")) == sorted([mine, rest])


def test_the_manifest_goes_last_so_that_half_a_copy_is_none(tmp_path, target, monkeypatch):
    folder, written = bundle(tmp_path / "bundle"), []
    real = bundle_store.write

    def stops(path, data):
        written.append(path.name)
        if len(written) == 4:
            raise ConnectionError("the line went dead")
        real(path, data)

    monkeypatch.setattr(bundle_store, "write", stops)
    with pytest.raises(SourceUnavailable, match="the line went dead"):
        bundle_store.put(folder, target)
    assert written[-1] == "manifest.json"
    assert "manifest.json" not in names(target)


def test_other_bytes_are_refused_and_stay_as_they_were(tmp_path, target):
    bundle_store.put(bundle(tmp_path / "one"), target)
    other = bundle(tmp_path / "two", {**FILES, "README.md": b"# Other\n"})
    with pytest.raises(BadUse, match=r"README\.md holds other bytes.*next version"):
        bundle_store.put(other, target)
    assert bundle_store.place(target).joinpath("README.md").read_bytes() == FILES["README.md"]


def test_a_foreign_file_is_named_since_the_copy_would_not_verify(tmp_path, target):
    bundle_store.write(bundle_store.place(target) / "notes.txt", b"mine")
    with pytest.raises(BadUse, match=r"notes\.txt is no file of this bundle"):
        bundle_store.put(bundle(tmp_path / "bundle"), target)
    assert names(target) == ["notes.txt"]


@pytest.mark.slow
def test_a_data_bundle_is_cut_from_a_lake_on_s3_and_published_beside_it(tmp_path, server):
    lake = small.write(f"{server}/lake-{tmp_path.name}", small.material())
    (tmp_path / "work").mkdir()
    row = dataset_release.cut(lake, tmp_path / "work", "data-v1.0-rehearsal", {"splits/sft": "ab12"})
    folder = lake.fetch_folder(row["folder"][0], tmp_path / "cache")
    assert "whole" in verify_folder(folder)
    place = f"{server}/{tmp_path.name}/data-v1.0-rehearsal"
    written, same = bundle_store.put(folder, place)
    assert (written, same) == (len(names(place)), 0)
    (folder / "README.md").write_text("another card")
    with pytest.raises(BadUse, match=r"README\.md holds other bytes"):
        bundle_store.put(folder, place)


def test_a_bucket_that_is_not_there_is_told_in_one_sentence(tmp_path, server):
    with pytest.raises(SourceUnavailable, match=r"s3://nowhere/x cannot be written .*repeat the command"):
        bundle_store.put(bundle(tmp_path / "bundle"), "s3://nowhere/x")


def test_a_kind_of_url_that_nobody_knows_is_bad_use(tmp_path):
    with pytest.raises(BadUse, match="cannot be written to"):
        bundle_store.put(bundle(tmp_path / "bundle"), "gopher://old/place")


# --- the commit -------------------------------------------------------------------------------------------------------


def test_a_clone_has_its_commit_and_says_when_files_differ_from_it(tmp_path):
    if not bundle_store.git(tmp_path, "--version"):
        pytest.skip("no git here")
    for words in (["init", "-q"], ["config", "user.email", "a@b"], ["config", "user.name", "a"]):
        bundle_store.git(tmp_path, *words)
    assert commit_of(tmp_path) is None  # nothing committed yet
    (tmp_path / "a").write_text("1")
    bundle_store.git(tmp_path, "add", "a")
    bundle_store.git(tmp_path, "commit", "-qm", "one")
    head = commit_of(tmp_path)
    assert head is not None
    assert len(head) == 40
    (tmp_path / "a").write_text("2")
    assert commit_of(tmp_path) == f"{head}+changes"
    (tmp_path / "inside").mkdir()
    assert commit_of(tmp_path / "inside") is None  # a folder of somebody else's clone


# --- DVC: a fake for what it is asked, the real one where it is installed ---------------------------------------------

FAKE = """
import sys, pathlib
words = sys.argv[1:]
with open("{log}", "a") as log: log.write(" ".join(words) + "\\n")
if words[0] == "init": pathlib.Path(".dvc").mkdir()
if words[0] == "config" and {remote!r}: print("core.remote=store\\nremote.store.url=" + {remote!r})
if words[0] == "push" and {refuses}: sys.exit("ERROR: failed to push: no room on the store")
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A program in DVC's place; returns what it was asked, a line per call."""

    def install(remote: str = "", refuses: bool = False) -> Path:
        script, log = tmp_path / "fake.py", tmp_path / "asked.txt"
        script.write_text(FAKE.format(log=log, remote=remote, refuses=refuses))
        monkeypatch.setenv(bundle_store.DVC_VARIABLE, f"{sys.executable} {script}")
        return log

    return install


def test_a_new_repository_is_made_and_without_a_remote_nothing_is_pushed(tmp_path, fake):
    log, repository = fake(), tmp_path / "repository"
    (line,) = bundle_store.track(bundle(tmp_path / "bundle"), repository, "data-v1.0")
    assert "nothing was pushed" in line
    assert log.read_text().splitlines()[:2] == ["init --no-scm", "add data-v1.0"]
    assert "push" not in log.read_text()
    assert contents(repository / "data-v1.0").keys() == {*FILES, "manifest.json"}


def test_what_a_killed_copy_left_in_a_repository_is_removed_by_the_next_and_nothing_else(tmp_path, fake):
    fake()
    repository = tmp_path / "repository"
    rest, others = f".data-v1.0.{'0af1' * 8}.tmp", [".data-v1.0.tmp", f".data-v2.0.{'0af1' * 8}.tmp"]
    for name in (rest, *others):
        bundle(repository / name)
    bundle_store.track(bundle(tmp_path / "bundle"), repository, "data-v1.0")
    assert sorted(path.name for path in repository.iterdir()) == [".data-v1.0.tmp", others[1], ".dvc", "data-v1.0"]


def test_the_first_remote_becomes_the_default_and_another_one_is_refused(tmp_path, fake):
    log, repository, folder = fake(), tmp_path / "repository", bundle(tmp_path / "bundle")
    bundle_store.track(folder, repository, "data-v1.0", "s3://store/dvc")
    assert log.read_text().splitlines()[-2:] == [
        "remote add --force --default releases s3://store/dvc",
        "push data-v1.0.dvc",
    ]
    fake(remote="s3://elsewhere")
    with pytest.raises(BadUse, match="pushes to s3://elsewhere, not to s3://store/dvc"):
        bundle_store.track(folder, repository, "data-v1.0", "s3://store/dvc")


def test_what_dvc_refuses_is_told_in_its_own_words(tmp_path, fake):
    fake(remote="s3://store", refuses=True)
    with pytest.raises(BadInput, match=r"`dvc push` refused .*no room on the store"):
        bundle_store.track(bundle(tmp_path / "bundle"), tmp_path / "repository", "data-v1.0")


def test_a_version_with_other_bytes_in_the_repository_is_refused(tmp_path, fake):
    fake()
    repository = tmp_path / "repository"
    bundle_store.track(bundle(tmp_path / "one"), repository, "data-v1.0")
    with pytest.raises(BadUse, match="holds other bytes"):
        bundle_store.track(bundle(tmp_path / "two", {"README.md": b"#"}), repository, "data-v1.0")


def test_without_dvc_the_repair_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(bundle_store.DVC_VARIABLE, "no-such-dvc")
    with pytest.raises(BadUse, match="environment of its own"):
        bundle_store.track(bundle(tmp_path / "bundle"), tmp_path / "repository", "data-v1.0")


def test_settings_are_read_as_dvc_prints_them():
    printed = "core.remote=a\nremote.a.url=s3://x/y?z=1\n"
    assert bundle_store.settings_of(printed) == {"core.remote": "a", "remote.a.url": "s3://x/y?z=1"}


@pytest.mark.slow
def test_what_the_real_dvc_pushed_is_pulled_into_another_clone_with_the_same_hashes(tmp_path):
    try:
        dvc = bundle_store.program()
    except BadUse:
        pytest.skip(f"no DVC here: install it in an environment of its own and name it in {bundle_store.DVC_VARIABLE}")
    folder, repository, clone = bundle(tmp_path / "bundle"), tmp_path / "repository", tmp_path / "clone"
    (line,) = bundle_store.track(folder, repository, "data-v1.0", str(tmp_path / "remote"))
    assert f"pushed to {tmp_path / 'remote'}" in line
    assert bundle_store.track(folder, repository, "data-v1.0") == [line]  # again: nothing new, nothing refused
    clone.mkdir()
    bundle_store.run(dvc, clone, "init", "--no-scm")
    for file in (".dvc/config", "data-v1.0.dvc"):
        (clone / file).write_bytes((repository / file).read_bytes())
    bundle_store.run(dvc, clone, "pull")
    assert contents(clone / "data-v1.0") == contents(folder)


def test_the_pure_package_and_the_graph_do_without_dvc():
    code = "import sys, resources.bundle_store; sys.exit('dvc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ}).returncode == 0


@pytest.mark.parametrize(
    ("dvc", "remote", "push", "says"),
    [
        (None, "s3://bucket/dvc", None, "Name the repository with --dvc"),
        ("repository", None, None, "No DVC was found"),
        (None, None, "bot", "Write OWNER/NAME"),
    ],
)
def test_what_cannot_be_handed_on_is_refused_before_a_version_is_cut(tmp_path, monkeypatch, dvc, remote, push, says):
    monkeypatch.setenv("TWAINBOT_DVC", str(tmp_path / "no-dvc"))
    with pytest.raises(BadUse, match=says):
        publishing.require_ways(dvc, remote, push)
