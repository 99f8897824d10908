"""What the UI shows of curation: the numbers are those of the tables, and an empty table gives a sentence."""

from __future__ import annotations

import base64

import dagster as dg
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders as make
from twainbot.curation import curate
from twainbot.dedupe.decontaminate import OVERLAP
from twainbot.records import EDGE, frame
from twainbot_assets import curation_reports as reports
from twainbot_assets.publish import bars

EVAL = {"suite/1": "when the packet boat comes round the bend tomorrow at noon"}


@pytest.fixture
def curated():
    """Five chunks of one source, one for each end; a work that could not be read; a source of one kept joke."""
    names = ["t/kept", "t/waits", "t/copy", "t/stolen", "t/rude"]
    texts = {"t/stolen": "Hark: when the packet boat comes round the bend!"}
    chunks = [make.chunk(name, text=texts.get(name, make.TEXT)) for name in names]
    chunks.append(make.chunk("j/1", source="jokes", tone="humorous", readability=None, humor_density=5.0))
    decisions = dict.fromkeys(names, "keep") | {"t/waits": "review", "t/rude": "reject", "j/1": "keep"}
    why = {"t/waits": ["period_term:race"], "t/rude": ["profanity", "quality:few_stop_words"]}
    works = [make.work(name, characters=100) for name in names]
    works.append(make.work("j/1", source="jokes", characters=20))
    works.append(make.work("j/2", source="jokes", reject_reason="malformed: line 2", characters=0))
    screened = [
        make.screened(row["chunk_id"], decisions[row["work_id"]], *why.get(row["work_id"], [])) for row in chunks
    ]
    clusters = [make.cluster(row["chunk_id"], canonical=row["work_id"] != "t/copy") for row in chunks]
    tables = make.works(*works), make.chunks(*chunks), make.decisions(*screened), make.clusters(*clusters)
    return (*tables[:3], curate(*tables, EVAL))


def is_plot(value: object) -> bool:
    """Whether the metadata is a PNG that the UI can show."""
    if not isinstance(value, dg.MarkdownMetadataValue):
        return False
    head, _, data = (value.value or "").partition("base64,")
    return head == "![plot](data:image/png;" and base64.b64decode(data.rstrip(")")).startswith(b"\x89PNG")


def cells(value: object) -> list[dict[str, object]]:
    """The rows of a metadata table."""
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


# funnel ---------------------------------------------------------------------------------------------------------------


def test_every_chunk_comes_to_one_end_and_every_work_and_character_is_counted(curated):
    works, chunks, _, done = curated
    jokes, local = reports.fates(works, chunks, done).to_dicts()
    one_each = {"passage": 1, "in review": 1, "copy": 1, "eval text": 1, "rejected": 1}
    assert local == {"source": "local", "works": 5, "works rejected": 0, "characters": 500, "chunks": 5, **one_each}
    none = dict.fromkeys(one_each, 0)
    assert jokes == {
        "source": "jokes",
        "works": 2,
        "works rejected": 1,
        "characters": 20,
        "chunks": 1,
        **none,
        "passage": 1,
    }


def test_reasons_are_the_first_of_each_chunk_without_the_item_that_they_name(curated):
    assert reports.reason_counts(curated[3].rejects) == {
        ("period_term:race", "in review"): 1,
        ("near-duplicate", "copy"): 1,
        ("text of an evaluation", "eval text"): 1,
        ("profanity", "rejected"): 1,
    }


def test_the_funnel_is_a_plot_with_its_numbers_beside_it(curated):
    works, chunks, _, done = curated
    found = reports.funnel_report(works, chunks, done)
    assert is_plot(found["funnel"])
    assert [row["passage"] for row in cells(found["funnel_numbers"])] == ["1", "1"]


def test_a_funnel_in_which_nothing_was_lost_is_drawn(curated):
    works, chunks, _, _ = curated
    kept = make.decisions(*(make.screened(name) for name in chunks["chunk_id"]))
    alone = make.clusters(*(make.cluster(name) for name in chunks["chunk_id"]))
    assert is_plot(reports.funnel_report(works, chunks, curate(works, chunks, kept, alone, {}))["funnel"])


def test_a_funnel_of_nothing_is_a_sentence(curated):
    works, chunks, screened, _ = curated
    none = curate(works.clear(), chunks.clear(), screened.clear(), make.clusters().clear(), {})
    assert reports.funnel_report(works.clear(), chunks.clear(), none)["funnel"].startswith(
        "Nothing was cut into chunks"
    )


# screen ---------------------------------------------------------------------------------------------------------------


def test_a_book_that_lost_much_stands_above_a_joke_that_lost_its_only_chunk():
    book = [
        make.screened(f"book:{n}-9", "review" if n < 8 else "keep", *(["threat"] if n < 8 else [])) for n in range(10)
    ]
    rows = cells(reports.works_by_screen(make.decisions(make.screened("joke:0-9", "reject", "abuse"), *book)))
    assert [(row["work"], row["not kept"], row["review"], row["reject"]) for row in rows] == [
        ("book", "80%", "8", "0"),
        ("joke", "100%", "0", "1"),
    ]
    assert rows[0]["reasons"] == "threat 8"


def test_a_work_of_which_all_was_kept_is_not_listed():
    assert reports.works_by_screen(make.decisions()) == "The screen kept all of 1 chunks."
    assert reports.works_by_screen(make.decisions().clear()) == "The screen kept all of 0 chunks."


# tags -----------------------------------------------------------------------------------------------------------------


def test_shares_of_a_tag_add_up_to_one_in_each_source(curated):
    chunks = curated[1]
    for tag in ("topic", "tone", "era", "weather_relevance", "humor_density", "readability"):
        shares = reports.tag_shares(chunks, tag, ["jokes", "local"])
        assert [round(sum(column[place] for column in shares.values()), 9) for place in (0, 1)] == [1, 1], tag


def test_numbers_fall_into_bands_and_what_is_not_known_is_none(curated):
    assert reports.tag_shares(curated[1], "readability", ["jokes", "local"]) == {"4-6": [0.0, 1.0], "none": [1.0, 0.0]}
    assert [reports.banded("humor_density", value) for value in (0.0, 0.9, 1.0, 4.0)] == ["0", "under 1", "1-2", "4 on"]
    assert [reports.banded("weather_relevance", value) for value in (0.0, 0.25, 1.0)] == ["0", "to .5", "to 1"]


def test_tags_are_a_plot_and_of_nothing_a_sentence(curated):
    assert is_plot(reports.tag_report(curated[1]))
    assert "no tags to count" in reports.tag_report(curated[1].clear())


# near-duplicates ------------------------------------------------------------------------------------------------------


def test_clusters_are_counted_by_size_and_chunks_without_a_copy_apart():
    rows = make.clusters(
        *(make.cluster(f"p{n}", "p0", canonical=n == 0, size=3) for n in range(3)), make.cluster("q"), make.cluster("r")
    )
    found = reports.cluster_sizes(rows)
    assert found["clusters"] == 3
    assert is_plot(found["cluster_sizes"])


def test_where_nothing_has_a_copy_the_histogram_is_a_sentence():
    alone = reports.cluster_sizes(make.clusters(make.cluster("q")))
    assert alone == {"clusters": 1, "cluster_sizes": "0 clusters hold 0 chunks; 1 chunks stand alone."}
    assert reports.cluster_sizes(make.clusters().clear())["clusters"] == 0


@pytest.mark.parametrize(
    ("size", "band"),
    [(2, "2 chunks"), (9, "9 chunks"), (10, "10 to 19 chunks"), (19, "10 to 19 chunks"), (20, "20 to 39 chunks"),
     (39, "20 to 39 chunks"), (80, "80 to 159 chunks")],
)  # fmt: skip
def test_large_clusters_share_bands_that_double(size, band):
    assert reports.size_band(size) == band


def test_words_that_differ_are_bold_on_both_sides_and_case_and_points_are_no_difference():
    one, other = reports.marked("The RIVER rose; by noon it fell.", "The river sank, by noon it fell.")
    assert one == "The RIVER **rose;** by noon it fell."
    assert other == "The river **sank,** by noon it fell."


def test_a_long_stretch_that_is_equal_loses_its_middle_on_both_sides():
    words = " ".join(f"w{n}" for n in range(40))
    one, other = reports.marked(f"{words} left", f"{words} right")
    assert one == "w0 w1 w2 w3 w4 w5 … w34 w35 w36 w37 w38 w39 **left**"
    assert other == one.replace("left", "right")


def test_a_pair_of_giants_is_cut_and_says_so():
    one, _ = reports.marked(" ".join(f"a{n} b" for n in range(900)), " ".join(f"c{n} b" for n in range(900)))
    assert one.endswith("… (cut here)")
    assert len(one.split()) < 200


def test_a_stretch_that_differs_for_longer_than_is_read_is_shown_to_where_it_is_cut():
    one, other = reports.marked(" ".join(f"a{n}" for n in range(400)), "b")
    shown = " ".join(f"a{n}" for n in range(reports.LONGEST_SIDE))
    assert (one, other) == (f"**{shown}** … (cut here)", "**b**")


def test_marks_of_markdown_in_a_text_stay_what_they_are():
    assert reports.marked("a_b | *c* <i> `d`", "a_b | *c* <i> `d`")[0] == "a\\_b \\| \\*c\\* \\<i\\> \\`d\\`"


@given(st.text(), st.text())
def test_any_two_texts_can_be_read_side_by_side_in_one_row_of_a_table(one, other):
    for side in reports.marked(one, other):
        assert "\n" not in side
        assert "|" not in side.replace("\\|", "")


def test_pairs_to_read_are_the_least_alike_and_some_up_to_equal():
    assert reports.picked_pairs([0.70, 0.71, 0.72, 0.80, 0.85, 0.90, 0.99, 1.0], 6) == [0, 1, 2, 3, 5, 7]
    assert reports.picked_pairs([0.9], 6) == [0]
    assert reports.picked_pairs([1.0, 1.0], 6) == [0, 1]


def test_pairs_stand_in_tables_with_their_similarity():
    chunks = make.chunks(make.chunk("t/1", text="The river rose."), make.chunk("t/2", text="The river fell."))
    a, b = chunks["chunk_id"]
    edges = frame([{"a": a, "b": b, "jaccard": 0.71, "containment": 0.9}], EDGE)
    shown = reports.side_by_side(edges, chunks)["pairs_to_read"]
    assert isinstance(shown, dg.MarkdownMetadataValue)
    assert "**Jaccard 0.710, containment 0.900**" in (shown.value or "")
    assert "| The river **rose.** | The river **fell.** |" in (shown.value or "")
    assert reports.side_by_side(edges.clear(), chunks) == {"pairs_to_read": "There are no near-duplicates."}


# evaluations, reviews -------------------------------------------------------------------------------------------------


def test_eval_text_is_listed_by_item_the_longest_first(curated):
    rows = cells(reports.contamination_table(curated[3].overlaps))
    assert [(row["text"], row["suite"], row["item"], row["words"], row["characters"]) for row in rows] == [
        ("t/stolen:0-48", "suite", "1", "8", "6-48")
    ]
    assert rows[0]["excerpt"] == "when the packet boat comes round the bend!"
    assert "No text holds" in reports.contamination_table(pl.DataFrame(schema=dict(OVERLAP)))


def test_reviews_say_who_when_and_whether_their_chunk_is_still_there():
    reviews = [
        {"chunk_id": "t/1:0-9", "decision": "keep", "reviewer": "A", "decided_at": "2026-01-01", "note": "mild"},
        {"chunk_id": "gone", "decision": "reject", "reviewer": "B", "decided_at": "2026-01-02", "note": ""},
    ]
    rows = cells(reports.review_table(reviews, ["t/1:0-9"]))
    assert [(row["chunk_id"], row["reviewer"], row["applies"]) for row in rows] == [
        ("gone", "B", "no such chunk now"),
        ("t/1:0-9", "A", "yes"),
    ]
    assert "twainbot decide" in reports.review_table([], [])


def test_bars_of_nothing_are_a_sentence():
    assert bars({}, "Passages by style") == "Passages by style: nothing to show."
    assert is_plot(bars({"twain": 0.0}, "Passages by style"))
