"""The lineage page: what joins to what, what a small page leaves out and says so, and text that would be markup."""

from __future__ import annotations

import itertools
import json
import os
import re
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from checks import lineage as gates
from resources.folders import Folders
from resources.lake import SCHEMA_KEY, Lake, LakeIOManager, LakeResource
from tests import builders
from twainbot.corpora.inventory import audit
from twainbot.lineage.links import LEVELS, PASSAGE, ROW, WORK, Links, Tables, Trained, drawn, join, merged
from twainbot.lineage.page import UNSAFE, embedded, render
from twainbot.records import ASSIGNMENT, DAPT_ROW, PREFERENCE_ROW, REJECT, SCHEMA_VERSION, SFT_ROW, frame
from twainbot_assets import cli, lineage
from twainbot_assets.partitions import UNITS

CHUNK_ID = builders.chunk()["chunk_id"]
DIALOGUE_ID, PAIR_ID = "b000/style_transfer/0000", "b000/contrastive/0000"
RETOLD = "on the tenth the river came up"
SFT = Trained("adapters/sft [default]", "splits/sft", frozenset({DIALOGUE_ID}), [], ("adapters/dapt [default]",))
DAPT = Trained("adapters/dapt [default]", "splits/dapt", frozenset({CHUNK_ID}), [])
PLENTY = 10_000_000
WILD = "</script><script>document.title='taken'</script>\u2028<img src=x onerror=alert(1)> \"it's\" & <!-- {{data}}"


def row(sample_id: str, **more: Any) -> dict[str, Any]:
    return {"sample_id": sample_id, "split": "train", **more}


def tables(**changes: pl.DataFrame) -> Tables:
    """One work, its one passage, a dialogue that retells it, a pair of that dialogue, and a row of each."""
    origin = json.dumps({"generator": "grammar-v1", "parents": [CHUNK_ID]})
    from_dialogue = json.dumps({"generator": "grammar-v1", "parents": [DIALOGUE_ID, CHUNK_ID]})
    payload = json.dumps({"text": RETOLD})
    found = {
        "works": builders.works(),
        "chunks": builders.chunks(),
        "rejects": frame([], REJECT),
        "clusters": builders.clusters(),
        "dialogues": builders.judged_dialogues(
            builders.judged_dialogue(DIALOGUE_ID, kind="style_transfer", seed_id=DIALOGUE_ID, origin=origin)
        ),
        "pairs": builders.preferences(builders.preference(PAIR_ID, origin=from_dialogue)),
        "seeds": builders.seeds(builders.seed(DIALOGUE_ID, payload=payload)),
        "assignments": frame([], ASSIGNMENT),
    }
    lazy = {name: rows.lazy() for name, rows in (found | changes).items()}
    splits = {
        "splits/dapt": frame([row(CHUNK_ID)], DAPT_ROW).lazy(),
        "splits/sft": frame([row(DIALOGUE_ID)], SFT_ROW).lazy(),
        "splits/preferences": frame([row(PAIR_ID)], PREFERENCE_ROW).lazy(),
    }
    return Tables(**lazy, splits=splits, adapters=[DAPT, SFT])


def many(count: int) -> Tables:
    """As many works of one passage each, every passage a row."""
    works = [builders.work(f"tales/{number}") for number in range(count)]
    chunks = [builders.chunk(f"tales/{number}") for number in range(count)]
    rows = frame([row(chunk["chunk_id"]) for chunk in chunks], DAPT_ROW).lazy()
    learned = Trained(DAPT.name, "splits/dapt", frozenset(chunk["chunk_id"] for chunk in chunks), [])
    return replace(
        tables(works=builders.works(*works), chunks=builders.chunks(*chunks)),
        splits={"splits/dapt": rows},
        adapters=[learned],
    )


def node(links: Links, name: str) -> dict[str, Any]:
    return next(one for one in links.nodes if one["id"] == name)


def above(links: Links, name: str) -> set[str]:
    """Ids of all that a node was made of."""
    found: set[str] = set()
    waiting = list(node(links, name)["p"])
    while waiting:
        one = links.nodes[waiting.pop()]
        if one["id"] not in found:
            found.add(one["id"])
            waiting.extend(one["p"])
    return found


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_an_adapter_leads_through_row_dialogue_and_passage_to_the_work_and_its_unit():
    assert above(join(tables(), PLENTY), SFT.name) == {
        f"splits/sft {DIALOGUE_ID}", DIALOGUE_ID, CHUNK_ID, "tales/the-flood", "local/tales",
        DAPT.name, f"splits/dapt {CHUNK_ID}",
    }  # fmt: skip


def test_a_pair_leads_to_its_dialogue_and_by_way_of_it_to_the_passage():
    links = join(tables(), PLENTY)
    assert [links.nodes[at]["id"] for at in node(links, PAIR_ID)["p"]] == [DIALOGUE_ID]
    assert CHUNK_ID in above(links, f"splits/preferences {PAIR_ID}")


def test_a_dialogue_points_at_the_characters_that_it_retells():
    links = join(tables(), PLENTY)
    passage, start, end = node(links, DIALOGUE_ID)["retold"]
    (piece,) = node(links, "tales/the-flood")["text"]
    assert links.nodes[passage]["id"] == CHUNK_ID
    assert piece[1][start:end] == RETOLD == builders.TEXT[builders.TEXT.index(RETOLD) :][: len(RETOLD)]


def test_levels_are_counted():
    links = join(tables(), PLENTY)
    assert links.totals == dict(zip(LEVELS, (2, 3, 2, 1, 1, 1), strict=True)) == links.shown
    assert links.share == 1.0


def test_a_row_whose_dialogue_is_gone_is_named_and_the_gate_warns():
    links = join(tables(dialogues=builders.judged_dialogues(builders.judged_dialogue("b000/other"))), PLENTY)
    assert links.lost == [f"splits/sft {DIALOGUE_ID}"]
    finding = gates.explained(lineage.levels(links, "0" * 64))
    assert not finding.passed
    assert finding.why.startswith("1 of 3 rows")


def test_a_passage_that_is_not_the_text_at_its_span_keeps_its_own_words_and_the_gate_warns():
    links = join(tables(works=builders.works(builders.work(text="!" + builders.TEXT))), PLENTY)
    assert links.moved == [CHUNK_ID]
    assert node(links, CHUNK_ID)["own"] == builders.TEXT
    assert not gates.in_place(lineage.levels(links, "0" * 64)).passed


def test_sound_tables_pass_both_gates():
    rows = lineage.levels(join(tables(), PLENTY), "0" * 64)
    assert [gate.judge(rows).passed for gate in gates.GATES] == [True, True]


def test_a_page_with_too_little_room_draws_rows_and_keeps_all_that_stands_behind_them():
    links = join(many(400), 60_000)
    page = render(links, "T")
    assert len(page.encode()) < 60_000 + len(render(Links([], dict.fromkeys(LEVELS, 0)), "T").encode()) + 400 * 8
    assert 0 < links.shown["rows"] < 400 == links.totals["rows"]
    assert links.shown["passages"] == links.shown["works"] == links.shown["rows"]
    assert not links.lost
    assert data_of(page)["share"] < 1


def test_no_room_at_all_ends_and_shows_no_row():
    links = join(many(5), 10)
    assert links.shown["rows"] == 0
    assert links.totals["rows"] == 5


def test_of_a_long_work_only_the_surroundings_of_drawn_passages_are_kept():
    assert merged([(1000, 1100), (1250, 1300), (9000, 9100)], 9150) == [(800, 1500), (8800, 9150)]


@given(st.sets(st.text(min_size=1)), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_a_smaller_one(names: set[str], one: float, other: float):
    few, more = sorted((one, other))
    assert {name for name in names if drawn(name, few)} <= {name for name in names if drawn(name, more)}


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 300)), max_size=8))
def test_every_span_lies_whole_in_one_piece_and_pieces_do_not_touch(spans: list[tuple[int, int]]):
    length = 800
    wanted = [(start, min(length, start + size)) for start, size in spans]
    pieces = merged(wanted, length)
    assert all(any(low <= start and end <= high for low, high in pieces) for start, end in wanted)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(pieces))


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6))
def test_any_words_come_back_out_of_the_block_and_cannot_end_it(value: Any):
    text = embedded(value)
    assert json.loads(text) == value
    assert not set(UNSAFE) & set(text)


def test_a_lone_surrogate_does_not_break_the_page():
    assert json.loads(embedded("a\ud800b")) == "a\ud800b"


def test_text_that_would_be_markup_stays_in_the_block():
    works = builders.works(builders.work(title=WILD, text=WILD + builders.TEXT))
    page = render(join(tables(works=works), PLENTY), f"Lineage of {WILD}")
    data = data_of(page)
    assert next(one for one in data["nodes"] if one["k"] == WORK)["title"] == WILD
    outside = page.replace(page[page.index('id="data">') : page.index("</script>")], "")
    assert outside.count("<script") == outside.count("</script>") == 2
    assert "<img" not in outside


def test_the_page_asks_for_nothing_and_lets_only_its_own_script_run():
    page = render(join(tables(), PLENTY), "T")
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page.replace("http-equiv", ""))
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", page)
    assert page.count("{{") == 0


def test_equal_tables_give_equal_bytes():
    assert render(join(tables(), PLENTY), "T") == render(join(tables(), PLENTY), "T")


def test_passages_that_no_row_uses_are_shown_with_what_became_of_them():
    reject = {"sample_id": CHUNK_ID, "work_id": "tales/the-flood", "source": "local", "stage": "screened",
              "decision": "review", "reasons": ["toxicity"]}  # fmt: skip
    links = join(replace(tables(rejects=frame([reject], REJECT)), splits={}, adapters=[]), PLENTY)
    assert ("curation", "review at screened: toxicity") in node(links, CHUNK_ID)["facts"]
    assert [one["k"] for one in links.nodes].count(PASSAGE) == 1
    assert [one["k"] for one in links.nodes].count(ROW) == 0


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of profile tiny whose lake holds a work, its passage, a row of it and the adapter that learned it."""
    monkeypatch.setenv("TWAINBOT_HOME", str(tmp_path))
    monkeypatch.setenv("TWAINBOT_PROFILE", "tiny")
    lake = Lake(str(tmp_path / "tiny" / "lake"))
    lake.write("corpora/local", "tales", builders.works())
    lake.write("chunks/local", "tales", builders.chunks())
    lake.write("splits/dapt", None, frame([row(CHUNK_ID)], DAPT_ROW))
    trained = {
        "recipe": "default",
        "stage": "dapt",
        "folder": "adapters/dapt/files/0",
        "fingerprint": "f" * 16,
        "base": "b",
    }
    lake.write("adapters/dapt", "default", pl.DataFrame([{**trained, "adapter_sha256": "a" * 64, "record": "{}"}]))
    return tmp_path


def test_the_command_writes_the_page_and_says_where_it_lies(home):
    done = CliRunner().invoke(cli.main, ["lineage"])
    assert done.exit_code == 0, done.output
    page = home / "tiny" / "reports" / "lineage.html"
    assert str(page) in done.output
    assert "adapters: 1" in done.output
    assert CHUNK_ID in page.read_text()


def test_the_text_of_a_unit_that_was_taken_out_is_not_on_the_page(home):
    lake = Lake(str(home / "tiny" / "lake"))
    lake.write(
        "corpora/local", "fables", builders.works(builders.work("fables/the-fox", unit="fables", text="A sour fox."))
    )
    lake.write(
        "chunks/local", "fables", builders.chunks(builders.chunk("fables/the-fox", unit="fables", text="A sour fox."))
    )
    lake.write("dialogues/contrastive", "b999", builders.preferences(builders.preference("b999/contrastive/0000")))
    page = home / "tiny" / "reports" / "lineage.html"
    assert CliRunner().invoke(cli.main, ["lineage"]).exit_code == 0
    assert "A sour fox." in page.read_text()
    assert "b999" not in page.read_text()  # no batch of the profile
    lake.write("corpora/audit", None, audit(builders.works(), {"local": ["tales"]}, {}))
    assert CliRunner().invoke(cli.main, ["lineage"]).exit_code == 0
    assert "fox" not in page.read_text()
    assert CHUNK_ID in page.read_text()


def test_the_asset_asks_the_instance_which_units_count(home):
    lake = Lake(str(home / "tiny" / "lake"))
    lake.write(
        "corpora/local", "fables", builders.works(builders.work("fables/the-fox", unit="fables", text="A sour fox."))
    )
    folders = Folders(**{name: str(home / "tiny" / name) for name in Folders.model_fields})
    resources = {"lake": LakeResource(base=lake.base), "folders": folders, "io_manager": LakeIOManager(base=lake.base)}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(UNITS["local"].name, ["tales"])
        assert dg.materialize([lineage.lineage], instance=instance, resources=resources).success
    page = (home / "tiny" / "reports" / "lineage.html").read_text()
    assert CHUNK_ID in page
    assert "fox" not in page


@pytest.mark.parametrize(("name", "says"), [("", "is a folder"), ("null", "is a device or a pipe")])
def test_a_file_that_cannot_be_written_is_one_sentence(home, name, says):
    (home / "null").symlink_to(os.devnull)
    done = CliRunner().invoke(cli.main, ["lineage", "--out", str(home / name)])
    assert done.exit_code == 2
    assert says in done.output
    assert "--out" in done.output
    assert (home / "null").is_symlink()


def test_a_table_of_an_older_version_is_one_sentence_with_the_repair(home):
    rows = builders.chunks().drop("style")
    rows.write_parquet(
        home / "tiny/lake/chunks/local/partition=tales/part-0.parquet", metadata={SCHEMA_KEY: str(SCHEMA_VERSION)}
    )
    done = CliRunner().invoke(cli.main, ["lineage"])
    assert done.exit_code == 1
    assert "chunks/local lacks the columns ['style']. Run `twainbot refresh`" in done.output


def test_a_home_where_nothing_was_built_has_a_page_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("TWAINBOT_HOME", str(tmp_path))
    monkeypatch.setenv("TWAINBOT_PROFILE", "tiny")
    done = CliRunner().invoke(cli.main, ["lineage", "--out", str(tmp_path / "deep" / "page.html")])
    assert done.exit_code == 0, done.output
    assert "adapters: 0" in done.output


def test_an_adapter_names_what_it_began_from_by_hash_where_that_is_gone():
    assert list(lineage.before({"init_adapter_sha256": "ab" * 32}, {})) == ["an adapter of weights abababababab"]
    mix = {"mix": {"adapters": {"twain": 0.5, "franklin": 0.5}, "stage": "sft"}}
    assert list(lineage.before(mix, {})) == ["adapters/sft [twain]", "adapters/sft [franklin]"]
