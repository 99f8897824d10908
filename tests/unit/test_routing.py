"""Routing: prompts that ask for somebody reach him, prompts that ask for nobody the default, and adapters do not mix."""

from __future__ import annotations

import json
from functools import cache

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from sklearn.feature_extraction.text import TfidfVectorizer
from tiny_training import base

from resources.language_model import LanguageModel
from resources.routing import BASE, RoutedModel, main, with_system
from training import attention, record
from training.base_model import describe
from twainbot.dialogues import prompts, routing, seeds, talk, transfer
from twainbot.dialogues.routing import Example
from twainbot.errors import BadInput, UnknownName
from twainbot.splits.export import sft_rows

JOKES = [
    f'A {who} asked the {whom} what time it was. "Now," said the man, "and I have {count} clocks that will be late."'
    for count, (who, whom) in enumerate(
        [("farmer", "parson"), ("pilot", "mate"), ("baker", "judge"), ("clerk", "miller"), ("tailor", "barber"),
         ("sexton", "mayor"), ("cook", "captain"), ("grocer", "banker")], 3
    )
]  # fmt: skip
LINES = [
    f"A {thing} is always very {state} on a day when nothing and nobody needs it now."
    for thing, state in [("ladder", "short"), ("candle", "bright"), ("kettle", "quick"), ("fence", "sound"),
                         ("ferry", "prompt"), ("saddle", "soft"), ("lantern", "clean"), ("bellows", "stout")]
]  # fmt: skip
STATEMENTS = [
    f"Fog near the {place} will be gone by noon, with a very light wind expected around sunset."
    for place in ("river", "coast", "ridge", "canal", "valley", "lakes", "delta", "plain")
]
# Phrasings that no grammar here writes.
ASKED = {
    "franklin": ["Answer as Ben Franklin would: is it worth saving a penny?",
                 "Speak like Benjamin Franklin and tell me about kites.",
                 "Let Franklin have this one: my neighbour borrows tools.", "A word of thrift from Benjamin Franklin.",
                 "In Benjamin Franklin's voice, please: why does it thunder?"],
    "satirist": ["Report this as a deadpan newspaper would: it rained on the parade.",
                 "As a newspaper satirist, comment on the town council.", "Tell it as a satirical newspaper would.",
                 "Write it up like a satirist: man buys umbrella.", "I would like the satirist's view of Monday."],
    "twain": ["How would Mark Twain describe this mud?", "Tell me a river story like Mark Twain.",
              "Say this as Twain would: the coffee is cold.", "Will it rain in Duluth on Friday?",
              "Why is the sky blue?", "How windy will it be in Oslo tomorrow?"],
}  # fmt: skip


@cache
def dialogues() -> pl.DataFrame:
    """Rows of records.SFT_ROW that the grammars write, a fifth of them held out."""
    pieces = [("joke", JOKES), ("franklin", LINES), ("weather_fact", STATEMENTS)]
    passages = pl.DataFrame(
        [
            {"chunk_id": f"{style}:{number}-9", "style": style, "text": text}
            for style, texts in pieces
            for number, text in enumerate(texts)
        ]
    )
    even = {"twain": 1.0, "franklin": 1.0, "satirist": 1.0}
    wanted = seeds.DialogueSettings(tool_calls=60, style_transfer=72, contrastive=0, personas=even)
    frozen = pl.concat([seeds.make_seeds(passages, f"b{number}", wanted, 7) for number in range(3)])
    made = pl.concat([talk.tool_calls(frozen), transfer.style_transfer(frozen)])
    names = made["conversation_id"].to_list()
    split = ["test" if number % 5 == 0 else "train" for number in range(len(names))]
    return sft_rows(made, pl.DataFrame({"sample_id": names, "split": split}))


@cache
def router() -> routing.Router:
    return routing.fit(routing.examples(dialogues().filter(pl.col("split") == "train")))


def test_held_out_prompts_that_ask_for_somebody_reach_him_better_than_chance():
    held_out = routing.examples(dialogues().filter(pl.col("split") == "test"))
    judged = routing.judge(router(), [example for example in held_out if example.asks])
    assert judged.n >= 10
    assert judged.accuracy >= 0.9
    assert judged.beats_chance


def test_phrasings_that_no_grammar_writes_reach_the_right_one_better_than_chance():
    judged = routing.judge(router(), [Example(text, name, True) for name, asked in ASKED.items() for text in asked])
    assert judged.n == 16
    assert judged.majority == 6 / 16
    assert judged.beats_chance


def test_prompts_that_ask_for_nobody_go_to_the_default_whoever_happened_to_answer():
    held_out = [e for e in routing.examples(dialogues().filter(pl.col("split") == "test")) if not e.asks]
    assert {example.persona for example in held_out} == {prompts.personas()[0]}
    assert routing.judge(router(), held_out).accuracy >= 0.95


def test_the_prompt_is_the_users_first_turn_and_never_the_system_prompt():
    talk_ = [{"role": "system", "content": "You are Mark Twain."}, {"role": "user", "content": "Well?"},
             {"role": "assistant", "content": "Middling."}, {"role": "user", "content": "And now?"}]  # fmt: skip
    assert routing.first_prompt(talk_) == "Well?"
    assert routing.first_prompt(talk_[:1]) == ""


def test_equal_examples_make_equal_routers():
    again = routing.fit(routing.examples(dialogues().filter(pl.col("split") == "train")))
    asked = [text for texts in ASKED.values() for text in texts]
    assert again.routes(asked) == router().routes(asked)
    assert router().routes([]) == []


def test_a_router_read_back_from_json_chooses_alike_and_what_is_none_is_refused():
    again = routing.Router.from_json(router().to_json())
    asked = [example.prompt for example in routing.examples(dialogues().filter(pl.col("split") == "test"))]
    for first, second in zip(router().routes(asked), again.routes(asked), strict=True):
        assert first.persona == second.persona
        assert first.probability == pytest.approx(second.probability, abs=1e-5)
    assert again.to_json() == router().to_json()
    for text in (
        "",
        "[]",
        "{}",
        '{"form": "twainbot-router-0"}',
        router().to_json().replace('"idf": [', '"idf": [1.0, '),
    ):
        with pytest.raises(BadInput, match="twainbot run --select adapters/router --force"):
            routing.Router.from_json(text)


@given(st.text(st.sampled_from("abçA .,'?\n\t"), max_size=40))
def test_ngrams_are_those_of_scikit_learn_within_word_bounds(text):
    peer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).build_analyzer()
    assert sorted(routing.ngrams_of(text)) == sorted(peer(text))


def test_two_personas_are_chosen_between_and_no_known_letter_gives_the_prior():
    two = routing.fit([Example("ask twain", "twain", True), Example("ask franklin", "franklin", True)])
    assert [route.persona for route in two.routes(["twain!", "franklin!"])] == ["twain", "franklin"]
    assert two.shares("").sum() == pytest.approx(1.0)
    assert two.route("ЖЖЖ") == two.route("")


def test_the_router_is_judged_on_held_out_prompts_and_on_other_words_apart():
    other = [{"prompt": text, "persona": name} for name, asked in ASKED.items() for text in asked]
    text, rows = routing.fitted_and_judged(dialogues(), other)
    assert [row["prompts"] for row in rows] == ["held_out", "other_words"]
    assert (rows[1]["n"], rows[1]["majority"], rows[1]["chance"]) == (16, 6 / 16, 1 / 3)
    assert routing.Router.from_json(text).route(ASKED["franklin"][1]).persona == "franklin"
    with pytest.raises(BadInput, match="No held-out prompt asks"):
        routing.fitted_and_judged(dialogues().filter(pl.col("split") == "train"), [])


def test_one_persona_alone_and_no_prompt_to_judge_on_are_refused():
    with pytest.raises(BadInput, match=r"show twain\. It learns from dialogues that ask for each"):
        routing.fit([Example("Well?", "twain", True)])
    with pytest.raises(BadInput, match="Rematerialize splits/"):
        routing.judge(router(), [])


# adapters


def published(folder, seed: int):
    torch.manual_seed(seed)
    shape = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(attention.load(base(), torch.float32), shape)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    info = describe(base())
    record.publish(model, folder, {"base": info.name, "base_revision": info.revision})
    return folder / "adapter"


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    return {name: published(folder / name, seed) for seed, name in enumerate(("twain", "franklin", "satirist"))}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_in_a_mixed_batch_each_gets_what_its_own_adapter_says_alone(adapters):
    talks = [user("Rain?"), user("Snow today?"), user("Rain?"), user("And the wind?")]
    who = ["twain", "franklin", "satirist", "twain"]
    routed = RoutedModel.load(base(), adapters).generate(talks, personas=who, max_new_tokens=12)
    assert [reply.persona for reply in routed] == who
    for talk_, persona, reply in zip(talks, who, routed, strict=True):
        alone = LanguageModel.load(base(), adapters[persona])
        assert reply.text == alone.generate([with_system(talk_, persona)], max_new_tokens=12)[0]
    assert len({routed[0].text, routed[2].text}) == 2  # one prompt, two voices


def test_without_an_adapter_nothing_is_loaded(tmp_path):
    with pytest.raises(UnknownName, match=r"Give one per persona: twain, franklin, satirist\."):
        RoutedModel.load(tmp_path, {})


def test_the_base_itself_can_be_asked(adapters):
    (reply,) = RoutedModel.load(base(), adapters).generate([user("Rain?")], personas=[BASE], max_new_tokens=8)
    assert reply.text == LanguageModel.load(base()).generate([user("Rain?")], max_new_tokens=8)[0]


def test_the_router_chooses_where_nobody_is_named(adapters):
    model = RoutedModel.load(base(), adapters, router())
    talks = [user(ASKED["franklin"][1]), user(ASKED["satirist"][1]), user("Why is the sky blue?")]
    replies = model.generate(talks, max_new_tokens=2)
    assert [reply.persona for reply in replies] == ["franklin", "satirist", "twain"]


def test_a_persona_without_an_adapter_falls_to_the_first_and_says_so(adapters):
    few = RoutedModel.load(base(), {"twain": adapters["twain"]}, router())
    route = few.route(user(ASKED["franklin"][1]))
    assert (route.persona, route.probability) == ("twain", 0.0)


def test_a_conversation_keeps_its_own_system_prompt():
    own = [{"role": "system", "content": "Be brief."}, *user("Rain?")]
    assert with_system(own, "twain") == own
    assert with_system(user("Rain?"), BASE) == user("Rain?")
    assert with_system(user("Rain?"), "franklin")[0]["content"] == prompts.system_prompt("franklin")


def test_unknown_personas_no_adapters_and_another_bases_adapter_are_refused(adapters, tmp_path):
    model = RoutedModel.load(base(), {"twain": adapters["twain"]})
    with pytest.raises(UnknownName, match=r"'bierce'\. There are: twain, __base__"):
        model.generate([user("Rain?")], personas=["bierce"])
    with pytest.raises(UnknownName, match="one per persona: twain, franklin, satirist"):
        RoutedModel.load(base(), {})
    config = json.loads((adapters["twain"] / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "revision": "seed-9"}))
    (tmp_path / "adapter_model.safetensors").write_bytes((adapters["twain"] / "adapter_model.safetensors").read_bytes())
    with pytest.raises(BadInput, match="at revision seed-9, and the base here"):
        RoutedModel.load(base(), {"twain": tmp_path})


def test_the_command_line_says_who_answers_and_refuses_what_is_no_router(adapters, tmp_path, capsys):
    (tmp_path / "router.json").write_text(router().to_json())
    line = ["--base", str(base()), "--max-new-tokens", "2", "--router", str(tmp_path / "router.json")]
    given = [word for name, folder in adapters.items() for word in ("--adapter", f"{name}={folder}")]
    assert main([*line, *given, ASKED["franklin"][1], "Why is the sky blue?"]) == 0
    assert [text.split(":")[0] for text in capsys.readouterr().out.splitlines()] == ["franklin", "twain"]
    assert main([*line, *given, "--persona", "satirist", "Rain?"]) == 0
    assert capsys.readouterr().out.startswith("satirist: ")
    assert main([*line, *given, "--persona", "bierce", "Rain?"]) == 2
    (tmp_path / "router.json").write_text("{}")
    assert main([*line, *given, "Rain?"]) == 1
    assert main([*line[:4], "--router", str(tmp_path / "none.json"), *given, "Rain?"]) == 1
    assert "cannot be read as a router" in capsys.readouterr().err
