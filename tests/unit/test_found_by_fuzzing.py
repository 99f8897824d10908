"""Inputs that a fuzz campaign broke a parser with, each cut to what mattered. `make fuzz` looks for more."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from datetime import date

import pytest
import yaml

from fuzz import seeds
from fuzz.campaign import limited
from fuzz.doors import doors
from resources.robots import Rules
from twainbot import yaml_text
from twainbot.chunks import cues
from twainbot.corpora.articles import read_article
from twainbot.corpora.bulletins import split_products
from twainbot.corpora.catalogue import load_pinned, read_pg_csv
from twainbot.corpora.feeds import parse_feed
from twainbot.corpora.forecast_tables import is_table_line
from twainbot.corpora.furniture import is_credit, is_note_heading
from twainbot.corpora.headers import read_header
from twainbot.corpora.jokes import parse_jokes
from twainbot.corpora.local import parse_document
from twainbot.corpora.normalize import mended
from twainbot.corpora.nws import read_forecast
from twainbot.corpora.rdf import read_rdf, read_rdf_archive
from twainbot.dialogues import asking, prompt_files, said, served, weather
from twainbot.dialogues.judging import SCHEMA
from twainbot.dialogues.routing import Router
from twainbot.errors import BadConfig, BadInput, TwainBotError, UnknownName, UnreadableSource
from twainbot.evals.call_parsing import parse_calls, parse_message
from twainbot.evals.coding import problems
from twainbot.evals.facts import read_result
from twainbot.evals.grounding import judge
from twainbot.evals.measure import reference_day
from twainbot.evals.phrases import SENTENCE_END
from twainbot.evals.places_dates import day_key, read_place
from twainbot.release import contract

DIGITS = "9" * 4_400  # Python reads at most 4,300 digits as a number
DEEP = "[" * 3_000  # beyond Python's stack


def test_an_etext_number_of_thousands_of_digits_is_no_number():
    assert read_header(f"Title: Rain\n[EBook #{DIGITS}]").etext is None
    assert read_header("Title: Rain\n[EBook #0099001]").etext == 99001
    with pytest.raises(UnreadableSource, match="no pgterms:ebook with a number"):
        read_rdf(seeds.RDF.replace(b"ebooks/99001", f"ebooks/{DIGITS}".encode()))


def test_a_superscript_is_a_digit_and_no_number_of_a_book():
    raw = seeds.CATALOGUE.replace(b"99001,Text", "²,Text".encode())
    assert read_pg_csv(raw) == []
    assert [row.etext for row in read_pg_csv(seeds.CATALOGUE)] == [99001]


def test_a_catalogue_with_a_field_that_never_ends_is_refused_with_its_line():
    with pytest.raises(UnreadableSource, match=r"Line \d+ of the Gutenberg catalogue is no CSV"):
        read_pg_csv(seeds.CATALOGUE + b'99003,Text,2021,"' + b"a" * 140_000)


def test_a_zip_whose_directory_points_before_its_first_byte_is_refused():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("pg99001.rdf", seeds.RDF)
    raw = made.getvalue()
    at = raw.rindex(b"PK\x05\x06") + 16  # where the end record says that the directory begins
    with pytest.raises(UnreadableSource, match="Fetch it again"):
        read_rdf_archive(raw[:at] + (2**31).to_bytes(4, "little") + raw[at + 4 :])


@pytest.mark.parametrize("text", [DEEP, "\n" * 300 + DEEP, '{"productText": ' + DEEP])
def test_weather_that_is_no_json_that_can_be_read_is_refused(text):
    with pytest.raises(UnreadableSource, match="starts like JSON but is not"):
        split_products(text.encode())


def test_a_member_of_a_zip_without_a_name_is_passed_over_and_the_records_beside_it_are_read():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("~", b"no record")
        archive.writestr("pg99001.rdf", seeds.RDF)
    raw = made.getvalue().replace(b"~", b"\0")  # at which zipfile cuts a name off
    archive = read_rdf_archive(raw)
    assert ([row.etext for row in archive.rows], archive.rejects) == ([99001], [])


@pytest.mark.parametrize("text", ["works: [", "works: *a", "works: " + DEEP, "works: {a: 2026-13-45}"])
def test_a_catalogue_that_is_no_yaml_is_refused_as_a_setting(text):
    with pytest.raises(BadConfig, match=r"is not YAML|no list under"):
        load_pinned(text)


def test_yaml_that_would_overflow_the_stack_of_its_reader_is_refused_and_not_composed():
    with pytest.raises(yaml.YAMLError, match="more than 100 levels"):
        yaml_text.read("[" * 60_000 + "]" * 60_000)
    assert yaml_text.read("a: " + "[" * 50 + "]" * 50)["a"]


def test_yaml_that_repeats_itself_by_aliases_is_refused():
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30))]  # 2**30 values
    with pytest.raises(yaml.YAMLError, match=r"aliases repeat more than 100,000 values \(line 15\)"):
        yaml_text.read("\n".join(lines))
    with pytest.raises(yaml.YAMLError, match=r"alias \*a \(line 1\) stands for nothing"):
        yaml_text.read("a: &a [*a]")
    assert yaml_text.read("a: 2 * 3") == {"a": "2 * 3"}
    assert yaml_text.read("base: &b {rank: 4, names: [q, k]}\nmine: *b\nhis: [*b, *b]")["his"][1]["names"] == ["q", "k"]


def test_yaml_constructs_nothing():
    with pytest.raises(yaml.YAMLError):
        yaml_text.read("!!python/object/apply:os.getcwd []")


def test_a_prompt_file_with_broken_front_matter_is_refused_as_a_setting():
    text = "---\nname: judge\nversion: {}\nkind: judge\n---\n# system\n\nBe fair.\n\n# user\n\n$dialogue\n"
    assert prompt_files.parse(text.format(2), "judge").version == 2
    for version in ("two", "[", "2026-13-45", "&a [*a]", "true"):
        with pytest.raises(BadConfig, match=r"judge\.md"):
            prompt_files.parse(text.format(version), "judge")


@pytest.mark.parametrize("text", [DEEP, f'{{"style": {DIGITS}}}', '{"a":' * 3_000])
def test_an_answer_that_no_json_reader_takes_is_recorded_as_unusable(text):
    found, why = asking.read(asking.Answer(text), SCHEMA)
    assert (found, why.partition(":")[0]) in (({}, "not_json"), ({}, "truncated"))


@pytest.mark.parametrize("text", [DEEP, DIGITS, '{"task_id": ' + DIGITS + "}"])
def test_a_coding_problem_that_is_no_json_names_its_line(text):
    with pytest.raises(BadInput, match="line 2: not JSON"):
        problems(["", text], "mine.jsonl")


@pytest.mark.parametrize("text", [DEEP, "[]", seeds.ROUTER.decode().replace("0.1", "1" + "0" * 400)])
def test_a_router_that_is_none_is_refused(text):
    with pytest.raises(BadInput, match="no router"):
        Router.from_json(text)


def test_a_joke_rated_beyond_any_float_keeps_its_rating_as_it_stands():
    line = json.dumps({"id": "x1", "joke": "The barometer fell, and the landlord charged me.", "stars": 10**400})
    row = parse_jokes(f"{line}\n".encode(), "made.jsonl", {"rating": "stars"})[0]
    assert row["reject_reason"] is None


def test_a_page_of_nested_footers_is_read_once_and_still_reserves():
    from lxml import html

    from twainbot.corpora.pages import rights_claims

    inner = "The Gazette, a paper. " * 40 + "No. 9. All rights reserved"
    tree = html.fromstring("<html><body>" + "<footer>x " * 150 + inner + "</footer>" * 150 + "</body></html>")
    assert rights_claims(tree, {}) == ("All rights reserved",)


@pytest.mark.parametrize(
    "change",
    [{"rank_pattern": [8]}, {"rank_pattern": {"(a+)+$": 8}}, {"target_modules": 7}, {"target_modules": [7, "q_proj"]}],
)
def test_an_adapter_config_of_another_shape_breaks_the_contract_and_nothing_else(change):
    config = {**json.loads(seeds.ADAPTER), **change}
    shapes = {f"base_model.model.layers.0.{'a' * 40}.q_proj.lora_{side}.weight": [8, 8] for side in "AB"}
    found = contract.problems(config, shapes, provenance={}, merge_difference=0.0)
    assert any(name in problem for problem in found for name in change)


@pytest.mark.parametrize(
    "parameters", [7, {"required": [["a"]]}, {"required": 7}, {"properties": {"a": 7}}, {"properties": [1]}]
)
def test_a_tool_to_score_against_must_have_a_schema_that_calls_can_be_compared_with(parameters, tmp_path):
    from twainbot_assets.scoring import score_file

    line = json.loads(seeds.SCORES[0].split(b"\n")[0])
    line["tools"][0]["function"]["parameters"] = parameters
    (tmp_path / "lines.jsonl").write_text(json.dumps(line))
    with pytest.raises(BadInput, match="line 1: the `parameters` of each of `tools`"):
        score_file("tool-calls", tmp_path / "lines.jsonl", as_json=True)


@pytest.mark.parametrize("name", ["a" * 300, "../../etc/passwd", "", "x/y/z", "7.5.1"])
def test_a_recipe_extends_a_neighbour_by_its_plain_name(name, tmp_path):
    from training.config import load_recipe

    (tmp_path / "mine.yaml").write_text(f"extends: {name!r}\n")
    with pytest.raises(BadConfig, match="Name a recipe of the same folder"):
        load_recipe(tmp_path / "mine.yaml")


@pytest.mark.parametrize("tests", [2, "assert f(1)", {"a": 1}])
def test_tests_of_a_coding_problem_that_are_no_list_are_refused(tests):
    with pytest.raises(BadInput, match="test_list and test_imports are lists"):
        problems(
            [json.dumps({"task_id": 1, "text": "x", "code": "def f(x):\n    return x\n", "test_list": tests})],
            "m.jsonl",
        )


def test_a_manifest_with_half_a_character_or_no_list_of_files_is_told_what_is_wrong():
    from twainbot.release import manifest

    made = {**json.loads(seeds.MANIFEST), "name": "\ud800", "files": 7}
    assert manifest.verify(made, {}) == [
        "The manifest was edited: its manifest_id does not match its content.",
        "The manifest lists no files.",
    ]


def test_a_reply_of_nothing_but_numbers_is_read_in_the_time_of_its_length(tmp_path):
    from fuzz.campaign import Trial
    from fuzz.doors import Door
    from twainbot.evals.claims import assertions

    # The square of its length before: no full stop in it. 1.2 s of processor time at 9,600 characters now, twice at twice.
    reply = "it was cloudy, 41 and 52, or 63 " * 150
    trial = Trial(Door("claims", lambda raw: assertions(raw.decode()), list), tmp_path, slow_s=30.0)
    assert trial.run(reply.encode()) == ""


@pytest.mark.parametrize(
    "change", [{"bias": [0.1]}, {"bias": 7}, {"personas": [], "weights": [], "bias": []}, {"personas": [[], {}]},
               {"ngrams": "ab"}, {"idf": [float("inf"), 1.0]}],
)  # fmt: skip
def test_a_router_of_other_shapes_is_refused_when_it_is_read_and_not_when_it_is_asked(change):
    made = json.loads(seeds.ROUTER)
    assert Router.from_json(json.dumps(made)).route("Will it rain?").persona in made["personas"]
    with pytest.raises(BadInput, match="no router"):
        Router.from_json(json.dumps({**made, **change}))


@pytest.mark.parametrize(
    "raw", [b"", b"GGUF", seeds.gguf()[:60], seeds.gguf()[:-20], seeds.gguf().replace(b"\x08\0\0\0", b"\xff\xff\0\0")]
)
def test_a_gguf_file_that_breaks_off_is_unfit_and_no_traceback(raw, tmp_path):
    pytest.importorskip("gguf")
    from resources.shipped import gguf_forms

    (tmp_path / "a.gguf").write_bytes(raw)
    with pytest.raises(gguf_forms.Unfit):
        gguf_forms.tensors(tmp_path / "a.gguf")


def test_a_day_of_nothing_but_a_line_break_in_a_tools_result_fits_no_day():
    from twainbot.evals.facts import Sheet
    from twainbot.evals.grounding import day_fits

    assert not day_fits("Saturday", Sheet(place="Hannibal", days=frozenset({"\r\n"})))


# --- bundles ----------------------------------------------------------------------------------------------------------


def bundle(tmp_path, **changes):
    made = {**json.loads(seeds.BUNDLE), **changes}
    (tmp_path / "bundle.json").write_text(json.dumps(made))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"personas": []}, "personas should be a dict"),
        ({"personas": {"twain": {}}}, "says nothing of adapter"),
        ({"base": {}}, "says nothing of how, name"),
        ({"personas": {"twain": {"adapter": "../../etc"}}}, "not inside"),
        ({"personas": {"twain": {"adapter": "/etc"}}}, "not inside"),
        ({"personas": {"twain": {"adapter": "adapter", "gguf": "a\0b"}}}, "not inside"),
        ({"personas": {"twain": {"adapter": "adapter", "merged": 7}}}, "should be a str"),
    ],
)
def test_a_bundle_of_another_shape_or_with_a_path_that_leaves_it_is_refused_in_plain_words(tmp_path, changes, why):
    from resources.shipped import verify

    assert verify.read_bundle(bundle(tmp_path))["format"] == 1
    with pytest.raises(verify.Broken, match=why):
        verify.read_bundle(bundle(tmp_path, **changes))


@pytest.mark.parametrize("raw", [b"", b"\xff" * 8, (2**40).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"[]",
                                 (20).to_bytes(8, "little") + b'{"a": {"shape": "x"}}'])  # fmt: skip
def test_a_tensor_file_that_is_none_is_refused_and_no_header_of_a_terabyte_is_read(tmp_path, raw):
    from resources.shipped import verify

    (tmp_path / "a.safetensors").write_bytes(raw)
    with pytest.raises(verify.Broken):
        verify.tensor_shapes(tmp_path / "a.safetensors")


# --- the harness ------------------------------------------------------------------------------------------------------


def test_a_heading_of_thousands_of_spaces_is_read_in_no_time():
    raw = ("# Rain ##\n\n#" + " " * 40_000 + "x\n\n## Snow #\n\nIt snowed.").encode()
    assert [(row["title"], row["text"]) for row in parse_document(raw, ".md")][-1] == ("Snow", "It snowed.")
    spaces = b"#" + b" " * 40_000 + b"/Filter\n\nIt rained."
    assert parse_document(spaces, ".md")[0]["title"] == "/Filter"


def test_every_door_has_a_name_of_its_own_and_a_seed():
    found = doors()
    assert len({door.name for door in found}) == len(found)
    assert all(door.seeds() for door in found)


@pytest.mark.parametrize("run", ["\n", "*", "_\n", " ", "-\n \n", "\nProject Gutenberg "], ids=repr)
def test_a_header_of_one_sign_over_and_over_is_read_in_step_with_its_length(run):
    text = "The Project Gutenberg EBook of Rain" + run * (20_000 // len(run))
    with limited(3.0):  # seconds of the processor, of which it takes hundredths; it took seven of the first
        read_header(text)


@pytest.mark.parametrize("opens", ["```json", "```", "<tools>"])
def test_a_fence_of_white_space_that_never_closes_is_read_in_no_time(opens):
    with limited(3.0):  # a reply of 10 KB took more than five
        assert parse_calls(opens + "\r\n" * 30_000 + "x") == ([], [])
    closes = opens.replace("json", "").replace("<", "</")
    calls, faults = parse_message(f'{opens}\n{{"name": "f", "arguments": {{}}}}\n{closes}\n', bare=True)
    assert (calls, faults) == ([{"name": "f", "arguments": {}}], [])


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["5% ", "low 41 ", "41 ", "a sixty, rain "])
def test_a_tools_text_of_nothing_but_numbers_is_read_in_step_with_its_length(piece):
    from twainbot.evals.facts import read_result

    with limited(10.0):  # seconds of the processor, of which it takes one; percentages took fourteen
        read_result(piece * (20_000 // len(piece)))


@pytest.mark.parametrize("piece", [" ", "\n", "[", "(", ", ", "1"], ids=repr)
def test_a_creator_of_one_sign_over_and_over_is_read_in_step_with_its_length(piece):
    from twainbot.corpora.catalogue import people

    with limited(3.0):  # white space took five of 30 KB
        people(
            "Twain, Mark, 1835-1910;" + "Steele," + piece * 30_000 + "x;Townsend, George  (George Fyler) [Translator]"
        )
    assert people("Twain, Mark, 1835-1910; Townsend,\n George  (George Fyler) [Translator]") == (
        ("Mark Twain", ""), ("George Townsend", "Translator"),
    )  # fmt: skip


@pytest.mark.parametrize("value", [1e308, -1e308, 1e300, 1e10])
@pytest.mark.parametrize("code", ["wmoUnit:degC", "C", "wmoUnit:km_h-1", "unit of nobody", ""])
def test_a_reading_that_no_instrument_shows_is_none(value, code):
    from twainbot.corpora.quantities import quantity

    found = quantity({"value": value, "unitCode": code})
    assert (found.value, found.whole, found.original) == (None, None, value)
    assert quantity({"value": 21.0, "unitCode": "wmoUnit:degC"}).whole == 70


@pytest.mark.parametrize("sign", [" ", "\t"], ids=repr)
def test_a_line_of_one_sign_over_and_over_is_looked_at_in_step_with_its_length(sign):
    with limited(3.0):  # a line of 60 KB of spaces took more than five
        assert not is_table_line(sign * 30_000 + "x" * 4)
        assert is_table_line(" -" * 30_000)
    assert is_table_line("--  --")
    assert not is_table_line("-- --x")


def test_a_heading_of_a_note_with_a_gap_as_long_as_a_page_is_read_in_step_with_its_length():
    with limited(3.0):  # ten seconds of 10 KB
        assert not is_note_heading("[Transcribe" + " " * 30_000 + "r's Note: spelling kept.]")
    for heading in (
        "Transcriber's Note",
        "Transcriber's  End-Notes:",
        "TRANSCRIBERS' FOOT NOTES",
        "[transcriber - note]",
    ):
        assert is_note_heading(heading)


@pytest.mark.parametrize("sign", [".", "!", "?"])
def test_a_row_of_full_stops_that_ends_no_sentence_is_read_in_step_with_its_length(sign):
    row = sign * 40_000 + "x"
    with limited(3.0):  # half a minute
        assert not SENTENCE_END.search(row)
        assert cues.read(f"It rained{row} all day. It did.").sentences == 2
    assert [found[0] for found in SENTENCE_END.finditer('It rained... "Did it?" No.')] == ["...", '?"', "."]


@pytest.mark.parametrize("sign", ["\n", " \n"], ids=repr)
def test_a_gap_before_the_makers_address_is_read_in_step_with_its_length(sign):
    text = f"Rain{sign * 15_000}(the end"
    with limited(3.0):
        assert not is_credit(text, 0, len(text))
    text = f"Thanks.\n\n{'_' * 20}\n<maker@books.example>."
    assert is_credit(text, 0, len(text))


def test_a_pdfs_word_as_long_as_a_page_is_mended_in_step_with_its_length():
    from twainbot.corpora.pdf import whole_words

    long = "a" * 60_000
    with limited(3.0):
        assert whole_words(long) == (long, 0)
    assert whole_words("The wea-\nther and 7a-\nbc it is") == ("The weather\nand 7abc\nit is", 2)


@pytest.mark.parametrize("sign", ["{", "-", "("])
def test_an_authors_name_as_long_as_a_page_is_none_and_its_article_is_read(sign):
    page = seeds.PAGE.decode()
    before = read_article(page.encode(), "https://gazette.example/1")
    assert (before.author, bool(before.body)) == ("A. Quill", True)
    long = page.replace('"A. Quill"', f'"A. Qui{sign * 30_000}ll"')
    assert long != page
    meta = page.replace("<head>", f'<head><meta name="author" content="A. Qui{sign * 30_000}ll">').replace(
        '"author":', '"writer":'
    )
    for name, changed in {"json": long, "meta": meta}.items():
        with limited(4.0):  # trafilatura took ten seconds of its brackets
            found = read_article(changed.encode(), "https://gazette.example/1")
        assert (found.author, found.body, found.headline) == ("", before.body, before.headline), name
    wordy = page.replace("<head>", f'<head><meta name="keywords" content="{"rain, " * 1_000}">')
    assert read_article(wordy.encode(), "https://gazette.example/1").author == "A. Quill"


@pytest.mark.parametrize("name", ["a" * 5_000, "a\x00b", "a/" * 3_000], ids=["long", "null", "deep"])
def test_a_name_that_no_file_can_have_is_told_as_one_that_none_has(name, tmp_path):
    from training.config import recipe_path
    from twainbot_assets.profile import brought, load, located

    sources = {"gutenberg": {"folder": name}}
    assert located({"sources": sources}, tmp_path) == {"sources": sources}
    with pytest.raises(BadConfig, match="No persona is called"):
        brought({"voices": [name]}, tmp_path)
    with pytest.raises(UnknownName, match="No profile"):
        load(f"{name}x")
    with pytest.raises(UnknownName, match="Unknown recipe"):
        recipe_path("sample", name)


def test_a_line_misread_thousands_of_times_is_left_in_the_time_of_its_length():
    line = "Â" * 15_000 + "\u00a0"
    with limited(3.0):  # half a minute
        assert mended(f"Rain.\n{line}\nCafÃ©.") == (f"Rain.\n{line}\nCafé.", 1)
    assert mended("CafÃ© Ã‚Â£5") == ("Café £5", 1)


FEED = (
    '<rss version="2.0"><channel><title>Rain</title><link>{link}</link>'
    "<item><title>Dry</title><link>/1</link></item></channel></rss>"
)


@pytest.mark.parametrize("link", ["https://[", "http://a]b/", "//[::"])
def test_a_feed_whose_own_address_is_none_has_its_items_by_where_it_was_read(link):
    (row,) = parse_feed(FEED.format(link=link).encode(), "https://gazette.example/feed")
    assert (row["link"], row["title"]) == ("https://gazette.example/1", "Dry")
    page = f"<html><head><link type='application/rss+xml' href='{link}'></head><body>Rain</body></html>"
    with pytest.raises(UnreadableSource, match="The feed is an HTML page"):
        parse_feed(page.encode(), "https://gazette.example/")


@pytest.mark.parametrize("sign", ["\n", "\r\n", " \n"], ids=repr)
def test_what_stands_before_a_feed_is_passed_in_the_time_of_its_length(sign):
    feed = FEED.format(link="https://gazette.example/")
    with limited(3.0):  # feedparser took more than five
        assert [row["title"] for row in parse_feed(f"<!-- <rss> -->x{sign * 30_000}{feed}".encode())] == ["Dry"]


def test_a_json_feed_whose_own_address_is_none_has_its_items_by_where_it_was_read():
    items = [{"id": "1", "url": "/1", "title": "Dry", "content_text": "It stayed dry."}]
    for home in ("https://[", "mailto:a@b.example", "", None):
        feed = {"version": "https://jsonfeed.org/version/1.1", "home_page_url": home, "items": items}
        (row,) = parse_feed(json.dumps(feed).encode(), "https://gazette.example/feed")
        assert row["link"] == "https://gazette.example/1"


def test_a_page_in_a_feeds_place_names_its_feed_without_an_address_of_its_own_too():
    page = b"<html><head><link type='application/rss+xml' href='/feed.xml'></head><body>Rain</body></html>"
    with pytest.raises(UnreadableSource, match=r"names its feed: /feed\.xml"):
        parse_feed(page)


def test_a_folder_that_is_closed_is_not_taken_for_an_absent_file(monkeypatch):
    from pathlib import Path

    from twainbot import paths

    def closed(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(PermissionError):
        paths.is_file(Path("closed/recipe.yaml"))


@pytest.mark.parametrize("element", ["dc:creator", "author", "managingEditor"])
def test_an_author_of_a_feed_as_long_as_a_page_is_read_in_step_with_its_length(element):
    feed = FEED.format(link="https://gazette.example/").replace(
        "<item>", f"<item><{element}>{'a.' * 30_000}</{element}>"
    )
    feed = feed.replace("<rss ", '<rss xmlns:dc="http://purl.org/dc/elements/1.1/" ')
    with limited(3.0):  # feedparser took twenty
        (row,) = parse_feed(feed.encode())
    assert (row["title"], len(row["author"]) <= 2_000) == ("Dry", True)


@pytest.mark.parametrize("sign", [" ", "\u00a0"], ids=repr)
def test_a_place_with_a_gap_as_long_as_a_page_is_read_in_step_with_its_length(sign):
    with limited(3.0):  # ten
        found = read_place(f"Hannib{sign * 40_000}al, MO")
        assert found == read_place("Hannib al, MO")
    assert read_place(f"St. Louis{sign * 3}MO") == read_place("Saint Louis, Missouri")


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["5% ", "66 in Hannibal on Saturday, ", "0% rain "])
def test_a_reply_of_thousands_of_statements_is_judged_in_step_with_its_length(piece):
    told = {"place": "Hannibal, MO", "forecast": [{"day": "Saturday", "high": 66, "unit": "F", "short": "rain"}]}
    reply = "In Hannibal on Saturday " + piece * (30_000 // len(piece))
    with limited(
        10.0
    ):  # seconds of the processor, of which it takes three at most; it took the square, fifteen and more
        assert len(judge(reply, [told])) > 3_000


@pytest.mark.parametrize("end", [date.max, date.min], ids=str)
@pytest.mark.parametrize("word", ["tomorrow", "the day after tomorrow", "this weekend", "Monday", "yesterday", "July 4",
                                  "a week from tomorrow", "in 9 days", "next Friday", "Christmas", "the 9th"])  # fmt: skip
def test_a_day_at_the_calendars_end_has_others_counted_from_it(end, word):
    assert isinstance(weather.resolve(word, end), date | None)
    assert not said.is_said("2026-01-03", {}, [f"Will it rain {word}?"], [], end)
    assert isinstance(day_key(word, end), str)
    forecast = {"date": end.isoformat(), "datetime": word, "high_f": 60}
    judge(f"It will be 60 {word}.", [forecast], today=end)
    assert isinstance(reference_day(forecast), date | None)
    period = {"startTime": f"{end}T06:00:00-05:00", "isDaytime": True, "temperature": 60, "temperatureUnit": "F"}
    with contextlib.suppress(TwainBotError):
        answer = read_forecast({"properties": {"periods": [period]}})
        served.forecast_of_day(answer, "Hannibal, MO", word, lambda _day: [])


@pytest.mark.slow
@pytest.mark.parametrize("box", ["footer", 'div class="post-meta"', 'div class="author"', 'h2 class="title"'])
@pytest.mark.parametrize("depth", [30, 200])
def test_a_page_of_boxes_in_boxes_is_read_in_step_with_its_length(box, depth):
    story = "<p>" + "The duck resigned on Monday, citing the rain. " * 20 + "</p>"
    page = (
        f"<html><head><title>Duck Resigns</title></head><body><article>{story}</article>{f'<{box}>' * depth}"
        + "<i>x</i>" * 9000
    )
    with limited(5.0):  # ten and more, for a licence and tags that nobody asked for, and names sought in every box
        found = read_article(page.encode(), "https://gazette.example/a")
    assert (found.headline, found.reject_reason) == ("Duck Resigns", None)


@pytest.mark.parametrize("head", ['<script type="application/ld+json">{"name": "', '<meta name="author" content="'])
def test_a_pages_data_of_nothing_but_opened_tags_is_read_in_step_with_its_length(head):
    page = f'<html><head><title>Duck Resigns</title>{head}{"<" * 60_000}"></script></head><body><p>{"Dry. " * 60}</p>'
    with limited(3.0):  # four and nine
        assert read_article(page.encode(), "https://gazette.example/a").headline == "Duck Resigns"


@pytest.mark.parametrize("block", ['<div class="author">By A. Quill</div>', "<p>Dry.</p>", "Dry.<br><br>"])
def test_a_page_of_thousands_of_blocks_is_read_in_step_with_their_number(block):
    story = "<p>" + "The duck resigned on Monday, citing the rain. " * 20 + "</p>"
    page = f"<html><head><title>Duck Resigns</title></head><body><article>{story}</article>{block * 6000}"
    with limited(4.0):  # 3,000 took trafilatura's second look three seconds, and the square of that
        found = read_article(page.encode(), "https://gazette.example/a")
    assert found.body.startswith("The duck resigned on Monday")


@pytest.mark.parametrize("sign", ["\n", " ", "-"], ids=repr)
def test_a_tools_text_with_a_page_of_one_sign_in_it_is_read_in_step_with_its_length(sign):
    told = dict.fromkeys(
        ("precipitation_chance", "high_f", "wind_mph", "condition", "date", "place"), f"NW{sign * 30000}5"
    )
    with limited(3.0):  # seven seconds for white space in the chance alone
        read_result(told)
    chance = read_result({"precipitation_chance": "40  per cent"}).sheets[0].chances
    assert chance == (40.0,)


def test_a_robots_txt_of_thousands_of_agents_and_rules_is_read_in_step_with_its_length():
    agents = "".join(f"User-agent: bot{number}\n" for number in range(3000))
    with limited(3.0):  # nine million pairs; and each question read it all again
        hostile = Rules("example.org", agents + "Disallow: /a\n" * 3000, 200)
        assert not hostile.allows("https://example.org/b")
        assert hostile.reserved_for("https://example.org/b") == []
        groups = "".join(f"User-agent: bot{number}\nUser-agent: GPTBot\nDisallow: /a\n\n" for number in range(3000))
        listed = Rules("example.org", groups, 200)
        assert (listed.allows("https://example.org/a"), listed.reserved_for("https://example.org/a")) == (
            True,
            ["GPTBot"],
        )
