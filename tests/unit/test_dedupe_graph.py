"""`dedupe/edges` as the graph builds it: the cache of verified pairs saves work, and changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from resources.folders import Folders
from resources.lake import Lake, LakeIOManager, LakeResource
from resources.pair_cache import KEPT, PairCache
from tests import builders as make
from twainbot.dedupe import DedupeSettings, signatures, text_names, update
from twainbot_assets import dedupe, keys
from twainbot_assets.partitions import UNITS

pytestmark = pytest.mark.slow

WORDS = ("fog", "mud", "bell", "rain", "pilot", "raft", "bank", "snag", "wharf", "lamp", "deck", "oar")
RNG = random.Random(12)
TEXTS = [" ".join(RNG.choices(WORDS, k=60)) for _ in range(24)]
COPIES = [f"{text} and so to bed" for text in TEXTS[:8]]  # 4 new 3-grams of 62: J is about 0.93


class Home:
    """A lake with signed chunks, an instance that knows their units, and a cache."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.lake, self.cache, self.instance = Lake(str(folder / "lake")), folder / "cache", instance
        names = ("models", "work", "reports", "reviews", "ratings", "warehouse")
        self.resources = {
            "io_manager": LakeIOManager(base=self.lake.base),
            "lake": LakeResource(base=self.lake.base),
            "folders": Folders(cache=str(self.cache), **dict.fromkeys(names, str(folder))),
        }

    def put(self, source: str, unit: str, texts: list[str], settings: DedupeSettings | None = None) -> None:
        """Commit a unit's chunks and their signatures."""
        works = (f"{source}/{unit}-{number}" for number in range(len(texts)))
        listed = zip(works, texts, strict=True)
        rows = make.chunks(*(make.chunk(work, 0, text, source=source, unit=unit) for work, text in listed))
        self.instance.add_dynamic_partitions(UNITS[source].name or source, [unit])
        self.lake.write(f"chunks/{source}", unit, rows)
        self.lake.write(f"dedupe/signatures/{source}", unit, signatures(rows, settings or DedupeSettings()))

    def pair(self) -> tuple[bytes, dict[str, Any]]:
        """Build dedupe/edges; its rows as bytes, and the metadata."""
        signed = [
            dg.AssetSpec(keys.key(f"dedupe/signatures/{source}"), partitions_def=UNITS[source]) for source in UNITS
        ]
        made = dg.materialize(
            [*signed, dedupe.edges], selection=[dedupe.EDGES], instance=self.instance, resources=self.resources
        )
        metadata = made.asset_materializations_for_node("dedupe__edges")[0].metadata
        return self.lake.read("dedupe/edges").write_csv().encode(), {
            name: value.value for name, value in metadata.items()
        }

    def files(self) -> list[Path]:
        return sorted((self.cache / "dedupe").glob("*"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Home(tmp_path, instance)


def counts(metadata: dict[str, Any]) -> tuple[int, int, int]:
    return metadata["texts_known"], metadata["texts_new"], metadata["texts_joined"]


def test_edges_are_the_same_bytes_with_the_cache_of_a_smaller_corpus_with_a_whole_one_and_with_none(home):
    home.put("local", "river", TEXTS)
    first, metadata = home.pair()
    assert counts(metadata) == (0, 24, 24)
    assert len(first.splitlines()) == 1, "no two texts are alike: a header and no pair"
    home.put("jokes", "night", COPIES)
    partly, metadata = home.pair()
    assert counts(metadata) == (24, 8, 8)
    assert len(partly.splitlines()) == 1 + 8
    wholly, metadata = home.pair()
    assert counts(metadata) == (32, 0, 0)
    for file in home.files():
        file.unlink()
    anew, metadata = home.pair()
    assert counts(metadata) == (0, 32, 32)
    assert partly == wholly == anew


def test_a_unit_that_changes_and_one_that_goes_leave_what_a_run_without_a_cache_finds(home):
    home.put("local", "river", TEXTS)
    home.put("jokes", "night", COPIES)
    home.pair()
    home.put("local", "river", [*TEXTS[4:], COPIES[7]])
    home.instance.delete_dynamic_partition(UNITS["jokes"].name or "", "night")
    home.put("satire", "paper", COPIES[2:6])
    cached, metadata = home.pair()
    assert counts(metadata) == (25, 0, 0), "every text was there before, in another place"
    for file in home.files():
        file.unlink()
    assert home.pair()[0] == cached


@pytest.mark.parametrize("harm", [lambda raw: raw[:-9], lambda raw: b"", lambda raw: raw[:99] + b"!" + raw[100:]])
def test_a_cache_that_is_not_what_its_name_says_is_passed_over_and_made_again(home, harm, capfd):
    home.put("local", "river", TEXTS + COPIES)
    whole, _ = home.pair()
    (file,) = home.files()
    file.write_bytes(harm(file.read_bytes()))
    again, metadata = home.pair()
    assert again == whole
    assert counts(metadata) == (0, 32, 32)
    assert f"{file} is passed over: its content is not what its name says" in capfd.readouterr().err
    assert home.pair()[1]["texts_known"] == 32


def test_pairs_found_under_other_settings_are_passed_over(home, monkeypatch, capfd):
    home.put("local", "river", TEXTS + COPIES)
    home.pair()
    monkeypatch.setattr(dedupe, "settings", lambda: DedupeSettings(0.99))
    strict, metadata = home.pair()
    assert counts(metadata) == (0, 32, 32)
    assert len(strict.splitlines()) == 1
    assert "1 files of verified pairs are passed over: of other settings" in capfd.readouterr().err
    monkeypatch.undo()
    assert home.pair()[1]["texts_known"] == 32, "both are kept"


def test_the_asset_itself_is_not_read(home):
    home.put("local", "river", TEXTS + COPIES)
    whole, _ = home.pair()
    home.lake.write("dedupe/edges", None, pl.DataFrame(schema=dict(home.lake.read("dedupe/edges").schema)))
    assert home.pair()[0] == whole


def test_a_cache_that_cannot_be_written_is_no_fault(home, capfd):
    home.cache.write_bytes(b"a file where the folder should be")
    home.put("local", "river", TEXTS)
    assert counts(home.pair()[1]) == (0, 24, 24)
    assert "Verified pairs could not be stored" in capfd.readouterr().err


def test_a_partition_of_another_scheme_fails_the_step_and_leaves_the_last_good_file(home):
    home.put("local", "river", TEXTS)
    home.put("jokes", "night", COPIES)
    whole, _ = home.pair()
    home.put("jokes", "night", COPIES, DedupeSettings(shingle=5))
    with pytest.raises(dg.Failure, match=r"jokes \[night\] were made as .*shingle5.*--partition night"):
        home.pair()
    assert home.lake.read("dedupe/edges").write_csv().encode() == whole


def test_pairs_that_a_gate_refuses_are_not_stored(home, monkeypatch):
    home.put("local", "river", TEXTS + COPIES)
    monkeypatch.setattr(dedupe.gates, "ordered", lambda rows: dedupe.gates.Finding(False, "refused"))
    with pytest.raises(dg.Failure):
        home.pair()
    assert home.files() == []


def stored(cache: Path, number: int, code: str = "v1") -> PairCache:
    """A cache to which the pairs of a corpus of so many texts were just added."""
    rows = make.chunks(*(make.chunk(f"t/{row}", 0, text) for row, text in enumerate(TEXTS[:number])))
    made = PairCache(cache, DedupeSettings(), code, print)
    made.store(update(signatures(rows, DedupeSettings()), rows, DedupeSettings())[1])
    return made


def test_only_the_newest_files_are_kept_and_the_one_that_knows_most_is_taken(tmp_path):
    for number in range(2, 5 + KEPT):
        cache = stored(tmp_path, number)
    assert len(list((tmp_path / "dedupe").iterdir())) == KEPT
    rows = make.chunks(*(make.chunk(f"t/{row}", 0, text) for row, text in enumerate(TEXTS)))
    known = cache.nearest(text_names(signatures(rows, DedupeSettings())))
    assert known is not None
    assert len(known.texts) == 4 + KEPT


def test_what_other_code_found_is_not_taken(tmp_path):
    stored(tmp_path, 5)
    texts = stored(tmp_path / "other", 5).nearest
    rows = make.chunks(make.chunk("t/0", 0, TEXTS[0]))
    names = text_names(signatures(rows, DedupeSettings()))
    assert texts(names) is not None
    assert PairCache(tmp_path, DedupeSettings(), "v2", print).nearest(names) is None


def test_a_corpus_that_shares_no_text_takes_nothing(tmp_path):
    cache = stored(tmp_path, 5)
    rows = make.chunks(make.chunk("t/0", 0, "nothing of it"))
    assert cache.nearest(text_names(signatures(rows, DedupeSettings()))) is None


def test_keys_name_what_the_graph_calls_edges():
    assert keys.key("dedupe/edges") == dedupe.EDGES
