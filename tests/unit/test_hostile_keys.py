"""Partition keys that would climb out of the lake, fill a name or fool a reader, through the real registration and paths."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.folder_source import FolderSource
from resources.gathering import Gathering
from resources.lake import Lake
from resources.raw_store import RawStore
from twainbot.errors import BadConfig
from twainbot_assets.partitions import MAX_KEY, UNUSABLE, register

pytestmark = pytest.mark.slow

CLIMBING = (
    "../../etc/passwd", "..", ".", "/etc/passwd", "%2e%2e%2fetc", "..%2f..", "a/../../b", "~root", "C:\\x", "\\\\host\\share",
    "ａ／．．／ｂ", "．．／", "a∕b", "partition=other", "part-0.parquet", "con", "-rf", "$HOME", "`id`", "a b",
    "[x]*?", "pg245;rm",
)  # fmt: skip
REFUSED = ("", "  ", "a\0b", "a\nb", "a...b", "a\u202eb", "k" * (MAX_KEY + 1), "ж" * (MAX_KEY // 6 + 1), "\ud800")


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


def test_the_marks_are_those_that_dagster_refuses():
    from dagster._core.definitions.partitions.utils.base import INVALID_PARTITION_SUBSTRINGS

    assert set(INVALID_PARTITION_SUBSTRINGS) == set(UNUSABLE)


@pytest.mark.parametrize("key", CLIMBING)
def test_a_key_that_would_climb_is_one_folder_in_its_table(key, tmp_path):
    lake = Lake(str(tmp_path / "lake"))
    lake.write("made/by_test", key, pl.DataFrame({"n": [1]}))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent.parent for path in written] == [tmp_path / "lake" / "made" / "by_test"]
    assert lake.keys("made/by_test") == [key]
    assert lake.read("made/by_test", key)["n"].to_list() == [1]


def test_climbing_keys_are_registered_as_the_names_that_they_are(instance):
    added, _ = register(instance, "local", list(CLIMBING))
    assert added == sorted(CLIMBING)
    assert set(instance.get_dynamic_partitions("local_units")) == set(CLIMBING)


@pytest.mark.parametrize("key", REFUSED)
def test_a_key_that_cannot_be_one_is_refused_before_anything_is_registered(key, instance):
    with pytest.raises(BadConfig, match=r"Rename its file or its entry"):
        register(instance, "local", ["fine", key])
    assert instance.get_dynamic_partitions("local_units") == []


@given(key=st.text(min_size=1, max_size=40))
def test_no_key_that_may_be_registered_leaves_its_table(key):
    from twainbot_assets.partitions import require_usable

    try:
        require_usable("local", key)
    except BadConfig:
        return
    part = Path(str(Lake("/lake").part("made/by_test", key)))
    assert part.parent.parent == Path("/lake/made/by_test")
    assert len(part.parent.name.encode()) <= 255


def test_a_link_in_a_drop_folder_is_a_unit_of_its_own_name_and_no_folder_is(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "..hidden.txt").write_text("x")
    (tmp_path / "in" / "deep").mkdir()
    source = FolderSource("local", tmp_path / "in", RawStore(tmp_path / "raw"))
    assert source.units() == []
    assert source.skipped == {"deep": "a folder; a unit is one file"}


@pytest.mark.parametrize("unit", ["../../up", "/abs", "a" * 500, "％２ｅ"])
def test_what_was_gathered_of_a_unit_lies_in_one_file_of_its_sources_folder(unit, tmp_path):
    gathering = Gathering(RawStore(tmp_path / "raw"), "satire", unit)
    assert gathering.path.parent == tmp_path / "raw" / "gathered" / "satire"
    assert len(gathering.path.name.encode()) <= 255


@pytest.mark.parametrize("version", ["../../x", "data-v1.0/../../x", "twainbot-lora-v0.1\0", "data-v1.0 ", ""])
def test_a_version_of_another_form_is_refused(version, tmp_path):
    from twainbot.errors import TwainBotError
    from twainbot_assets.publishing import table_of

    with pytest.raises(TwainBotError):
        table_of(version)
