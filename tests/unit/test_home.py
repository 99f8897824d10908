"""Every folder hangs under one home, profiles never mix, and the environment that child processes read is complete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resources.home import PROJECT, Home, current, export, is_ours
from twainbot.errors import BadUse
from twainbot_assets.cli import leave_foreign_instance


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("TWAINBOT_HOME", "TWAINBOT_PROFILE", "TWAINBOT_LAKE"):
        monkeypatch.delenv(name, raising=False)


def own_paths(home: Home) -> list[Path]:
    return [Path(home.lake), home.work, home.reports, home.warehouse, home.reviews, home.ratings]


def test_two_profiles_share_raw_models_and_cache_and_nothing_else(tmp_path):
    one, other = Home(tmp_path, "tiny"), Home(tmp_path, "full")
    assert (one.raw, one.models, one.cache) == (other.raw, other.models, other.cache)
    assert not set(own_paths(one)) & set(own_paths(other))
    assert all(path.is_relative_to(tmp_path / "tiny") for path in own_paths(one))


def test_nothing_is_created_before_prepare(tmp_path):
    home = Home(tmp_path / "home", "tiny")
    assert not home.root.exists()
    home.prepare()
    assert all(folder.is_dir() for folder in (home.raw, home.models, home.cache, home.work, home.reports))
    assert Path(home.lake).is_dir()
    assert (home.own / "dagster" / "logs").is_dir()


def test_a_home_that_is_a_file_or_takes_no_folder_is_told_with_the_variable_that_names_it(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for root in (tmp_path / "file", Path("/proc/nowhere")):
        with pytest.raises(BadUse, match=rf"{root}/raw cannot be made: .+\. Set TWAINBOT_HOME to a folder that"):
            Home(root, "tiny").prepare()


def test_a_lake_that_is_a_file_is_told_with_its_own_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TWAINBOT_LAKE", str(tmp_path / "file"))
    with pytest.raises(BadUse, match=r"file cannot be made: File exists\. Set TWAINBOT_LAKE"):
        Home(tmp_path / "home", "tiny").prepare()


def test_a_lake_in_no_kind_of_store_is_told_with_those_that_there_are(tmp_path, monkeypatch):
    monkeypatch.setenv("TWAINBOT_LAKE", "s4://bucket/prefix")
    with pytest.raises(BadUse, match=r"'s4' is no kind of store\. Set it to a folder or s3://"):
        Home(tmp_path / "home", "tiny").prepare()


def test_a_home_of_a_user_who_is_not_there_is_bad_use(monkeypatch):
    monkeypatch.setenv("TWAINBOT_HOME", "~nobody-of-this-name/data")
    with pytest.raises(BadUse, match="a user whom this machine does not know"):
        current()


def test_without_settings_the_home_is_data_here_and_the_profile_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert current() == Home(tmp_path.resolve() / "data", "sample")


def test_the_environment_names_home_and_profile_and_an_argument_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("TWAINBOT_HOME", str(tmp_path / "there"))
    monkeypatch.setenv("TWAINBOT_PROFILE", "tiny")
    assert current() == Home((tmp_path / "there").resolve(), "tiny")
    assert current("full").profile == "full"


def test_a_relative_home_becomes_absolute_so_that_no_second_one_appears_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWAINBOT_HOME", "mine")
    assert current().root == tmp_path.resolve() / "mine"


def test_the_lake_may_lie_elsewhere_and_a_url_is_not_made_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path / "home", "tiny")
    monkeypatch.setenv("TWAINBOT_LAKE", "s3://bucket/prefix")
    assert home.prepare().lake == "s3://bucket/prefix"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    monkeypatch.setenv("TWAINBOT_LAKE", "elsewhere")
    assert home.prepare().lake == str(tmp_path.resolve() / "elsewhere")
    assert (tmp_path / "elsewhere").is_dir()


def test_export_sets_all_that_dagster_and_mlflow_read(tmp_path):
    environment = {"DAGSTER_HOME": ""}
    export(Home(tmp_path, "tiny"), environment)
    assert environment["TWAINBOT_HOME"] == str(tmp_path)
    assert environment["TWAINBOT_PROFILE"] == "tiny"
    assert environment["DAGSTER_STATE_DIR"] == str(tmp_path / "tiny" / "dagster")
    assert environment["DAGSTER_HOME"] == str(PROJECT)
    assert environment["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/tiny/mlflow/mlflow.db"
    assert environment["DO_NOT_TRACK"] == "true"


def test_export_keeps_what_the_user_chose_and_moves_the_state_to_the_profile(tmp_path):
    environment = {
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "DAGSTER_HOME": "/elsewhere",
        "DAGSTER_STATE_DIR": "x",
    }
    export(Home(tmp_path, "tiny"), environment)
    assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow.example"
    assert environment["DAGSTER_HOME"] == "/elsewhere"
    assert environment["DAGSTER_STATE_DIR"] == str(tmp_path / "tiny" / "dagster")


@pytest.mark.parametrize(
    ("text", "ours"),
    [("storage:\n  sqlite: {base_dir: /srv}\n", False), ("storage: # TWAINBOT_POSTGRES_URL\n", True), (None, False)],
)
def test_an_instance_is_ours_by_what_its_file_names(tmp_path, text, ours):
    if text is not None:
        (tmp_path / "dagster.yaml").write_text(text)
    assert is_ours(str(tmp_path)) is ours
    assert is_ours(str(PROJECT))
    assert is_ours(str(PROJECT / "deploy" / "postgres"))


def test_a_command_leaves_another_projects_instance_alone_and_says_so(tmp_path, monkeypatch, capsys):
    for theirs, said in ((str(tmp_path), True), (str(PROJECT / "deploy" / "postgres"), False), ("", False)):
        monkeypatch.setenv("DAGSTER_HOME", theirs)
        leave_foreign_instance()
        assert (f"DAGSTER_HOME is {theirs}, another project's instance" in capsys.readouterr().err) is said
        assert os.environ.get("DAGSTER_HOME") == (None if said else theirs)


def test_the_project_folder_holds_profiles_and_samples():
    assert (PROJECT / "profiles" / "tiny.yaml").is_file()
    assert (PROJECT / "samples" / "manifest.yaml").is_file()
