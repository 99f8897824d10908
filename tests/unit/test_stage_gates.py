"""For each gate of each stage: a table that it lets pass and tables that it must stop. A gate without both fails here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import polars as pl
import pytest

from checks import base, chunks, corpora, curated, dedupe, dialogues, release, screened, splits, thresholds
from checks.gates import Finding, Gate, run_gate
from resources.suites import neutral_text
from tests import builders as make
from twainbot.corpora.inventory import audit, matrix
from twainbot.dedupe import DedupeSettings, signatures
from twainbot.dedupe.shingles import words
from twainbot.dialogues.rows import turn
from twainbot.records import ASSIGNMENT, CLUSTER, DAPT_ROW, EDGE, REJECT, frame
from twainbot.screening import ScreeningSettings

# shared examples -----------------------------------------------------------------------------------------------------

WORKS = make.works(
    make.work("tales/a", text="It rained. It poured."), make.work("tales/b", text="", reject_reason="empty")
)
SPANS = make.chunks(make.chunk("tales/a", 0, "It rained. "), make.chunk("tales/a", 11, "It poured."))
BARRED = make.chunks(make.chunk("tales/a"), make.chunk("tales/b", copyright_status="unknown"))
A, B = BARRED["chunk_id"].to_list()

# 3-grams abc bcd cde against abc bcd cdf: 2 shared of 4, a Jaccard of 1/2
PAIR = make.chunks(
    make.chunk("t/1", text="a b c d e"), make.chunk("t/2", text="a b c d f"), make.chunk("t/3", text="x y z")
)
ONE, TWO, THREE = PAIR["chunk_id"].to_list()
HALF = DedupeSettings(threshold=0.5)
EDGES = frame([{"a": ONE, "b": TWO, "jaccard": 0.5, "containment": 2 / 3}], EDGE)
CLUSTERS = frame(
    [make.cluster(ONE, size=2), make.cluster(TWO, ONE, canonical=False, size=2), make.cluster(THREE)], CLUSTER
)
CANARIES = [("t/2", "t/1")]

SAMPLES = pl.DataFrame(
    {
        "sample_id": ["s1", "s2", "s3"], "kind": ["passage"] * 3, "cluster_id": ["c1", "c2", "c3"],
        "work_id": ["w1", "w2", "w3"], "seed_id": [None] * 3, "stratum": ["x"] * 3,
    },
    schema_overrides={"seed_id": pl.String},
)  # fmt: skip


def assigned(**placed: str | None) -> pl.DataFrame:
    """Assignments of samples to splits, each in its own group."""
    return frame(
        (
            {"sample_id": name, "kind": "passage", "group_id": name, "cluster_id": "c", "split": split, "stratum": "x"}
            for name, split in placed.items()
        ),
        ASSIGNMENT,
    )


ASSIGNED = assigned(s1="train", s2="validation", s3="test")


def stratum(size: int, validation: int) -> pl.DataFrame:
    """One stratum of this size, with so many rows in validation and the rest in train."""
    return pl.DataFrame(
        {"stratum": ["x"] * size, "split": ["validation"] * validation + ["train"] * (size - validation)}
    )


def dapt(*splits_: str | None, text: str | None = "It rained.") -> pl.DataFrame:
    """Training rows, one for each split named."""
    rows = (
        {"sample_id": f"s{n}", "split": split, "style": "twain", "text": text, "token_count": 3}
        for n, split in enumerate(splits_)
    )
    return frame(rows, DAPT_ROW)


def written(sound: int, faulty: int) -> pl.DataFrame:
    """Dialogues of which `faulty` state a high that the tool did not give."""
    wrong = make.talk_turns(make.REPLY.replace("71", "84"))
    rows = [make.dialogue(f"d{n}", **({"turns": wrong} if n < faulty else {})) for n in range(sound + faulty)]
    return make.dialogues(*rows)


def openings(*replies: str) -> pl.DataFrame:
    """Dialogues of one question and these replies."""
    rows = (
        make.dialogue(f"d{n}", turns=[turn("user", "Well?"), turn("assistant", said)]) for n, said in enumerate(replies)
    )
    return make.dialogues(*rows)


def talked(**counts: int) -> pl.DataFrame:
    """Assigned dialogues, so many in each split."""
    splits_ = [split for split, count in counts.items() for _ in range(count)]
    names = [f"d{at}" for at in range(len(splits_))]
    return pl.DataFrame(
        {"sample_id": names, "kind": ["dialogue"] * len(names), "split": splits_},
        schema={"sample_id": pl.String, "kind": pl.String, "split": pl.String},
    )


def told(*replies: str) -> pl.DataFrame:
    """A weather dialogue with each reply, all of one question."""
    return make.dialogues(
        *(make.dialogue(f"d{at}", turns=make.talk_turns(text)) for at, text in enumerate(replies))
    ).head(len(replies))


def asked(*questions: str) -> pl.DataFrame:
    """A dialogue with each question."""
    turns = [[turn("user", text), turn("assistant", "I could not say.")] for text in questions]
    return make.dialogues(*(make.dialogue(f"d{at}", turns=each, kind="no_tool") for at, each in enumerate(turns)))


def speeches(count: int) -> list[str]:
    """Texts of twelve words that share none: their distinct-3 is 1 and their self-BLEU 0."""
    return [" ".join(f"w{at}x{place}" for place in range(12)) for at in range(count)]


def kept(rows: pl.DataFrame, *decisions: str) -> pl.DataFrame:
    return rows.with_columns(decision=pl.Series(decisions))


def decided(*kept: str) -> pl.DataFrame:
    return pl.DataFrame({"decision": list(kept)})


def token_row(**changes: str) -> pl.DataFrame:
    whole = {
        "rendered_probe": "probe_tool | probe question | probe place | probe answer",
        "round_trip": "Twain, 1876: rain.",
    }
    return pl.DataFrame({name: [value] for name, value in {**whole, **changes}.items()})


def files(*names: str) -> pl.DataFrame:
    return pl.DataFrame({"files": [json.dumps(dict.fromkeys(names, "ab" * 32))]})


def rejected_share(rejected: int, of: int) -> pl.DataFrame:
    rows = (make.screened(f"t:{n}-{n + 1}", "reject" if n < rejected else "keep", "profanity") for n in range(of))
    return make.decisions(*rows)


def rejected_rows(count: int, of: int) -> pl.DataFrame:
    rows = (make.work(f"t/{n}", reject_reason="malformed" if n < count else None) for n in range(of))
    return make.works(*rows)


def eval_words(count: int) -> str:
    """The first words of an evaluation's text, with ours around them."""
    return f"Meanwhile, upriver: {' '.join(words(neutral_text())[:count])} -- so said the pilot."


# a work of two chunks of which the second holds a problem of an evaluation
PLANTED = {"t/9": {"t/9:0-9": "It rained.", "t/9:9-99": eval_words(8)}}


# what each stage judges ----------------------------------------------------------------------------------------------

STAGES: dict[str, list[Gate]] = {
    "base/model": base.MODEL,
    "base/tokenizer": base.TOKENIZER,
    "corpora": corpora.gates("gutenberg"),
    "corpora/rights": corpora.RIGHTS,
    "corpora/audit": corpora.AUDIT,
    "chunks": chunks.chunk_gates(WORKS, size=8),
    "screened": screened.screen_gates(BARRED, max_rejected_share=0.5, weights_required=True),
    "dedupe/signatures": dedupe.signature_gates(PAIR, HALF.scheme),
    "dedupe/edges": dedupe.edge_gates(PAIR, HALF),
    "dedupe/clusters": dedupe.cluster_gates([ONE, TWO, THREE], EDGES, CANARIES),
    "curated/passages": curated.passage_gates(PLANTED),
    "curated/rejects": curated.REJECTS,
    "dialogues/seeds": dialogues.SEEDS,
    "dialogues/written": dialogues.WRITTEN,
    "dialogues/pairs": dialogues.PAIRS,
    "dialogues/ratings": dialogues.RATINGS,
    "dialogues/screened": dialogues.SCREENED,
    "splits/assignments": splits.assignment_gates(SAMPLES, at_least=3, at_most=4),
    "splits/tables": splits.TABLES,
}
MODULES: tuple[ModuleType, ...] = (base, chunks, corpora, curated, dedupe, dialogues, screened, splits)


@dataclass(frozen=True)
class Case:
    """Tables that one gate lets pass, and tables that it stops."""

    stage: str
    gate: str
    good: Sequence[pl.DataFrame]
    bad: Sequence[pl.DataFrame]


def case(path: str, good: pl.DataFrame | Sequence[pl.DataFrame], *bad: pl.DataFrame) -> Case:
    """A case by `stage:gate`."""
    stage, _, gate = path.partition(":")
    return Case(stage, gate, [good] if isinstance(good, pl.DataFrame) else good, bad)


def work(**changes) -> pl.DataFrame:
    return make.works(make.work(**changes))


def chunk(**changes) -> pl.DataFrame:
    return make.chunks(make.chunk(**changes))


def passage(**changes) -> pl.DataFrame:
    return make.passages(make.passage(**changes))


def decision(verdict: str | None = "keep", *reasons: str, **changes) -> pl.DataFrame:
    return make.decisions(make.screened(A, verdict, *reasons, **changes), make.screened(B, "reject", "rights_unknown"))


def provenance(**changes) -> str:
    return json.dumps({**make.PROVENANCE, **changes})


BOUND = thresholds.MIN_BOOK_CHARACTERS
NEW_OPENING = "Nobody who has stood on a levee asks that."

CASES = [
    case("base/model:weights_are_hashed", files("config.json", "tokenizer.json", "model.safetensors"),
         files("config.json", "tokenizer.json"), files("config.json", "model.safetensors"),
         files("tokenizer.json", "model.safetensors")),
    case("base/tokenizer:template_carries_tools", token_row(),
         token_row(rendered_probe="probe_tool | probe question | probe answer"), token_row(rendered_probe="")),
    case("base/tokenizer:loads_locally", [token_row(), token_row(round_trip=" Twain, 1876: rain.")],
         token_row(round_trip="twain, 1876: rain.")),
    case("corpora:has_works", [work(), WORKS], work(text="", reject_reason="empty"), make.works().clear()),
    case("corpora:rights_are_of_the_closed_set", [work(), work(rights="unknown")], work(rights="mine"), work(rights=None)),
    case("corpora:work_ids_are_unique", make.works(make.work("t/1"), make.work("t/2")),
         make.works(make.work("t/1"), make.work("t/1", text="Another."))),
    case("corpora:wrapping_is_gone", [work(), work(text="He started this project for Gutenberg the printer.")],
         work(text="Produced for Project Gutenberg by hand"), work(text="*** START OF THIS BOOK ***\nIt rained."),
         work(text="*END*THE SMALL PRINT! FOR PUBLIC DOMAIN")),
    case("corpora:encoding_is_sane", [work(text="a" * 999 + "\ufffd"), work(text="Café\n\tover")],
         work(text="a" * 998 + "\ufffd"), work(text="It \x93rained\x94.")),
    case("corpora:rights_are_known", [work(), make.works(make.work(rights="unknown", reject_reason="empty"))],
         work(rights="unknown")),
    case("corpora:rejects_are_few", rejected_rows(1, of=5), rejected_rows(2, of=9)),
    case("corpora:not_suspiciously_short", work(text="a" * BOUND), work(text="a" * (BOUND - 1)),
         make.works(make.work("t/1", text="a" * BOUND), make.work("t/2"))),
    case("corpora/rights:uses_are_known", matrix(WORKS), matrix(WORKS).with_columns(rule=pl.lit("")),
         matrix(WORKS).with_columns(train=pl.lit(None, pl.String))),
    case("corpora/rights:only_trainable_rights_train", [matrix(WORKS), matrix(work(rights="unknown"))],
         matrix(work(rights="unknown")).with_columns(train=pl.lit("yes"))),
    case("corpora/audit:every_gap_has_a_reason", [audit(WORKS, {}, {}), audit(WORKS, {}, {"local": {"deep": "a folder"}})],
         audit(WORKS, {"local": ["gone"]}, {}).with_columns(reasons=pl.lit([], pl.List(pl.String)))),
    case("corpora/audit:every_unit_has_a_version", audit(WORKS, {"local": ["tales"]}, {}),
         audit(WORKS, {"local": ["tales", "gone"]}, {})),
    case("chunks:spans_equal_text", SPANS, make.chunks(make.chunk("tales/a", 1, "It rained. ")),
         make.chunks(make.chunk("tales/nowhere", 0, "It rained."))),
    case("chunks:token_counts_in_bounds", [chunk(token_count=1), chunk(token_count=8), make.chunks().clear()],
         chunk(token_count=0), chunk(token_count=9), chunk(token_count=None)),
    case("chunks:tags_from_closed_vocabulary", chunk(), chunk(style="dickens"), chunk(tone="sad-ish"), chunk(topic="bees"),
         chunk(copyright_status="mine"), chunk(tone=None)),
    case("chunks:works_are_covered",
         [SPANS, make.chunks(make.chunk("tales/a", 0, "It rained."), make.chunk("tales/a", 11, "It poured."))],
         SPANS[:1], SPANS[1:], SPANS.clear(),
         make.chunks(make.chunk("tales/a", 0, "It rained"), make.chunk("tales/a", 11, "It poured."))),
    case("screened:every_chunk_is_decided", decision(), decision()[:1], decision("maybe"), decision(None),
         make.decisions(make.screened(A), make.screened(A), make.screened(B)),
         make.decisions(make.screened(A), make.screened("other:0-9"))),
    case("screened:every_row_scored_or_marked",
         [decision(), decision(toxicity=0.0, toxicity_backend="detoxify"), decision(toxicity=1.0, toxicity_backend="detoxify")],
         decision(toxicity=0.0), decision(toxicity_backend="detoxify"), decision(toxicity_backend=None),
         decision(toxicity=1.5, toxicity_backend="detoxify"), decision(toxicity=-0.1, toxicity_backend="detoxify"),
         decision(toxicity=0.3, toxicity_backend=None)),
    case("screened:untrainable_rights_never_pass", decision(),
         make.decisions(make.screened(A), make.screened(B, "keep")),
         make.decisions(make.screened(A), make.screened(B, "review", "profanity")),
         make.decisions(make.screened(A), make.screened(B, None))),
    case("screened:reasons_are_given", [decision(), decision("review", "profanity")], decision("reject"), decision("review"),
         decision(None), decision("review", reasons=None)),
    case("screened:toxicity_model_ran",
         make.decisions(make.screened(A, toxicity=0.1, toxicity_backend="detoxify")), decision()),
    case("screened:rejected_share_in_bounds", [rejected_share(2, of=4), make.decisions().clear()], rejected_share(3, of=5)),
    case("dedupe/signatures:one_signature_per_chunk", signatures(PAIR, HALF), signatures(PAIR[:2], HALF),
         pl.concat([signatures(PAIR, HALF), signatures(PAIR[:1], HALF)]),
         signatures(make.chunks(make.chunk("other/1")), HALF)),
    case("dedupe/signatures:one_scheme", [signatures(PAIR, HALF), signatures(PAIR, HALF).clear()],
         signatures(PAIR, DedupeSettings(threshold=0.5, permutations=64)), signatures(PAIR, DedupeSettings(0.5, shingle=5))),
    case("dedupe/edges:pairs_are_ordered", [EDGES, EDGES.clear()],
         EDGES.rename({"a": "b", "b": "a"}), EDGES.with_columns(b="a"), pl.concat([EDGES, EDGES])),
    case("dedupe/edges:pairs_verified_exactly", [EDGES, EDGES.clear()],
         EDGES.with_columns(jaccard=pl.lit(0.51)),
         frame([{"a": ONE, "b": THREE, "jaccard": 0.0, "containment": 0.0}], EDGE),
         EDGES.with_columns(b=pl.lit("nowhere:0-9"))),
    case("dedupe/clusters:every_chunk_has_a_cluster", CLUSTERS, CLUSTERS[:2], pl.concat([CLUSTERS, CLUSTERS[2:]])),
    case("dedupe/clusters:one_canonical_each", CLUSTERS, CLUSTERS.with_columns(is_canonical=pl.lit(True)),
         CLUSTERS.with_columns(is_canonical=pl.lit(False)),
         CLUSTERS.with_columns(is_canonical=pl.lit(None, pl.Boolean))),
    case("dedupe/clusters:edges_join_clusters", CLUSTERS, CLUSTERS.with_columns(cluster_id="chunk_id"), CLUSTERS[:1]),
    case("dedupe/clusters:canaries_found", CLUSTERS, CLUSTERS.with_columns(cluster_id="chunk_id"), CLUSTERS[:1],
         CLUSTERS.clear()),
    case("curated/passages:has_passages", passage(), passage().clear()),
    case("curated/passages:no_eval_text", [passage(), passage(text=eval_words(7))], passage(text=eval_words(8)),
         make.passages(make.passage("t/1"), make.passage("t/2", text=eval_words(10).upper()))),
    case("curated/passages:eval_canaries_found", [passage(), make.passages(make.passage("t/9", text="It raine."))],
         passage(chunk_id="t/9:9-99")),
    case("curated/passages:rights_allow_training", passage(), passage(copyright_status="unknown"),
         passage(copyright_status="restricted"), passage(copyright_status=None)),
    case("curated/passages:provenance_complete", passage(), passage(provenance=provenance(edition="")),
         passage(provenance=provenance(raw_sha256=None)), passage(provenance="{}"), passage(provenance=None)),
    case("curated/rejects:every_reject_has_a_reason",
         [frame([{"sample_id": "t:0-9", "decision": "reject", "reasons": ["profanity"]}], REJECT), frame([], REJECT)],
         frame([{"sample_id": "t:0-9", "decision": "reject", "reasons": []}], REJECT),
         frame([{"sample_id": "t:0-9", "decision": "reject", "reasons": None}], REJECT)),
    case("dialogues/seeds:one_batch_frozen", make.seeds(), make.seeds().clear(),
         make.seeds(make.seed("b000-1"), make.seed("b001-1", batch="b001"))),
    case("dialogues/written:well_formed_and_grounded", [written(sound=9, faulty=1), written(1, 0)],
         written(sound=8, faulty=1), make.dialogues(make.dialogue(turns=make.talk_turns()[:3]))),
    case("dialogues/written:ids_are_unique", written(2, 0), make.dialogues(make.dialogue(), make.dialogue())),
    case("dialogues/written:labelled_synthetic", make.dialogues(), make.dialogues(make.dialogue(disclaimer="")),
         make.dialogues(make.dialogue(disclaimer=None)), make.dialogues(make.dialogue(origin=None))),
    case("dialogues/written:varied", [openings(make.REPLY, NEW_OPENING), openings(make.REPLY, make.REPLY), openings()],
         openings(make.REPLY, make.REPLY, make.REPLY)),
    case("dialogues/written:few_near_duplicates", [told(*speeches(50), speeches(1)[0]), told()],  # 1 of 51: 0.0196
         told(*speeches(48), speeches(1)[0])),  # 1 of 49: 0.0204
    case("dialogues/written:replies_like_peoples", [told(*speeches(25)), told(*[make.REPLY] * 24)], told(*[make.REPLY] * 25)),
    case("dialogues/written:questions_like_peoples", [asked(*speeches(25)), asked(*["Will it rain in Elko?"] * 24)],
         asked(*["Will it rain in Elko?"] * 25)),
    case("dialogues/pairs:pairs_differ", make.preferences(), make.preferences(make.preference(rejected=make.REPLY)),
         make.preferences(make.preference(flaw="")), make.preferences(make.preference(flaw=None)),
         make.preferences(make.preference(chosen=None)), make.preferences(make.preference(rejected=None))),
    case("dialogues/ratings:ratings_in_range", [make.ratings(), make.ratings(make.rating(style=1, humor=5))],
         make.ratings(make.rating(style=0)), make.ratings(make.rating(humor=6)), make.ratings(make.rating(factuality=None)),
         make.ratings(make.rating(rationale=""))),
    case("dialogues/screened:every_dialogue_is_decided",
         [make.judged_dialogues(), make.judged_dialogues(make.judged_dialogue(decision="reject", reasons=["copied: 40"]))],
         make.judged_dialogues(make.judged_dialogue(decision="maybe")),
         make.judged_dialogues(make.judged_dialogue(decision=None)),
         make.judged_dialogues(make.judged_dialogue(decision="reject")),
         make.judged_dialogues(make.judged_dialogue(decision="review", reasons=None))),
    case("dialogues/screened:kept_dialogues_are_sound",
         [make.judged_dialogues(),
          make.judged_dialogues(make.judged_dialogue(turns=make.talk_turns("It will be 99 degrees."), decision="reject"))],
         make.judged_dialogues(make.judged_dialogue(turns=make.talk_turns("It will be 99 degrees.")))),
    case("dialogues/screened:ids_are_unique", make.judged_dialogues(),
         make.judged_dialogues(make.judged_dialogue(), make.judged_dialogue())),
    case("dialogues/screened:kept_do_not_repeat",
         [kept(told(make.REPLY, make.REPLY), "keep", "reject"), kept(told(*speeches(2)), "keep", "keep")],
         kept(told(make.REPLY, make.REPLY), "keep", "keep")),
    case("dialogues/screened:replies_like_peoples", told(*speeches(25)), told(*[make.REPLY] * 25)),
    case("dialogues/screened:enough_dialogues", decided(*["keep"] * thresholds.MIN_DIALOGUES),
         decided(*["keep"] * (thresholds.MIN_DIALOGUES - 1), "review", "reject")),
    case("splits/assignments:nothing_crosses", ASSIGNED,
         assigned(s1="train", s2="validation"), assigned(s1="train", s2="validation", s3="holdout"),
         assigned(s1="train", s2="validation", s3=None),
         ASSIGNED.with_columns(group_id=pl.lit("s1"))),
    case("splits/assignments:every_sample_once", ASSIGNED, ASSIGNED[:2], pl.concat([ASSIGNED, ASSIGNED[:1]]),
         assigned(s1="train", s2="train", s4="test")),
    case("splits/assignments:few_held_back",
         [talked(train=17, held_back=3), talked(train=1), talked()], talked(train=16, held_back=3)),  # 3 of 19: 0.158
    case("splits/assignments:three_splits", ASSIGNED, assigned(s1="train", s2="validation"), assigned(s1="test"),
         ASSIGNED.clear()),
    case("splits/assignments:strata_balanced", [stratum(30, 3), stratum(29, 0), stratum(100, 16)], stratum(30, 2),
         stratum(30, 5), stratum(100, 17)),
    case("splits/assignments:volume", [ASSIGNED, assigned(a="train", b="train", c="train", d="test")], ASSIGNED[:2],
         assigned(a="train", b="train", c="train", d="test", e="test")),
    case("splits/tables:has_training_rows", dapt("train", "test"), dapt("test"), dapt(), dapt("train", None),
         dapt("train", text=None)),
]  # fmt: skip


def judgement(stage: str, name: str, rows: pl.DataFrame) -> tuple[Finding, bool]:
    [gate] = [gate for gate in STAGES[stage] if gate.name == name]
    return run_gate(gate, rows)


def examples(kind: str) -> list:
    return [
        pytest.param(entry.stage, entry.gate, rows, id=f"{entry.stage}:{entry.gate}-{number}")
        for entry in CASES
        for number, rows in enumerate(getattr(entry, kind))
    ]


@pytest.mark.parametrize(("stage", "gate", "rows"), examples("good"))
def test_a_sound_table_passes(stage, gate, rows):
    finding, ran = judgement(stage, gate, rows)
    assert (finding.passed, ran) == (True, True), finding.why


@pytest.mark.filterwarnings("ignore:Comparisons with None")  # of a null split
@pytest.mark.parametrize(("stage", "gate", "rows"), examples("bad"))
def test_a_faulty_table_is_stopped_with_a_sentence(stage, gate, rows):
    finding, _ = judgement(stage, gate, rows)
    assert not finding.passed
    assert finding.why


def test_every_gate_of_every_stage_has_a_table_that_it_must_stop():
    held = {(stage, gate.name) for stage, gates in STAGES.items() for gate in gates}
    assert {(entry.stage, entry.gate) for entry in CASES if entry.good and entry.bad} == held
    assert len(CASES) == len(held)


def test_no_list_of_gates_is_forgotten_here():
    listed = [gates for module in MODULES for gates in vars(module).values() if is_gates(gates)]
    makers = [name for module in MODULES for name in vars(module) if name.endswith("gates") and name != "gates"]
    assert all(any(gates is known for known in STAGES.values()) for gates in listed)
    assert sorted(makers) == [
        "assignment_gates",
        "chunk_gates",
        "cluster_gates",
        "edge_gates",
        "passage_gates",
        "screen_gates",
        "signature_gates",
    ]


def is_gates(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Gate) for entry in value)


def test_books_alone_have_a_smallest_length():
    books, jokes = ({gate.name for gate in corpora.gates(source)} for source in ("gutenberg", "jokes"))
    assert books - jokes == {"not_suspiciously_short", "wrapping_is_gone"}


@pytest.mark.parametrize("required", [True, False])
def test_a_missing_toxicity_model_blocks_only_where_the_profile_wants_one(required):
    found = {gate.name: gate.blocking for gate in screened.screen_gates(None, 0.5, required)}
    assert found["toxicity_model_ran"] is required


def test_a_gate_that_was_built_for_its_name_only_does_not_pass():
    built = [
        *chunks.chunk_gates(None, 8)[:1], *screened.screen_gates(None, 0.5, False)[:1], *dedupe.signature_gates(None, "")[:1],
        *dedupe.edge_gates(PAIR, None)[1:], *dedupe.cluster_gates([], None, [])[2:3], *splits.assignment_gates(None, 0, 1)[:1],
        *curated.passage_gates(None)[2:3],
    ]  # fmt: skip
    tables = [SPANS, decision(), signatures(PAIR, HALF), EDGES, CLUSTERS, ASSIGNED, passage()]
    for gate, rows in zip(built, tables, strict=True):
        finding, ran = run_gate(gate, rows)
        assert (finding.passed, ran) == (False, False), gate.name
        assert "not given" in finding.why


def test_the_rows_at_fault_are_named():
    finding, _ = judgement("chunks", "works_are_covered", SPANS[:1])
    assert list(finding.rows) == ["tales/a: 9"]  # "It poured." without its blank
    finding, _ = judgement("dedupe/clusters", "canaries_found", CLUSTERS.with_columns(cluster_id="chunk_id"))
    assert list(finding.rows) == ["t/2 of t/1"]


def test_eval_canaries_are_missed_aloud_where_the_search_is_blind_or_the_planted_work_is_gone():
    for planted in ({"t/9": {"t/9:0-99": eval_words(7)}}, {"t/9": {}}):
        [gate] = [gate for gate in curated.passage_gates(planted) if gate.name == "eval_canaries_found"]
        finding, ran = run_gate(gate, passage())
        assert (finding.passed, ran, list(finding.rows)) == (False, True, ["t/9: not found"])
    [gate] = [gate for gate in curated.passage_gates({}) if gate.name == "eval_canaries_found"]
    assert "nothing to find" in run_gate(gate, passage())[0].why


def test_the_miss_rate_is_counted_at_the_profiles_threshold():
    scored = {"toxicity_backend": "detoxify", "scored_because": "sample"}
    rows = make.decisions(make.screened(A, toxicity=0.4, **scored), make.screened(B, toxicity=0.1, **scored))
    assert screened.summary(rows)["miss_rate"].startswith("0 of 2 ")  # 0.4 < 0.5, the released bound
    assert screened.summary(rows, ScreeningSettings(toxicity_review=0.3))["miss_rate"].startswith("1 of 2 ")


def test_summaries_count_what_a_person_looks_for():
    assert corpora.summary(WORKS)["works"] == 1
    assert corpora.summary(WORKS)["rejected"] == 1
    assert chunks.summary(SPANS)["tokens"] == 4
    assert chunks.summary(SPANS.clear())["weather_relevance_mean"] == 0.0
    counted = screened.summary(decision("review", "profanity"))
    assert (counted["keep"], counted["review"], counted["reject"]) == (0, 1, 1)


# release


@pytest.mark.parametrize(
    ("difference", "passes"),
    [
        (2e-5, True),
        (1.02e-4, True),
        (0.45, False),
        (float("nan"), False),
    ],  # rounding, rounding, a wrong merge, no number
)
def test_a_bundle_may_differ_from_its_merged_copy_by_rounding_only(difference, passes):
    found = release.loads(pl.DataFrame({"merge_difference": [difference]}))
    assert found.passed is passes


def test_a_story_that_names_project_gutenberg_blocks_no_source_but_the_books():
    names = {source: {gate.name for gate in corpora.gates(source)} for source in ("gutenberg", "satire", "local")}
    assert [source for source, found in names.items() if "wrapping_is_gone" in found] == ["gutenberg"]


def test_an_export_that_says_something_else_is_not_released():
    rows = {
        "verified": ['["43 files match.", "twain: adapter: says the recorded dialogue."]'],
        "verify_problems": ["[]"],
    }
    assert release.exports_agree(pl.DataFrame(rows)).value == 0
    faults = '["An export does not say what its adapter says.", "twain: merged GGUF loses 100%"]'
    found = release.exports_agree(pl.DataFrame({**rows, "verify_problems": [faults]}))
    assert (found.passed, found.why) == (False, "twain: merged GGUF loses 100%")


def test_a_card_that_claims_more_than_its_scorecard_is_not_released():
    assert release.claims_what_was_measured(pl.DataFrame({"unsupported": ["[]"]})).passed
    found = release.claims_what_was_measured(pl.DataFrame({"unsupported": ['["97"]']}))
    assert (found.passed, found.value, "97" in found.why) == (False, 1, True)
