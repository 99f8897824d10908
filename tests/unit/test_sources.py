"""Doors to raw material: which units there are, when they changed, and what is known of their bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import stamina
import yaml

from resources.folder_source import FolderSource, read_yaml
from resources.gutenberg import MirrorSource, unit_number
from resources.home import PROJECT
from resources.polite_client import PoliteClient
from resources.raw_store import RawStore, digest
from resources.sources import Harvest, open_source
from tests.fakes import Answer, serving
from twainbot.corpora.works import works_from_unit
from twainbot.errors import BadConfig, BadUse, SourceUnavailable, UnknownName, UnreadableSource

AUTHORS = {"Twain": "twain", "Franklin": "franklin"}
ERROR_PAGE = b"<!DOCTYPE html><html><head><title>Sorry</title></head><body>Too many requests</body></html>"


def book(title: str, author: str, number: int, text: str = "It rained. ") -> bytes:
    """A book in the form that Project Gutenberg gives them."""
    return (
        f"The Project Gutenberg eBook of {title}, by {author}\n\nTitle: {title}\n\nAuthor: {author}\n\n"
        f"Release date: July 1, 2004 [eBook #{number}]\n\nLanguage: English\n\n"
        f"*** START OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***\n\n{text * 40}\n\n"
        f"*** END OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***\n"
    ).encode()


HUCK = book("Adventures of Huckleberry Finn", "Mark Twain (Samuel Clemens)", 76)


@pytest.fixture
def store(tmp_path) -> RawStore:
    return RawStore(tmp_path / "raw")


@pytest.fixture
def drop(tmp_path, store) -> FolderSource:
    """A drop folder with two documents."""
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "river.md").write_text("## One\n\nIt rained.\n")
    (folder / "almanack.md").write_text("## Two\n\nIt did not.\n")
    return FolderSource("local", folder, store)


def again(door: FolderSource) -> FolderSource:
    """The same folder, looked at anew."""
    return FolderSource(door.source, door.folder, door.store)


def put_manifest(folder: Path, *entries: dict) -> None:
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"files": list(entries)}))


def mirror(folder: Path, store: RawStore, *works: int, **files: bytes) -> MirrorSource:
    """A flat file:// mirror with these books; `_` in a name stands for `-`."""
    folder.mkdir(exist_ok=True)
    for name, raw in files.items():
        (folder / f"{name.replace('_', '-')}.txt").write_bytes(raw)
    return MirrorSource(folder.as_uri(), store, works, AUTHORS)


# folders


def test_each_file_is_a_unit_keyed_by_its_stem_and_sorted(drop):
    assert drop.units() == ["almanack", "river"]


def test_hidden_files_and_sidecars_are_no_units_and_a_folder_is_skipped_with_a_reason(drop):
    (drop.folder / ".DS_Store").write_bytes(b"x")
    (drop.folder / "river.md.yaml").write_text("rights: cc0\n")
    (drop.folder / "deep").mkdir()
    assert drop.units() == ["almanack", "river"]
    assert drop.skipped == {"deep": "a folder; a unit is one file"}


def test_a_folder_that_is_not_there_has_no_units(tmp_path, store):
    assert FolderSource("local", tmp_path / "none", store).units() == []


def test_two_files_of_one_stem_are_refused_by_name(drop):
    (drop.folder / "river.txt").write_text("again")
    with pytest.raises(BadConfig, match=r"river.txt and .*river.md both claim the unit 'river'"):
        drop.units()


def test_an_unknown_unit_is_refused_with_the_known_ones(drop):
    with pytest.raises(UnknownName, match=r"local has no unit 'sea' .* Units: almanack, river"):
        drop.fetch("sea")


def test_a_file_of_which_nothing_is_known_has_unknown_rights(drop):
    raw, sidecar = drop.fetch("river")
    assert raw == b"## One\n\nIt rained.\n"
    assert (sidecar.filename, sidecar.edition, sidecar.rights, sidecar.license) == ("river.md", "river", "", "")
    assert set(works_from_unit("local", "river", raw, sidecar)["rights"]) == {"unknown"}


@pytest.mark.parametrize("above", [False, True])
def test_a_manifest_beside_the_files_or_above_them_gives_rights(drop, above):
    place, prefix = (drop.folder.parent, "drop/") if above else (drop.folder, "")
    put_manifest(place, {"path": f"{prefix}river.md", "rights": "cc0", "license": "CC0-1.0", "style": "twain"})
    raw, sidecar = drop.fetch("river")
    assert (sidecar.rights, sidecar.license, sidecar.style) == ("cc0", "CC0-1.0", "twain")
    assert set(works_from_unit("local", "river", raw, sidecar)["rights"]) == {"cc0"}
    assert drop.fetch("almanack")[1].rights == ""


def test_the_nearer_manifest_wins_and_a_files_own_sidecar_wins_over_both(drop):
    put_manifest(drop.folder.parent, {"path": "drop/river.md", "title": "far"})
    assert drop.known("river")["title"] == "far"
    put_manifest(drop.folder, {"path": "river.md", "title": "near"})
    assert again(drop).known("river")["title"] == "near"
    (drop.folder / "river.md.yaml").write_text("title: own\n")
    assert again(drop).known("river") == {"title": "own"}


def test_numbers_dates_and_gaps_in_a_sidecar_become_text(drop):
    (drop.folder / "river.md.yaml").write_text("title: 1601\nretrieved_at: 2026-01-02\nauthor:\nrights: cc0\n")
    raw, sidecar = drop.fetch("river")
    assert (sidecar.title, sidecar.retrieved_at, sidecar.author) == ("1601", "2026-01-02", "")
    assert works_from_unit("local", "river", raw, sidecar).height == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("rights: [", "is not readable YAML"), ("just words", "must hold a mapping"), ("", "must hold a mapping")],
)
def test_a_sidecar_that_cannot_be_read_is_refused_by_name(drop, text, sentence):
    (drop.folder / "river.md.yaml").write_text(text)
    with pytest.raises(BadConfig, match=f"river.md.yaml {sentence}"):
        drop.fetch("river")


@pytest.mark.parametrize("entry", [{"title": "no path"}, "river.md"])
def test_a_manifest_entry_without_a_path_is_refused(drop, entry):
    (drop.folder / "manifest.yaml").write_text(yaml.safe_dump({"files": [entry]}))
    with pytest.raises(
        BadConfig, match=r"Every entry under `files:` in .*manifest.yaml must be a mapping with a `path`"
    ):
        drop.known("river")


def test_rights_outside_the_closed_set_are_refused(drop):
    (drop.folder / "river.md.yaml").write_text("rights: mine\n")
    with pytest.raises(BadUse, match=r"Rights 'mine'"):
        drop.fetch("river")


def test_the_version_changes_with_the_bytes_and_with_what_is_known_and_with_nothing_else(drop):
    before = drop.version("river")
    (drop.folder / "almanack.md").write_text("changed")
    assert again(drop).version("river") == before
    (drop.folder / "river.md").touch()
    assert again(drop).version("river") == before
    put_manifest(drop.folder, {"path": "river.md", "rights": "cc0"})
    known = again(drop).version("river")
    (drop.folder / "river.md").write_text("## One\n\nIt snowed.\n")
    assert len({before, known, again(drop).version("river")}) == 3


def test_bytes_of_a_folder_are_kept_in_the_raw_store_with_licence_and_place(drop, store):
    put_manifest(drop.folder, {"path": "river.md", "license": "CC0-1.0"})
    raw, sidecar = drop.fetch("river")
    stored = store.describe(store.latest(sidecar.url)[0])
    assert store.get(stored.sha256) == raw
    assert (stored.license, stored.url) == ("CC0-1.0", (drop.folder / "river.md").as_uri())
    assert drop.fetch("river")[1].retrieved_at == sidecar.retrieved_at


def test_files_of_the_project_are_named_relative_to_it(store):
    door = FolderSource("local", PROJECT / "samples" / "local", store)
    assert door.fetch("river")[1].url == "samples/local/river.md"
    assert all(door.known(unit).get("rights") for unit in door.units())


# mirrors in folders


def test_a_flat_mirror_offers_pinned_works_and_held_out_books_of_wanted_authors(tmp_path, store):
    door = mirror(
        tmp_path / "m", store, 76,
        pg76=HUCK, pg76_hfinn12=HUCK, pg90001=book("Letters Home", "Mark Twain", 90001),
        pg90002=book("The Way to Wealth", "Benjamin Franklin", 90002), pg90003=book("Emma", "Jane Austen", 90003),
    )  # fmt: skip
    assert door.units() == ["pg76", "pg76-hfinn12", "pg90001", "pg90002"]
    assert door.skipped == {"pg90003.txt": "author 'Jane Austen' is not wanted by this profile"}
    assert [door.fetch(unit)[1].style for unit in door.units()] == ["twain", "twain", "twain", "franklin"]


def test_a_held_out_book_brings_title_and_author_of_its_own_header(tmp_path, store):
    door = mirror(tmp_path / "m", store, pg90001=book("Letters Home", "Mark Twain", 90001))
    raw, sidecar = door.fetch("pg90001")
    [row] = works_from_unit("gutenberg", "pg90001", raw, sidecar).to_dicts()
    assert (row["title"], row["author"], row["style"], row["edition"]) == (
        "Letters Home",
        "Mark Twain",
        "twain",
        "pg90001",
    )
    assert row["rights"] == "public_domain_us"
    assert row["url"] == (tmp_path / "m" / "pg90001.txt").as_uri()


def test_a_pinned_work_takes_title_and_author_from_the_catalogue_whatever_its_header_says(tmp_path, store):
    door = mirror(tmp_path / "m", store, 76, pg76=book("Huck", "Anonymous", 76))
    assert door.units() == ["pg76"]
    sidecar = door.fetch("pg76")[1]
    assert (sidecar.title, sidecar.author) == (door.catalogue[76].title, door.catalogue[76].author)


def test_a_work_of_the_catalogue_that_this_profile_does_not_name_comes_in_by_its_author_only(tmp_path, store):
    door = mirror(tmp_path / "m", store, pg76=HUCK)
    assert door.units() == ["pg76"]  # Twain is wanted
    door.authors = {"Franklin": "franklin"}
    assert door.units() == []
    assert "Mark Twain" in door.skipped["pg76.txt"]


def test_a_book_that_cannot_be_read_stays_a_unit_so_that_its_failure_is_seen(tmp_path, store):
    door = mirror(tmp_path / "m", store, pg90001=b"", pg90002=ERROR_PAGE)
    assert door.units() == ["pg90001", "pg90002"]
    with pytest.raises(UnreadableSource):
        door.fetch("pg90002")


def test_a_book_without_an_author_is_skipped_with_the_reason(tmp_path, store):
    raw = book("Sayings", "X", 90004).replace(b"Author: X\n\n", b"").replace(b", by X", b"")
    door = mirror(tmp_path / "m", store, pg90004=raw)
    assert door.units() == []
    assert door.skipped == {"pg90004.txt": "no author in its header"}


def test_other_files_of_a_flat_mirror_are_no_books(tmp_path, store):
    door = mirror(tmp_path / "m", store, pg76=HUCK, pgreadme=b"hello", notes=b"hello")
    assert door.units() == ["pg76"]


def test_a_pinned_work_that_a_flat_mirror_lacks_is_skipped_with_the_reason(tmp_path, store):
    door = mirror(tmp_path / "m", store, 76, 74, pg76=HUCK)
    assert door.units() == ["pg76"]
    assert door.skipped == {"pg74": f"not on the mirror {door.base}"}


def test_two_files_under_one_key_give_one_book_and_the_other_is_skipped(tmp_path, store):
    door = mirror(tmp_path / "m", store, 76, pg76=HUCK)
    (tmp_path / "m" / "zz").mkdir()
    (tmp_path / "m" / "zz" / "pg76.txt").write_bytes(HUCK)
    assert door.units() == ["pg76"]
    assert list(door.skipped) == [str(tmp_path / "m" / "zz" / "pg76.txt")]


@pytest.mark.parametrize(
    "place", ["cache/epub/76/pg76.txt", "7/76/76-0.txt", "7/76/76-8.txt", "7/76/76.txt", "pg76.txt"]
)
def test_a_tree_mirror_is_read_at_every_place_where_mirrors_keep_a_book(tmp_path, store, place):
    path = tmp_path / "tree" / place
    path.parent.mkdir(parents=True)
    path.write_bytes(HUCK)
    door = MirrorSource((tmp_path / "tree").as_uri() + "/", store, (76,))
    assert door.units() == ["pg76"]
    assert door.fetch("pg76")[0] == HUCK
    assert door.fetch("pg76")[1].url == path.as_uri()


def test_a_book_of_one_digit_lies_under_zero(store):
    assert MirrorSource("https://m.example", store).urls("pg7")[1] == "https://m.example/0/7/7-0.txt"


def test_a_book_that_the_tree_lacks_is_named_with_every_place_that_was_tried(tmp_path, store):
    (tmp_path / "tree").mkdir()
    door = MirrorSource((tmp_path / "tree").as_uri(), store, (76,))
    with pytest.raises(SourceUnavailable, match=r"No mirror path of pg76 answered: .*cache/epub/76.*7/76/76-0.txt"):
        door.fetch("pg76")
    assert door.version("pg76") == "unavailable"
    assert door.version("pg76") == door.version("pg76")


def test_a_mirror_that_is_no_folder_is_refused_with_the_setting_to_mend(tmp_path, store):
    door = MirrorSource((tmp_path / "none").as_uri(), store, (76,))
    with pytest.raises(SourceUnavailable, match=r"is no folder. Set TWAINBOT_GUTENBERG_URL"):
        door.units()


def test_a_folder_name_with_spaces_is_found(tmp_path, store):
    assert mirror(tmp_path / "my books", store, 76, pg76=HUCK).fetch("pg76")[0] == HUCK


@pytest.mark.parametrize("base", ["https://www.gutenberg.org", "http://gutenberg.org/"])
def test_the_main_site_is_no_mirror(store, base):
    with pytest.raises(BadConfig, match=r"the main site bars robots"):
        MirrorSource(base, store)


def test_the_version_of_a_book_changes_with_its_bytes(tmp_path, store):
    door = mirror(tmp_path / "m", store, 76, pg76=HUCK)
    before = door.version("pg76")
    assert door.version("pg76") == before
    (tmp_path / "m" / "pg76.txt").write_bytes(HUCK + b"\n")
    assert door.version("pg76") != before


@pytest.mark.parametrize("unit", ["76", "pg", "pgx", "pg76/../75", ""])
def test_what_is_no_gutenberg_unit_is_refused(unit):
    with pytest.raises(UnknownName, match=r"is no Gutenberg unit"):
        unit_number(unit)


# mirrors over HTTP

FIRST, SECOND, THIRD = "/cache/epub/76/pg76.txt", "/7/76/76-0.txt", "/7/76/76-8.txt"


@pytest.fixture
def quick():
    """Two attempts per URL without a pause between them."""
    with stamina.set_testing(True, attempts=2, cap=True):
        yield


def web(url: str, store: RawStore) -> MirrorSource:
    return MirrorSource(url, store, (76,), AUTHORS, PoliteClient(store, delay_s=0.0, recheck_s=0.0))


def test_a_book_is_looked_for_at_the_next_place_where_the_first_has_none(store, quick):
    with serving({THIRD: Answer(body=HUCK)}) as site:
        raw, sidecar = web(site.url, store).fetch("pg76")
    assert raw == HUCK
    assert sidecar.url == f"{site.url}{THIRD}"
    assert site.paths() == [FIRST, SECOND, THIRD]


def test_a_mirror_in_trouble_is_not_asked_for_another_edition(store, quick):
    with serving({FIRST: Answer(500), SECOND: Answer(body=b"another edition")}) as site:
        with pytest.raises(SourceUnavailable, match=r"answered 500"):
            web(site.url, store).fetch("pg76")
        assert site.paths() == [FIRST, FIRST]


@pytest.mark.parametrize("fault", [Answer(503), Answer(404), Answer(body=HUCK[:90], promised=len(HUCK))])
def test_a_mirror_that_fails_later_leaves_version_and_text_as_they_were(store, quick, fault):
    with serving({FIRST: [Answer(body=HUCK), fault]}) as site:
        door = web(site.url, store)
        before = door.version("pg76")
        assert web(site.url, store).version("pg76") == before
        assert web(site.url, store).fetch("pg76")[0] == HUCK
    assert web(site.url, store).version("pg76") == before  # the server is gone altogether


def test_a_mirror_that_never_answered_has_a_version_that_says_so(store, quick):
    with serving({}) as site:
        door = web(site.url, store)
        assert door.version("pg76") == "unavailable"
        with pytest.raises(SourceUnavailable, match=r"No mirror path of pg76 answered"):
            door.fetch("pg76")


def test_half_a_file_is_never_taken_for_a_book(store, quick):
    with serving({FIRST: Answer(body=HUCK[:300], promised=len(HUCK))}) as site:
        assert web(site.url, store).version("pg76") == "unavailable"
    assert store.latest(f"{site.url}{FIRST}") is None


def test_an_error_page_that_calls_itself_a_success_is_no_book_and_the_next_place_is_asked(store, quick):
    with serving({FIRST: Answer(body=ERROR_PAGE), SECOND: Answer(body=HUCK)}) as site:
        assert web(site.url, store).fetch("pg76")[0] == HUCK
    with (
        serving({FIRST: Answer(body=ERROR_PAGE)}) as site,
        pytest.raises(SourceUnavailable, match=r"is an HTML page, expected plain text"),
    ):
        web(site.url, store).fetch("pg76")


def test_an_unchanged_book_is_asked_for_conditionally(store, quick):
    with serving({FIRST: Answer(body=HUCK, headers={"ETag": '"76"'})}) as site:
        first = web(site.url, store).fetch("pg76")
        assert web(site.url, store).fetch("pg76") == first
    assert [seen.get("if-none-match") for _, seen in site.seen] == [None, '"76"']


# a profile's sources together


def harvest(tmp_path: Path, **sources: dict) -> Harvest:
    return Harvest(settings=sources, raw=str(tmp_path / "raw"))


def test_what_one_profile_of_a_home_did_not_get_no_other_is_told_of(tmp_path, monkeypatch):
    resource = harvest(tmp_path, jokes={"folder": str(tmp_path)})
    monkeypatch.setenv("TWAINBOT_PROFILE", "laptop")
    resource.tell("jokes", {"puns": "gave no answer"})
    assert (tmp_path / "laptop" / "told" / "jokes.json").is_file()
    assert (resource.told("jokes"), resource.told_at("jokes") > 0) == ({"puns": "gave no answer"}, True)
    monkeypatch.setenv("TWAINBOT_PROFILE", "tiny")
    assert (resource.told("jokes"), resource.told_at("jokes")) == ({}, 0.0)


def test_nothing_is_told_of_a_source_that_has_been_switched_off(tmp_path):
    harvest(tmp_path, jokes={"folder": str(tmp_path)}).tell("jokes", {"puns": "gave no answer"})
    assert harvest(tmp_path, jokes={}).told("jokes") == {}


def test_a_source_without_folder_or_mirror_is_off(tmp_path):
    assert open_source("gutenberg", {}, RawStore(tmp_path)) is None
    off = harvest(tmp_path, gutenberg={})
    assert off.units("gutenberg") == off.units("never named") == []
    with pytest.raises(UnknownName, match=r"'gutenberg' is switched off"):
        off.fetch("gutenberg", "pg76")


def test_a_relative_folder_is_one_of_the_project(tmp_path):
    assert "river" in harvest(tmp_path, local={"folder": "samples/local"}).units("local")


def test_a_profile_takes_all_units_or_those_it_names_or_so_many(drop, tmp_path):
    folder = str(drop.folder)
    assert harvest(tmp_path, local={"folder": folder}).units("local") == ["almanack", "river"]
    assert harvest(tmp_path, local={"folder": folder, "only": ["river"]}).units("local") == ["river"]
    assert harvest(tmp_path, local={"folder": folder, "max_units": 1}).units("local") == ["almanack"]


def test_a_unit_that_a_profile_names_and_the_source_lacks_is_refused(drop, tmp_path):
    with pytest.raises(UnknownName, match=r"local has no units \['sea'\]. Units: almanack, river"):
        harvest(tmp_path, local={"folder": str(drop.folder), "only": ["sea", "river"]}).units("local")


def test_harvest_hands_out_bytes_and_what_is_known(drop, tmp_path):
    raw, sidecar = harvest(tmp_path, local={"folder": str(drop.folder)}).fetch("local", "river")
    assert (raw, sidecar.filename) == (b"## One\n\nIt rained.\n", "river.md")


def test_the_digest_depends_on_where_its_parts_end():
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
    assert len(digest(b"")) == 16


def test_yaml_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadConfig, match=r"x.yaml is not readable YAML"):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.shared
def test_real_books_of_a_flat_mirror_are_twains_and_franklins_and_all_can_be_read(shared_data, store):
    door = MirrorSource((shared_data / "gutenberg").as_uri(), store, (74, 76, 245, 148, 20203), AUTHORS)
    units = door.units()
    assert {"pg74", "pg76", "pg245", "pg148", "pg20203"} <= set(units)
    assert not {"pg972"} & set(units)  # Bierce, whom this profile does not name
    for unit in ("pg76", "pg148", "pg245"):
        raw, sidecar = door.fetch(unit)
        [row] = works_from_unit("gutenberg", unit, raw, sidecar).to_dicts()
        assert row["style"] == ("franklin" if unit == "pg148" else "twain")
        assert len(row["text"]) > 100_000
