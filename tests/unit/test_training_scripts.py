"""The three stage scripts on two random layers: one adapter through all of them, and refusals before any training."""

from __future__ import annotations

import json
import math

import polars as pl
import pytest
import yaml
from tiny_training import base, small_talk, weather_talk, write_data

from training import command, dapt, engine, preference, preflight, record, rows, sft
from training.command import Arguments
from training.config import CONFIGS, Stage, load_recipe
from training.render import IGNORED, load_template, tokenizer_of
from training.rows import Loaded, PairRow, TokenRow
from twainbot.errors import BadInput, TwainBotError

pytestmark = pytest.mark.slow

TINY = CONFIGS / "tiny" / "default.yaml"
SCRIPTS = {"dapt": dapt, "sft": sft, "preference": preference}
PAD = 2


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def recipe_with(folder, **sections):
    """The tiny recipe with values of some sections changed."""
    raw = yaml.safe_load(TINY.read_text())
    for section, values in sections.items():
        raw[section].update(values)
    path = folder / "tiny" / "changed.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All three stages, one after another: folder of outputs and records by stage."""
    folder = tmp_path_factory.mktemp("trained")
    write_data(folder / "data")
    records, start = {}, None
    for stage, script in SCRIPTS.items():
        records[stage] = script.main(Arguments(TINY, folder / "data", base(), folder / stage, start), quiet)
        start = folder / stage / "adapter"
    return folder, records


def test_every_stage_lowers_its_validation_loss(trained):
    for done in trained[1].values():
        assert done["metrics"]["validation_loss_after"] < done["metrics"]["validation_loss_before"]


def test_the_first_preference_loss_is_ln_two(trained):
    # policy and reference are the same adapter at the first step, so every margin is 0 and -log sigmoid(0) = ln 2
    assert trained[1]["preference"]["loss_curve"][0]["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_each_stage_starts_from_the_adapter_before_it(trained):
    _, done = trained
    assert done["dapt"]["init_adapter_sha256"] is None
    assert done["sft"]["init_adapter_sha256"] == done["dapt"]["adapter_sha256"]
    assert done["preference"]["init_adapter_sha256"] == done["sft"]["adapter_sha256"]


def test_an_out_folder_holds_adapter_and_record_and_nothing_else(trained):
    folder, done = trained
    for stage in SCRIPTS:
        assert sorted(path.name for path in (folder / stage).iterdir()) == ["adapter", "record.json"]
        assert record.read(folder / stage) == done[stage]


def test_perplexity_is_exp_of_the_loss(trained):
    metrics = trained[1]["dapt"]["metrics"]
    assert metrics["validation_perplexity_after"] == pytest.approx(math.exp(metrics["validation_loss_after"]))


def test_what_earlier_stages_taught_is_measured_again_after_each_stage(trained):
    _, done = trained
    kept = {
        stage: sorted(name for name in done[stage]["metrics"] if name.startswith(("dapt", "sft"))) for stage in done
    }
    assert kept == {
        "dapt": [],
        "sft": ["dapt_validation_loss_after"],
        "preference": ["dapt_validation_loss_after", "sft_validation_loss_after"],
    }
    # two random layers forget nothing they never knew: the loss stays near the one that dapt ended with
    after = done["sft"]["metrics"]["dapt_validation_loss_after"]
    assert after == pytest.approx(done["dapt"]["metrics"]["validation_loss_after"], rel=0.05)


@pytest.mark.slow
def test_training_again_gives_the_same_weights(trained, tmp_path):
    folder, done = trained
    again = dapt.main(Arguments(TINY, folder / "data", base(), tmp_path), quiet)
    assert again["adapter_sha256"] == done["dapt"]["adapter_sha256"]
    assert again["fingerprint"] == done["dapt"]["fingerprint"]


# what the scripts refuse


def refusal(script, tmp_path, recipe=TINY) -> str:
    """The sentence with which a stage refuses to train."""
    with pytest.raises(BadInput) as caught:
        script.main(Arguments(recipe, tmp_path / "data", base(), tmp_path / "out"), quiet)
    assert not (tmp_path / "out" / "adapter").exists()
    return str(caught.value)


def test_too_few_optimizer_steps_are_refused_with_the_numbers(tmp_path):
    write_data(tmp_path / "data")
    recipe = recipe_with(tmp_path, sft={"max_steps": None, "effective_batch": 128, "minimum_steps": 8})
    found = refusal(sft, tmp_path, recipe)
    assert "give 1 optimizer steps, and minimum_steps=8" in found


def test_dialogues_too_long_for_a_row_are_counted_and_named(tmp_path):
    write_data(tmp_path / "data")
    recipe = recipe_with(tmp_path, sft={"sequence_length": 16, "truncation_limit": 0.0})
    assert "19 of 19 train samples are longer than sequence_length=16" in refusal(sft, tmp_path, recipe)


def test_dialogues_without_an_assistant_turn_are_refused(tmp_path):
    table = pl.read_parquet(write_data(tmp_path / "data") / "sft.parquet")
    silent = json.dumps([{"role": "user", "content": "Anybody there?"}])
    table.with_columns(messages=pl.lit(silent)).write_parquet(tmp_path / "data" / "sft.parquet")
    assert "no token to learn from" in refusal(sft, tmp_path)


def test_a_null_argument_is_refused_with_its_sample(tmp_path):
    table = pl.read_parquet(write_data(tmp_path / "data") / "sft.parquet")
    leaked = weather_talk("Reno")
    leaked[1]["tool_calls"][0]["function"]["arguments"]["unit"] = None
    table.with_columns(messages=pl.lit(json.dumps(leaked))).write_parquet(tmp_path / "data" / "sft.parquet")
    found = refusal(sft, tmp_path)
    assert "null argument" in found
    assert "'d" in found


def test_an_empty_validation_split_is_refused(tmp_path):
    table = pl.read_parquet(write_data(tmp_path / "data") / "dapt.parquet")
    table.with_columns(split=pl.lit("train")).write_parquet(tmp_path / "data" / "dapt.parquet")
    assert "validation split has no usable row" in refusal(dapt, tmp_path)


def test_warm_up_that_outlasts_the_run_is_refused(tmp_path):
    write_data(tmp_path / "data")
    recipe = recipe_with(tmp_path, preference={"max_steps": None, "warmup_steps": 50})
    assert "warmup_steps=50 never ends within the" in refusal(preference, tmp_path, recipe)


def test_a_missing_table_and_a_missing_column_name_the_repair(tmp_path):
    (tmp_path / "data").mkdir()
    assert "Materialize splits/" in refusal(sft, tmp_path)
    pl.DataFrame({"sample_id": ["a"]}).write_parquet(tmp_path / "data" / "sft.parquet")
    assert "lacks the columns" in refusal(sft, tmp_path)


def test_an_untrained_end_of_turn_is_refused():
    row = TokenRow([5, 6, PAD], [IGNORED, 6, IGNORED])
    with pytest.raises(BadInput, match="1 of 2 rows never train the end-of-turn token 2"):
        preflight.check_end_of_turn([TokenRow([5, PAD], [IGNORED, PAD]), row], PAD)


# rows


def dialogue_table(calls: int, plain: int) -> pl.DataFrame:
    talks = [weather_talk("Reno")] * calls + [small_talk(1)] * plain
    names = [f"s{number:03d}" for number in range(len(talks))]
    return pl.DataFrame({"sample_id": names, "messages": [json.dumps(talk) for talk in talks]})


@pytest.mark.parametrize(
    ("calls", "plain", "limit", "share", "expected"),
    [
        (60, 10, None, 0.2, (40, 10)),  # all 10 plain ones at a fifth: 50 rows
        (60, 10, 20, 0.2, (16, 4)),
        (10, 60, None, 0.5, (10, 10)),
        (10, 60, None, None, (10, 60)),
        (10, 60, None, 1.0, (0, 60)),
    ],
)
def test_the_share_of_dialogues_without_a_call_is_met_by_leaving_out(calls, plain, limit, share, expected):
    chosen = rows.choose_dialogues(dialogue_table(calls, plain), 1, limit, share)
    with_call = chosen["messages"].str.contains("tool_calls").sum()
    assert (with_call, chosen.height - with_call) == expected
    assert chosen["sample_id"].is_unique().all()


def test_a_draw_depends_on_the_seed_and_not_on_the_order_of_the_rows():
    table = dialogue_table(10, 10)
    assert rows.draw(table, 1).equals(rows.draw(table.reverse(), 1))
    assert not rows.draw(table, 1).equals(rows.draw(table, 2))


def test_a_long_passage_becomes_several_rows_and_loses_no_token():
    tokenizer = tokenizer_of(base())
    text = "The river was high and the pilot was low. " * 10
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    found = rows.passages(pl.DataFrame({"text": [text]}), tokenizer, 50).rows
    assert [token for row in found for token in row.ids] == ids
    assert max(len(row.ids) for row in found) == 50


def test_a_reply_that_is_a_call_is_written_as_the_template_writes_calls():
    reply = (
        '<tool_call>\n{"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "today"}}\n</tool_call>'
    )
    table = pl.DataFrame(
        {
            "sample_id": ["f1"],
            "prompt": [json.dumps([{"role": "user", "content": "Rain in Reno today?"}])],
            "chosen": [reply],
            "rejected": ["It will rain."],
        }
    )
    tokenizer = tokenizer_of(base())
    pair: PairRow = rows.pairs(table, tokenizer, load_template("smollm2"), 2000).rows[0]
    trained = [label for label in pair.chosen.labels if label != IGNORED]
    said = tokenizer.decode(trained, skip_special_tokens=False)
    assert said == reply.replace("\n", "") + "<|im_end|>"
    prompt = pair.chosen.labels.index(trained[0])
    assert pair.chosen.ids[:prompt] == pair.rejected.ids[:prompt]


# preference loss


LONG = TokenRow([5, 6, 7, 8, 9, PAD], [IGNORED, IGNORED, 7, 8, 9, PAD])
SHORT = TokenRow([5, 6, 4, PAD], [IGNORED, IGNORED, 4, PAD])


def test_a_folded_pair_holds_the_prompt_once_and_its_last_token_twice():
    folded = preference.fold(PairRow(LONG, SHORT))
    assert folded.ids == [5, 6, 7, 8, 9, PAD, 6, 4, PAD]
    assert folded.positions == [0, 1, 2, 3, 4, 5, 1, 2, 3]
    assert folded.segments == [0, 1, 1, 1, 1, 1, 2, 2, 2]
    assert folded.labels == [IGNORED, IGNORED, 7, 8, 9, PAD, IGNORED, 4, PAD]


def test_replies_that_begin_alike_keep_their_own_labels():
    alike = preference.fold(PairRow(LONG, TokenRow([5, 6, 7, PAD], [IGNORED, IGNORED, 7, PAD])))
    assert alike.trained == 4 + 2  # the common first word 7 is trained in both


def test_folded_replies_have_the_log_probabilities_that_they_have_alone():
    recipe = load_recipe(TINY)
    model = engine.with_adapter(engine.load_base(base(), recipe.preference, 1), recipe.lora, recipe.preference, None)
    pairs = [preference.fold(PairRow(LONG, SHORT)), preference.fold(PairRow(SHORT, LONG))]
    first, second = preference.with_reference(model, pairs, PAD)
    alone = [-engine.evaluate(model, [[row]], PAD)[0] for row in (LONG, SHORT)]
    assert first.reference == pytest.approx(alone, rel=1e-5)
    assert second.reference == pytest.approx(alone[::-1], rel=1e-5)
    wide = preference.fold(PairRow(TokenRow([5, 6] * 9 + [PAD], [IGNORED] * 9 + [6, 5] * 4 + [6, PAD]), SHORT))
    batch = preference.collate([first, second, wide], PAD)  # padded to the widest, so padding must count for no reply
    logps, counts = preference.reply_logps(model, batch)
    assert (logps - batch["reference"])[:2].abs().max() < 1e-4  # times beta 0.1 in the margin: 1e-5
    assert counts[:2].tolist() == [[4, 2], [2, 4]]


# the door


def test_a_bad_command_line_exits_with_two(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.parse("sft", ["recipe.yaml"])
    assert stopped.value.code == 2
    assert "--data" in capsys.readouterr().err


def test_a_refusal_exits_with_one_and_leaves_its_sentence_for_whoever_waits(tmp_path, capsys):
    arguments = Arguments(TINY, tmp_path / "nowhere", base(), tmp_path / "out")
    assert command.run(sft.main, arguments) == 1
    failure = json.loads((tmp_path / "out" / command.FAILURE).read_text())
    assert failure["error"] == "BadInput"
    assert failure["text"] in capsys.readouterr().err


def test_a_bad_recipe_exits_with_two_and_a_later_success_clears_the_failure(tmp_path):
    data = write_data(tmp_path / "data")
    assert command.run(dapt.main, Arguments(tmp_path / "no.yaml", data, base(), tmp_path / "out")) == 2
    assert command.run(dapt.main, Arguments(TINY, data, base(), tmp_path / "out")) == 0
    assert not (tmp_path / "out" / command.FAILURE).exists()


def test_an_error_nobody_raised_on_purpose_is_not_swallowed(tmp_path):
    def broken(_arguments, _report):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command.run(broken, Arguments(TINY, tmp_path, base(), tmp_path / "out"))
    assert not issubclass(ZeroDivisionError, TwainBotError)


def test_a_plan_with_nothing_left_out_passes():
    stage = Stage(
        learning_rate=1e-3, sequence_length=16, micro_batch=1, effective_batch=1, checkpoint_steps=1, minimum_steps=1
    )
    row = TokenRow([5, 6, PAD], [IGNORED, 6, PAD])
    loaded = Loaded([row])
    planned = preflight.plan(stage, loaded, loaded.rows, 1)
    assert (planned.tokens, planned.trained_tokens, planned.steps) == (3, 2, 1)
    preflight.check(planned, stage, loaded)
