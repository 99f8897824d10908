"""Model and dataset cards: readable front matter, every gate in the table, every limit said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from twainbot.errors import BadInput
from twainbot.evals import verdicts
from twainbot.release import cards

MODEL = cards.ModelFacts(
    name="twainbot-lora",
    version="v0.1",
    base_model="Qwen/Qwen2.5-Coder-1.5B-Instruct",
    base_revision="abc123",
    base_license="Apache-2.0",
    license="apache-2.0",
    persona="A river pilot who reads the forecast before he jokes about it.",
    parents={"data": "d1", "config": "c1"},
    training={"rank": 16, "learning rate": "2e-4"},
    verdicts=[verdicts.copying([3, 5]), verdicts.style([]), verdicts.tool_calls([True] * 40, [False] * 40)],
    limits=["English only."],
    base_note="The base was converted from a Q4_1 file, so its weights approximate the published ones.",
    tags=["persona"],
)
DATA = cards.DatasetFacts(
    name="twainbot-data",
    version="data-v1.0",
    license="cc0-1.0",
    description="Passages and dialogues.",
    sources=[cards.SourceFacts("local", 4, 120, "CC0-1.0", "cc0")],
    splits={"train": {"passage": 900, "dialogue": 80}, "test": {"passage": 110}},
    rejects={"too_short": 3, "near_duplicate": 12},
    parents={"curated": "p1"},
    synthetic="Dialogues by a grammar, prompt hash 77, seed 13.",
    toxicity_backend="not_scored",
    configs={"sft": {"train": "sft/train-*.parquet"}},
    rights=[("local", 4, "CC0-1.0", "cc0", "declared: declared by whoever listed it", "yes")],
)


def front(card):
    head, body = card.split("---\n\n", 1)
    assert head.startswith("---\n")
    return yaml.safe_load(head.removeprefix("---\n")), body


def test_the_model_card_names_base_library_and_licence_for_the_hub():
    head, body = front(cards.model_card(MODEL))
    assert head["base_model"] == "Qwen/Qwen2.5-Coder-1.5B-Instruct"
    assert (head["library_name"], head["license"], head["base_model_relation"]) == ("peft", "apache-2.0", "adapter")
    assert body.startswith("# twainbot-lora v0.1\n")


def test_the_index_holds_only_what_was_measured():
    head, _ = front(cards.model_card(MODEL))
    metrics = head["model-index"][0]["results"][0]["metrics"]
    assert [(m["type"], m["value"]) for m in metrics] == [("copying", 5.0), ("tool_calls", -1.0)]


def test_nothing_measured_gives_no_index():
    head, _ = front(cards.model_card(replace(MODEL, verdicts=[verdicts.style([])])))
    assert "model-index" not in head


def test_gates_that_did_not_pass_stand_in_the_table_and_among_the_limits():
    _, body = front(cards.model_card(MODEL))
    assert "| style | not run | 0 |" in body
    assert "- It fails the gate tool_calls:" in body
    assert "- The gate style is not run, so nothing is claimed for it." in body
    assert "- English only." in body


def test_the_base_note_is_printed_as_given():
    assert "converted from a Q4_1 file" in cards.model_card(MODEL)


def test_a_rehearsal_is_tagged_and_said():
    head, body = front(cards.model_card(replace(MODEL, rehearsal=True)))
    assert "rehearsal" in head["tags"]
    assert "**This is a rehearsal.**" in body
    assert "rehearsal" not in cards.model_card(MODEL)


def test_a_pipe_or_a_newline_does_not_break_a_table():
    card = cards.model_card(replace(MODEL, training={"a|b": "c\nd"}))
    assert "| a\\|b | c d |" in card


@pytest.mark.parametrize("changed", [{"base_revision": ""}, {"parents": {}}, {"parents": {"data": ""}}])
def test_a_model_without_provenance_gets_no_card(changed):
    with pytest.raises(BadInput, match="lacks"):
        cards.model_card(replace(MODEL, **changed))


def test_the_dataset_card_counts_rows_and_sizes():
    head, body = front(cards.dataset_card(DATA))
    # 900 + 80 + 110 = 1,090 rows
    assert head["size_categories"] == ["1K<n<10K"]
    assert head["configs"] == [
        {"config_name": "sft", "data_files": [{"split": "train", "path": "sft/train-*.parquet"}]}
    ]
    assert "| train | 80 | 900 |" in body
    assert "| test | 0 | 110 |" in body


def test_rejects_are_listed_most_first():
    body = cards.dataset_card(DATA)
    assert body.index("near_duplicate | 12") < body.index("too_short | 3")


def test_an_unscored_set_says_so_and_a_scored_one_names_its_backend():
    assert "No toxicity model ran" in cards.dataset_card(DATA)
    assert "scored by detoxify" in cards.dataset_card(replace(DATA, toxicity_backend="detoxify"))


def test_synthetic_text_is_tagged():
    assert "synthetic" in front(cards.dataset_card(DATA))[0]["tags"]
    assert "synthetic" not in front(cards.dataset_card(replace(DATA, synthetic="")))[0]["tags"]


@pytest.mark.parametrize(("rows", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (60_000, "10K<n<100K")])
def test_size_categories_have_the_hubs_edges(rows, size):
    assert front(cards.dataset_card(replace(DATA, splits={"train": {"a": rows}})))[0]["size_categories"] == [size]


def test_the_hub_library_reads_both_cards():
    hub = pytest.importorskip("huggingface_hub")
    model = hub.ModelCard(cards.model_card(MODEL), ignore_metadata_errors=False)
    assert model.data.base_model == MODEL.base_model
    assert len(model.data.eval_results) == 2
    assert hub.DatasetCard(cards.dataset_card(DATA)).data.license == "cc0-1.0"


def test_the_dataset_card_says_whose_word_the_rights_are():
    _, body = front(cards.dataset_card(DATA))
    section = body.split("## Rights of all that was taken\n\n", 1)[1].split("\n\n", 1)[0]
    assert section.splitlines()[2] == "| local | 4 | CC0-1.0 | cc0 | declared: declared by whoever listed it | yes |"
