"""The speaker: many turns at once say what each says alone, and none of them takes more than it may."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import TEXTS, base, small_talk, weather_talk

from resources import speaker as speaker_module
from resources import turns
from resources.language_model import LanguageModel
from resources.prefixes import LEAST, Prefixes
from resources.routing import BASE, RoutedModel, with_system
from resources.speaker import AT_ONCE, Bounds, Sampling, Speaker, draw
from resources.turns import Written
from tests.examples import examples
from training import engine, record
from training.base_model import describe
from training.config import CONFIGS, load_recipe
from training.decoding import Batch, Memory, greedy, read
from training.render import tokenizer_of
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import Busy, TooLong, TwainBotError, UnknownName

TALKS = [
    weather_talk("Reno")[:1], small_talk(1)[:1], weather_talk("Hannibal")[:3],
    [{"role": "user", "content": "Hello. " * 20}],
]  # fmt: skip


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Two random adapters, large enough to change what the model says."""
    made = {}
    recipe = load_recipe(CONFIGS / "tiny" / "default.yaml")
    info = describe(base())
    for seed, name in enumerate(("twain", "franklin")):
        folder = tmp_path_factory.mktemp(name)
        model = engine.with_adapter(engine.load_base(base(), recipe.sft, 1), recipe.lora, recipe.sft, None)
        torch.manual_seed(seed)
        with torch.no_grad():
            for part, weight in model.named_parameters():
                if "lora_B" in part:
                    weight.normal_(0, 0.5)
        record.publish(model, folder, {"base": info.name, "base_revision": info.revision})
        made[name] = folder / "adapter"
    return made


@pytest.fixture(scope="module")
def plain():
    return LanguageModel.load(base())


@pytest.fixture(scope="module")
def routed(adapters):
    return RoutedModel.load(base(), adapters)


@pytest.fixture
def speaker(plain):
    with Speaker(plain, [BASE], adapters=False) as opened:
        yield opened


def spoken(speaker, talks, **how):
    """Each talk's turn, all asked at once."""
    return ["".join(turn) for turn in [speaker.stream(talk, TOOLS, **how) for talk in talks]]


def test_turns_asked_for_at_once_are_those_that_generate_gives(speaker, plain):
    assert spoken(speaker, TALKS, max_new_tokens=12) == plain.generate(TALKS, TOOLS, max_new_tokens=12)


def test_two_personas_at_once_say_what_each_says_alone(routed, adapters):
    alone = {
        name: LanguageModel.load(base(), folder).generate(
            [with_system(talk, name) for talk in TALKS], TOOLS, max_new_tokens=8
        )
        for name, folder in {**adapters, BASE: None}.items()
    }
    with Speaker(routed.model, routed.personas) as speaker:
        for _ in range(2):  # the second time out of what is remembered
            asked = [
                (name, speaker.stream(talk, TOOLS, persona=name, max_new_tokens=8))
                for talk in TALKS
                for name in (*adapters, BASE)
            ]
            said = {name: ["".join(turn) for who, turn in asked if who == name] for name in (*adapters, BASE)}
            assert said == alone
    assert alone["twain"] != alone["franklin"]


def test_nobody_and_auto_are_the_first_persona_where_there_is_no_router(routed):
    with Speaker(routed.model, routed.personas) as speaker:
        assert speaker.stream(TALKS[0], max_new_tokens=1).persona == "twain"
        assert speaker.stream(TALKS[0], persona="auto", max_new_tokens=1).persona == "twain"
        with pytest.raises(UnknownName, match="franklin, __base__"):
            speaker.stream(TALKS[0], persona="bierce")


def test_an_only_adapter_that_is_merged_speaks_as_the_one_beside_its_base(adapters):
    only = {"twain": adapters["twain"]}
    with Speaker.load(base(), only) as apart, Speaker.load(base(), only, merged=True) as merged:
        assert spoken(apart, TALKS, max_new_tokens=8) == spoken(merged, TALKS, max_new_tokens=8)
        assert (apart.voices, merged.voices) == (("twain", BASE), ("twain",))


def test_a_conversations_earlier_turns_are_not_read_again(speaker, plain):
    talk = [{"role": "user", "content": " ".join(TEXTS)}]
    first = speaker.stream(talk, TOOLS, max_new_tokens=6)
    said = "".join(first)
    talk += [{"role": "assistant", "content": said}, {"role": "user", "content": "And then?"}]
    second = speaker.stream(talk, TOOLS, max_new_tokens=6)
    assert "".join(second) == plain.generate([talk], TOOLS, max_new_tokens=6)[0]
    assert first.progress.known_tokens == 0
    assert second.progress.known_tokens >= first.progress.prompt_tokens - 1


def test_a_long_prompt_is_read_in_parts_and_says_the_same(plain):
    talk = [{"role": "user", "content": "The river was high. " * 150}]
    with Speaker(plain, [BASE], adapters=False) as speaker:
        turn = speaker.stream(talk, max_new_tokens=5)
        assert turn.progress.prompt_tokens > AT_ONCE
        assert "".join(turn) == plain.generate([talk], max_new_tokens=5)[0]


def test_a_prompt_that_fills_the_window_is_refused_with_its_length(plain):
    with Speaker(plain, [BASE], adapters=False) as speaker:
        words = [{"role": "user", "content": "river " * (speaker.window + 1)}]
        with pytest.raises(TooLong, match=rf"window of {speaker.window} must leave room"):
            speaker.stream(words)


def test_a_turn_ends_at_the_windows_end(plain, monkeypatch):
    with Speaker(plain, [BASE], adapters=False) as speaker:
        speaker.window = len(speaker.prompt_ids(TALKS[0], None, BASE)) + 3
        turn = speaker.stream(TALKS[0], max_new_tokens=50)
        list(turn)
        assert (turn.progress.new_tokens, turn.finish) == (3, turns.LENGTH)


def test_the_queue_is_bounded_and_says_so(plain):
    with Speaker(plain, [BASE], adapters=False, bounds=Bounds(running=1, waiting=2)) as speaker:
        held = speaker._changed
        with held:  # the worker can take nothing while the test holds its lock
            kept = [speaker.stream(TALKS[0], max_new_tokens=2) for _ in range(2)]
            with pytest.raises(Busy, match="2 requests wait"):
                speaker.stream(TALKS[0])
        assert ["".join(turn) for turn in kept] == plain.generate([TALKS[0]] * 2, max_new_tokens=2)


def test_those_who_hung_up_while_they_waited_keep_no_place_from_others(plain):
    with Speaker(plain, [BASE], adapters=False, bounds=Bounds(running=1, waiting=3)) as speaker:
        with speaker._changed:  # the worker can take nothing while the test holds its lock
            first = speaker.stream(TALKS[0], max_new_tokens=2)
            gone = [speaker.stream(TALKS[0], max_new_tokens=2) for _ in range(2)]
            for turn in gone:
                turn.close()
            assert speaker.load_now()["waiting"] == 1
            late = [speaker.stream(TALKS[0], max_new_tokens=2) for _ in range(2)]
            with pytest.raises(Busy, match="3 requests wait"):
                speaker.stream(TALKS[0])
        assert ["".join(turn) for turn in (first, *late)] == plain.generate([TALKS[0]] * 3, max_new_tokens=2)
    assert [turn.finish for turn in gone] == [turns.CANCELLED] * 2


def test_rows_and_memory_stay_within_their_bounds(plain):
    bounds = Bounds(running=3, waiting=40, memory_mib=1)
    seen = []
    with Speaker(plain, [BASE], adapters=False, bounds=bounds) as speaker:
        talks = [[{"role": "user", "content": f"{n} {text}"}] for n in range(10) for text in TEXTS]
        asked = [speaker.stream(talk, max_new_tokens=6) for talk in talks]
        done = threading.Event()

        def watch():
            while not done.is_set():
                seen.append(speaker.load_now())
                time.sleep(0.001)

        watcher = threading.Thread(target=watch)
        watcher.start()
        texts = ["".join(turn) for turn in asked]
        done.set()
        watcher.join()
    assert len(texts) == 30
    assert max(one["running"] for one in seen) <= 3
    assert max(one["held_bytes"] for one in seen) <= 2**20
    assert max(one["remembered_bytes"] for one in seen) <= 2**18


def test_a_listener_that_goes_away_frees_its_place(plain):
    with Speaker(plain, [BASE], adapters=False, bounds=Bounds(running=1, waiting=4)) as speaker:
        first = speaker.stream(TALKS[1], max_new_tokens=100_000)
        dropped = speaker.stream(TALKS[1], max_new_tokens=100_000)
        next(first)
        first.close()
        del dropped
        assert "".join(speaker.stream(TALKS[0], max_new_tokens=3)) == plain.generate([TALKS[0]], max_new_tokens=3)[0]
        assert list(first) == []


def test_an_error_ends_the_turns_that_it_hit_and_no_others(plain, monkeypatch):
    with Speaker(plain, [BASE], adapters=False) as speaker:
        with monkeypatch.context() as broken:
            broken.setattr(Batch, "join", lambda *_: 1 / 0)
            with pytest.raises(Exception, match="ZeroDivisionError"):
                list(speaker.stream(TALKS[0], max_new_tokens=3))
        assert "".join(speaker.stream(TALKS[0], max_new_tokens=3)) == plain.generate([TALKS[0]], max_new_tokens=3)[0]


def test_closing_ends_waiting_turns_with_an_error(plain):
    speaker = Speaker(plain, [BASE], adapters=False)
    turn = speaker.stream(TALKS[1], max_new_tokens=100_000)
    speaker.close()
    with pytest.raises(Busy, match="closed"):
        list(turn)
    with pytest.raises(Busy, match="closed"):
        speaker.stream(TALKS[1])


def test_a_seed_draws_the_same_turn_again_and_another_seed_another(speaker):
    def drawn(seed):
        return "".join(speaker.stream(TALKS[0], max_new_tokens=12, sampling=Sampling(1.0, 0.9, seed)))

    assert drawn(7) == drawn(7)
    assert len({drawn(seed) for seed in range(4)}) > 1


def test_drawing_from_almost_nothing_is_the_likeliest(speaker):
    greedy_turn = "".join(speaker.stream(TALKS[0], max_new_tokens=8))
    assert "".join(speaker.stream(TALKS[0], max_new_tokens=8, sampling=Sampling(1.0, 1e-9, 1))) == greedy_turn


@pytest.mark.parametrize("sampling", [Sampling(1.0, 1e-300, 1), Sampling(1e-40, 1.0, 1), Sampling(1e-300, 1e-300, 1)])
def test_settings_that_no_float_holds_are_the_likeliest_and_end_no_turn(speaker, sampling):
    other = speaker.stream(TALKS[1], max_new_tokens=8)
    greedy_turn = "".join(speaker.stream(TALKS[0], max_new_tokens=8))
    assert "".join(speaker.stream(TALKS[0], max_new_tokens=8, sampling=sampling)) == greedy_turn
    assert len(list(other)) > 0


@given(
    st.floats(0, 2), st.floats(0, 1, exclude_min=True), st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=9)
)
@settings(max_examples=examples(200))
def test_whatever_the_settings_a_token_is_drawn(temperature, top_p, logits):
    sampling = Sampling(temperature, top_p, 3)
    generator = sampling.generator()
    if generator is not None:
        assert 0 <= draw(torch.tensor(logits), sampling, generator) < len(logits)


def test_a_seeds_draws_stay_what_they_were():
    """Written down by what drew before the likeliest was kept at any top_p: 3 temperatures x 3 shares, 8 draws each."""
    logits = torch.linspace(-3, 3, 12).sin() * 4
    drawn = []
    for temperature in (0.3, 1.0, 2.0):
        for top_p in (0.5, 0.9, 1.0):
            sampling = Sampling(temperature, top_p, 7)
            generator = sampling.generator()
            drawn.append("".join(f"{draw(logits, sampling, generator):x}" for _ in range(8)))
    assert drawn == DRAWN


DRAWN = [
    "88888888", "89998988", "89997988", "89998998", "89997998", "89997998", "89998998", "89697998", "89697998",
]  # fmt: skip


def test_a_row_that_cannot_be_drawn_ends_no_other(plain, monkeypatch):
    drawing = speaker_module.draw

    def faulty(logits, sampling, generator):
        if sampling.seed == 13:
            raise RuntimeError("invalid multinomial distribution")
        return drawing(logits, sampling, generator)

    monkeypatch.setattr(speaker_module, "draw", faulty)
    with Speaker(plain, [BASE], adapters=False) as speaker:
        with speaker._changed:  # so that both join in one step
            good = speaker.stream(TALKS[0], max_new_tokens=6)
            bad = speaker.stream(TALKS[0], max_new_tokens=6, sampling=Sampling(1.0, 1.0, 13))
        with pytest.raises(TwainBotError, match="multinomial"):
            list(bad)
        assert "".join(good) == plain.generate([TALKS[0]], TOOLS[:0], max_new_tokens=6)[0]


# ---- text in pieces


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=3), max_size=3))
@settings(max_examples=examples(60))
def test_pieces_together_are_the_text_up_to_the_first_stop_text(text, stop):
    tokenizer = tokenizer_of(base())
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    written = Written(tokenizer, stop)
    told = []
    for token in ids:
        told.append(written.add(token))
        if written.stopped:
            break
    told.append(written.rest())
    ends = [place for word in stop if (place := whole.find(word)) >= 0]
    assert "".join(told) == whole[: min(ends, default=len(whole))]


def test_no_piece_holds_half_a_character():
    tokenizer = tokenizer_of(base())
    ids = tokenizer.encode("Ça, 😀 и 雨", add_special_tokens=False).ids
    written = Written(tokenizer)
    pieces = [written.add(token) for token in ids]
    assert len(ids) > len("Ça, 😀 и 雨")  # characters of several tokens
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) == "Ça, 😀 и 雨"


def test_bytes_that_never_become_a_character_are_told_at_the_end():
    tokenizer = tokenizer_of(base())
    ids = tokenizer.encode("a😀", add_special_tokens=False).ids[:-1]
    written = Written(tokenizer)
    assert "".join(map(written.add, ids)) == "a"
    assert written.rest() == tokenizer.decode(ids)[1:]


# ---- what is remembered


def memory(*ids, layers=1):
    part = torch.zeros(1, 1, len(ids), 4)
    return Memory(ids, ((part, part),) * layers)


def test_the_longest_common_beginning_is_found_and_one_token_is_left_to_read():
    kept = Prefixes(10**6)
    kept.keep("a", memory(*range(20)))
    kept.keep("b", memory(*range(40)))
    assert kept.find("a", range(30)).ids == tuple(range(20))
    assert kept.find("a", range(18)).ids == tuple(range(17))
    assert kept.find("a", [*range(LEAST - 1), 99, 100]) is None
    assert kept.find("c", range(30)) is None


def test_a_longer_memory_takes_the_place_of_its_beginning_and_the_oldest_goes_first():
    size = memory(*range(20)).bytes
    kept = Prefixes(3 * size)
    kept.keep("a", memory(*range(16)))
    kept.keep("a", memory(*range(20)))
    assert (len(kept), kept.bytes) == (1, size)
    for start in (100, 200, 300):
        kept.keep("a", memory(*range(start, start + 20)))
    assert kept.bytes <= 3 * size
    assert kept.find("a", range(30)) is None
    assert kept.find("a", range(300, 330)) is not None
    kept.keep("a", memory(*range(1000)))
    assert kept.find("a", range(1001)) is None  # larger than all that may be kept


# ---- rows join and leave


def test_rows_that_join_at_different_steps_say_what_they_say_alone(plain):
    rows = [plain._ids(text) for text in TEXTS]
    alone = greedy(plain.model, rows, eos_id=-1, max_new_tokens=8, batch_size=1)
    batch, told = Batch(plain.model, 2), [[] for _ in rows]
    start = read(plain.model, rows[2][:5])
    joins = {0: (0, rows[0], None), 2: (1, rows[1], None), 3: (2, rows[2][5:], start)}
    live = []
    for step in range(12):
        if step in joins:
            number, tail, known = joins[step]
            batch.join([tail], [known])
            live.append(number)
        chosen = batch.logits.argmax(-1).tolist()
        for place, number in enumerate(live):
            told[number].append(chosen[place])
        going = [place for place, number in enumerate(live) if len(told[number]) < 8]
        batch.keep(going)
        live = [live[place] for place in going]
        if not live:
            break
        batch.step([chosen[place] for place in going])
    assert told == alone


def test_columns_that_are_padding_everywhere_are_given_back(plain):
    batch = Batch(plain.model, 2)
    batch.join([[5] * 30, [6] * 4], [None, None])
    assert batch.columns == 30
    batch.keep([1])
    assert batch.columns == 4
    batch.keep([])
    assert (len(batch), batch.columns) == (0, 0)
