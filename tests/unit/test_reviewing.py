"""The review queue: written out, brought back, refused whole where one line is wrong."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from resources.home import Home
from resources.lake import SCHEMA_KEY, Lake
from tests import builders
from twainbot.errors import BadInput, BadUse
from twainbot.records import REJECT, SCHEMA_VERSION, frame
from twainbot_assets import cli, reviewing
from twainbot_assets.curated import decisions, reviews

RUDE = builders.chunk("tales/the-quarrel")
SEEN = "period_term:disability: cripple (1): … the cripple had the best seat …"
NAMELESS = builders.chunk("tales/a-leaf")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A profile with two screened passages: one in review, one of unknown rights."""
    monkeypatch.delenv("TWAINBOT_LAKE", raising=False)
    made = Home(tmp_path, "tiny")
    lake = Lake(made.lake)
    lake.write("chunks/local", "tales", builders.chunks(RUDE, NAMELESS))
    verdicts = (builders.screened(RUDE["chunk_id"], "review", "profanity", evidence=[SEEN]),
                builders.screened(NAMELESS["chunk_id"], "reject", "rights_unknown"))  # fmt: skip
    lake.write("screened/local", "tales", builders.decisions(*verdicts))
    rows = [{"sample_id": row["chunk_id"], "work_id": row["work_id"], "source": "local", "stage": "screened",
             "decision": row["decision"], "reasons": row["reasons"]} for row in verdicts]  # fmt: skip
    lake.write("curated/rejects", None, frame(rows, REJECT))
    return made


def queue(home, *lines):
    file = home.root / "queue.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return file


def kept(chunk_id=RUDE["chunk_id"], decision="keep", **more):
    return {"chunk_id": chunk_id, "decision": decision, **more}


def stored(home):
    return [json.loads(line) for line in home.reviews.read_text(encoding="utf-8").splitlines()]


def test_the_queue_holds_what_waits_with_text_and_reasons_and_nothing_else(home):
    rows = [json.loads(line) for line in reviewing.open_queue(Lake(home.lake)).splitlines()]
    assert [row["chunk_id"] for row in rows] == [RUDE["chunk_id"]]
    assert rows[0]["decision"] is None
    assert rows[0]["reasons"] == ["profanity"]
    assert rows[0]["text"] == builders.TEXT


def test_the_queue_shows_the_terms_that_the_screen_stopped_at_with_their_surroundings(home):
    (row,) = [json.loads(line) for line in reviewing.open_queue(Lake(home.lake)).splitlines()]
    assert row["evidence"] == [SEEN]
    assert list(row) == ["chunk_id", "decision", "note", "reasons", "evidence", "text"]


def test_a_lake_of_before_the_screen_gave_evidence_still_has_a_queue(home):
    lake = Lake(home.lake)
    file = lake.part("screened/local", "tales")
    lake.read("screened/local", "tales").drop("evidence").write_parquet(
        str(file), metadata={SCHEMA_KEY: str(SCHEMA_VERSION)}
    )
    (row,) = [json.loads(line) for line in reviewing.open_queue(lake).splitlines()]
    assert row["evidence"] == []


def test_what_the_queue_showed_may_come_back_with_the_decision(home):
    (row,) = [json.loads(line) for line in reviewing.open_queue(Lake(home.lake)).splitlines()]
    reviewing.bring_back(queue(home, {**row, "decision": "keep"}), "R", home)
    assert set(stored(home)[0]) == {"chunk_id", "decision", "reviewer", "decided_at", "note"}


def test_a_queue_of_which_nothing_waits_is_empty(home):
    Lake(home.lake).write("curated/rejects", None, frame([], REJECT))
    assert reviewing.open_queue(Lake(home.lake)) == ""


def test_a_queue_before_the_first_run_names_the_run(tmp_path):
    with pytest.raises(BadInput, match="twainbot run --select curated/rejects"):
        reviewing.open_queue(Lake(str(tmp_path)))


def test_a_decision_is_kept_with_who_when_and_why(home):
    told = reviewing.bring_back(queue(home, kept(note="mild")), " A. Reviewer ", home)
    (row,) = stored(home)
    assert {**row, "decided_at": ""} == {**kept(note="mild"), "reviewer": "A. Reviewer", "decided_at": ""}
    assert row["decided_at"].endswith("+00:00")
    assert told == f"Decisions by A. Reviewer added to {home.reviews}: 1 keep, 0 reject. Next: `twainbot refresh`."


def test_the_queue_as_written_comes_back_with_open_lines_left_open(home):
    rows = [json.loads(line) for line in reviewing.open_queue(Lake(home.lake)).splitlines()]
    filled = queue(home, {**rows[0], "decision": "reject"}, kept(NAMELESS["chunk_id"], None))
    assert "1 left undecided" in reviewing.bring_back(filled, "R", home)
    assert [row["decision"] for row in stored(home)] == ["reject"]


def test_the_latest_decision_wins_and_the_earlier_stays_on_file(home):
    reviewing.bring_back(queue(home, kept(decision="reject")), "R", home)
    reviewing.bring_back(queue(home, kept(decision="keep")), "S", home)
    assert [row["decision"] for row in stored(home)] == ["reject", "keep"]
    assert decisions(home.reviews) == {RUDE["chunk_id"]: "keep"}  # what curation reads


def test_a_note_with_a_line_separator_in_it_is_read_back_by_the_graph(home):
    reviewing.bring_back(queue(home, kept(note="fine\u2028by me")), "Ann", home)
    assert [row["note"] for row in reviews(home.reviews)] == ["fine\u2028by me"]
    assert decisions(home.root / "none.jsonl") == {}


def test_lines_are_added_below_a_file_whose_last_line_was_not_ended(home):
    home.reviews.write_text(json.dumps(kept(decision="reject")), encoding="utf-8")
    reviewing.bring_back(queue(home, kept()), "R", home)
    assert [row["decision"] for row in stored(home)] == ["reject", "keep"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object but list"),
        (kept("tales/the-quarel:0-100"), "line 2: no screened passage .* did you mean 'tales/the-quarrel"),
        (kept("zzz"), "line 2: no screened passage is called 'zzz'"),
        (kept(decision="maybe"), "line 2: decision 'maybe' is neither keep nor reject"),
        (kept(decision="review"), "line 2: decision 'review' is neither"),
        ({"chunk_id": RUDE["chunk_id"]}, "line 2: it has no decision; write keep or reject"),
        ({"decision": "keep"}, "line 2: it has no chunk_id"),
        (kept(note=3), "line 2: its note is not text"),
        (kept(NAMELESS["chunk_id"]), "line 2: .*rights_unknown, and a reviewer cannot grant rights"),
    ],
)
def test_one_wrong_line_is_named_and_nothing_is_written(home, line, says):
    with pytest.raises(BadInput, match=says):
        reviewing.bring_back(queue(home, kept(), line), "R", home)
    assert not home.reviews.exists()


def test_a_line_without_its_passage_is_pointed_to_the_command_that_writes_the_queue(home):
    with pytest.raises(BadInput, match="copy it from the queue that `twainbot decide` writes"):
        reviewing.bring_back(queue(home, {"decision": "keep"}), "R", home)


def test_reviews_that_may_not_be_written_are_one_sentence_and_none_is_added(home, monkeypatch):
    def refused(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reviewing, "append", refused)
    with pytest.raises(BadUse, match=r"reviews\.jsonl cannot be written: Permission denied\. Nothing .+ TWAINBOT_HOME"):
        reviewing.bring_back(queue(home, kept()), "R", home)
    assert not home.reviews.exists()


def test_a_reviewer_may_reject_what_has_no_rights(home):
    reviewing.bring_back(queue(home, kept(NAMELESS["chunk_id"], "reject")), "R", home)
    assert stored(home)[0]["decision"] == "reject"


def test_all_wrong_lines_are_counted_and_the_first_five_named(home):
    with pytest.raises(BadInput, match=r"line 5: .* And 2 more lines") as error:
        reviewing.bring_back(queue(home, *[kept(decision="x")] * 7), "R", home)
    assert "line 6" not in str(error.value)


def test_a_file_without_a_decision_or_a_reviewer_or_a_file_is_refused(home):
    with pytest.raises(BadInput, match="holds no decision"):
        reviewing.bring_back(queue(home, kept(decision=None)), "R", home)
    with pytest.raises(BadUse, match="--by"):
        reviewing.bring_back(queue(home, kept()), " ", home)
    with pytest.raises(BadUse, match="There is no file"):
        reviewing.bring_back(home.root / "absent.jsonl", "R", home)


@pytest.mark.parametrize(
    ("note", "reviewer", "error", "says"),
    [
        ("half \ud800", "R", BadInput, "line 1: its note holds half of a surrogate pair"),
        ("whole 😀", "R\udcff", BadUse, "is not UTF-8 text"),
    ],
)
def test_what_no_file_can_hold_is_refused_and_nothing_is_written(home, note, reviewer, error, says):
    with pytest.raises(error, match=says):
        reviewing.bring_back(queue(home, kept(note=note)), reviewer, home)
    assert not home.reviews.exists()


def test_a_queue_of_which_nothing_waits_says_so_and_leaves_a_redirected_file_empty(home, monkeypatch):
    Lake(home.lake).write("curated/rejects", None, frame([], REJECT))
    monkeypatch.setattr(cli, "prepared", lambda _profile: home)
    ran = CliRunner().invoke(cli.main, ["decide"])
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", "No passage waits for a person.\n")
