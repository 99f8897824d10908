"""A small lake up to its splits, written by hand: what a data bundle is cut from in tests. One sample of every fate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from resources.lake import Lake
from tests import builders as make
from twainbot.corpora.inventory import matrix
from twainbot.records import ASSIGNMENT, REJECT, frame
from twainbot.release.snapshot import Material
from twainbot.splits.export import dapt_rows, preference_rows, sft_rows

RETOLD = "on the tenth the river came up"
LAMP = "The lamp on the landing was lit at dusk by a man who had never been asked to, and was never thanked."
BULLETIN = "TONIGHT...MOSTLY CLEAR. LOWS AROUND 52. SOUTHWEST WIND 12 MPH."
FLOOD_ID, LAMP_ID = make.chunk()["chunk_id"], make.chunk("tales/the-lamp", text=LAMP)["chunk_id"]
COPY_ID = "tales/the-flood-again:0-100"
BULLETIN_WORK = "OKX-2026/zfp-1"
BULLETIN_ID = f"{BULLETIN_WORK}:0-{len(BULLETIN)}"
RETELLING, CALLING, TIED, REFUSED = (
    f"b000/{name}" for name in ("style/0000", "calls/0000", "calls/0001", "calls/0002")
)
PAIR, LOST_PAIR = "b000/pairs/0000", "b000/pairs/0001"
LOG = "transcripts-log/one"


def origin(*parents: str) -> str:
    """What the grammar records of itself."""
    return json.dumps({"generator": "grammar-v1", "model": None, "prompt_hash": "77aa", "seed": 13, "parents": parents})


def works() -> list[dict[str, Any]]:
    """A story, one that may be trained on and not published, a bulletin, a log, and a file that could not be read."""
    return [
        make.work(),
        make.work("tales/the-lamp", title="The Lamp", rights="permission", license="by letter", text=LAMP),
        make.work(BULLETIN_WORK, source="weather", title="Zone Forecast", rights="public_domain", text=BULLETIN),
        make.work(LOG, source="transcripts", title="A log", text="Said and answered."),
        make.work("tales/line-3", reject_reason="malformed_json (line 3)", text=""),
    ]


def passages() -> list[dict[str, Any]]:
    """The curated chunks of those works."""
    bulletin = {"source": "weather", "text": BULLETIN, "style": "weather_fact", "copyright_status": "public_domain"}
    return [
        make.passage(),
        make.passage("tales/the-lamp", text=LAMP, copyright_status="permission", license="by letter"),
        make.passage(BULLETIN_WORK, **bulletin),
        make.passage(LOG, source="transcripts", text="Said and answered.", style="dialogue"),
    ]


def dialogues() -> list[dict[str, Any]]:
    """A retelling, a call about a bulletin, a log, one that ties splits, one that the gates refused."""
    return [
        make.judged_dialogue(RETELLING, kind="style_transfer", scenario="style_transfer", origin=origin(FLOOD_ID),
                             turns=[make.turn("user", "Retell it."), make.turn("assistant", "The river was curious.")]),
        make.judged_dialogue(CALLING, origin=origin(BULLETIN_ID)),
        make.judged_dialogue(LOG, kind="transcript", scenario="transcript", seed_id=None, disclaimer="Transcript: A log.",
                             origin=json.dumps({"generator": "transcript", "model": None, "parents": [LOG]})),
        make.judged_dialogue(TIED, origin=origin()),
        make.judged_dialogue(REFUSED, origin=origin(), decision="reject", reasons=[f"near_duplicate: {CALLING}"]),
    ]  # fmt: skip


def pairs() -> list[dict[str, Any]]:
    """A pair of a kept dialogue and one of the refused one."""
    return [make.preference(PAIR, seed_id=CALLING, origin=origin(CALLING)),
            make.preference(LOST_PAIR, seed_id=REFUSED, origin=origin(REFUSED))]  # fmt: skip


def assignments() -> list[dict[str, Any]]:
    """The split of every sample that is not refused."""
    splits = {FLOOD_ID: "train", LAMP_ID: "train", BULLETIN_ID: "test", RETELLING: "train", CALLING: "test",
              LOG: "validation", TIED: "held_back", PAIR: "test"}  # fmt: skip
    kinds = {FLOOD_ID: "passage", LAMP_ID: "passage", BULLETIN_ID: "passage", PAIR: "preference"}
    return [
        {"sample_id": name, "kind": kinds.get(name, "dialogue"), "group_id": name, "cluster_id": None, "split": split,
         "stratum": f"{kinds.get(name, 'dialogue')}/x"}
        for name, split in splits.items()
    ]  # fmt: skip


def rejects() -> list[dict[str, Any]]:
    """What curation left out: a copy, and the file that could not be read."""
    return [
        {"sample_id": COPY_ID, "work_id": "tales/the-flood", "source": "local", "stage": "dedupe", "decision": "reject",
         "reasons": [f"duplicate_in:{FLOOD_ID}"]},
        {"sample_id": "tales/line-3", "work_id": "tales/line-3", "source": "local", "stage": "corpora",
         "decision": "reject", "reasons": ["malformed_json (line 3)"]},
    ]  # fmt: skip


def material(**changes: list[dict[str, Any]]) -> Material:
    """All of it as tables; `changes` replace rows: works, passages, rejects, dialogues, pairs, assignments."""
    assigned = frame(changes.get("assignments", assignments()), ASSIGNMENT)
    texts = make.passages(*changes.get("passages", passages()))
    talks = make.judged_dialogues(*changes.get("dialogues", dialogues()))
    twos = make.preferences(*changes.get("pairs", pairs()))
    return Material(
        works=make.works(*changes.get("works", works())),
        passages=texts,
        rejects=frame(changes.get("rejects", rejects()), REJECT),
        dialogues=talks,
        pairs=twos,
        assignments=assigned,
        dapt=dapt_rows(texts, assigned),
        sft=sft_rows(talks, assigned),
        preferences=preference_rows(twos, assigned),
        seeds={RETELLING: {"persona": "twain", "text": RETOLD}},
    )


def write(folder: Path | str, found: Material) -> Lake:
    """The material as a lake in a folder, or at a URL."""
    lake = Lake(str(folder))
    for (source,), rows in found.works.partition_by("source", as_dict=True).items():
        lake.write(f"corpora/{source}", "tales", rows)
    seeds = [make.seed(name, payload=json.dumps(payload)) for name, payload in found.seeds.items()]
    lake.write("dialogues/seeds", "b000", make.seeds(*seeds))
    lake.write("dialogues/contrastive", "b000", found.pairs)
    whole: dict[str, pl.DataFrame] = {
        "corpora/rights": matrix(found.works), "curated/passages": found.passages, "curated/rejects": found.rejects,
        "dialogues/screened": found.dialogues, "splits/assignments": found.assignments, "splits/dapt": found.dapt,
        "splits/sft": found.sft, "splits/preferences": found.preferences,
    }  # fmt: skip
    for table, rows in whole.items():
        lake.write(table, None, rows)
    return lake
