"""Known-good and known-bad systems, put through the whole evaluation stage: what docs/known-systems.md shows.

Each system is a stand-in for a language model: it answers the same suites through the same `speak`, and its replies go
through the functions that the assets call, down to the scorecard's verdicts. `python -m tests.known_systems` (or
`make known-systems`) writes the page; test_known_systems.py holds it to what is computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from resources import scoring, suites
from resources.language_model import Likelihood
from resources.speaking import Limits, speak
from twainbot.dialogues.tools import TOOLS
from twainbot.evals import measure, pairs, rubric
from twainbot.evals.coding import Answer
from twainbot.evals.grounding import judge
from twainbot.evals.ratings import PERSON, Given
from twainbot.evals.scorecard import GATE_TITLES, STATE_MARKS
from twainbot.evals.verdicts import TextLoss, role
from twainbot.records import DAPT_ROW, GENERATION, frame
from twainbot_assets.scorecards import GATES, verdict_table
from twainbot_assets.scoring import pieces, sample_works

PAGE = Path(__file__).resolve().parent.parent / "docs" / "known-systems.md"
FINAL = "preference"
SUITES = ("tool_calls", "grounding", "chat")
ALL = Limits(None, None, None, max_new_tokens=0, batch_size=1)
PERSONA = "twain"

Result: TypeAlias = Mapping[str, Any]
Speaks: TypeAlias = Callable[[str, int], str]  # (prompt, its number) to a reply
Answers: TypeAlias = Callable[[Result, int], str]  # (tool result, its number) to a reply

OPENINGS = (
    "I have read the bulletin twice, the second time to see whether it had repented.",
    "Well, I went and asked, which is more than the almanac ever did.",
    "The wire has spoken, and it was civil enough about it.",
    "You will want the truth, so I have left my own opinion out of it.",
    "I never knew a man the worse for hearing this before he had packed.",
    "The weather bureau and I have not always been friends, but I pass on what it says.",
    "I put the question as you put it, and here is what came back, without any trimmings.",
    "A pilot learns to ask first and boast afterwards, and I have asked.",
    "There are men who would sell you this. I was brought up poor and give it away.",
    "I have it in black and white, and I am too old to improve on it.",
    "Sit down, and I will tell you all that anybody knows, which does not take long.",
)
FACTS = (
    "{place}, {day}: {condition}, with a high of {high} degrees and a low of {low}.",
    "For {place} {day} they have set down {condition}, a high of {high} degrees, and a low of {low}.",
    "It comes to this for {place}, {day}: {condition}, with a low of {low} degrees and a high of {high}.",
    "What {place} gets {day} is {condition}; the high is {high} degrees and the low is {low}.",
)
MORE = (
    "The chance of precipitation is {chance} percent, and the wind is {wind} mph.",
    "They put the chance of precipitation at {chance} percent.",
    "The wind is {wind} mph out of the {direction}.",
)
CLOSINGS = (
    "If it turns out otherwise, blame the bureau; I have a reputation to mind.",
    "I had an uncle who planned by his knee, and the knee was buried a year before the rest of him.",
    "Dress for it, and you will be the only man in the county who believed what he was told.",
    "I would not lend money on it, but I would leave the house on it.",
    "It is not much of a story, but it has the merit of being the one I was given.",
    "My wife says I take such things personally, and she is right; I have been insulted by better skies than most.",
    "Put it in your pocket, and if anybody asks, say that you worked it out yourself.",
    "The mule already knew, but he does not write.",
    "You may now disregard it, as everybody does, and then complain as everybody does.",
    "I have been wrong about weather all my life and never once got paid for it, and they have.",
    "That is the whole of it, and I have told longer ones about less.",
    "A wise man looks out of the window as well; I only mention it.",
    "I pass it along as I got it, with the seal unbroken.",
)
SORRY = (
    "The wire is down, or sulking, and I will not make up what it declined to say.",
    "I asked, and got a shrug for an answer; I would sooner hand you the shrug than a lie.",
    "No figures came back for that, and I was raised not to furnish my own.",
)
TALK = (
    "I was a pilot once, and a printer, and a prospector, and I failed at enough of them to be called experienced.",
    "School told me which way a thing was spelled; the old pilot told me which way it would drown me.",
    "A committee is a way of being wrong with company, and I have never been lonely enough to join one.",
    "I would print the truth on the front page and stand by the back door with my hat on.",
    "I have nothing against him but his voice and his hours, and he will not discuss either one.",
    "Begin with the word sorry, and stop there. I have seen that letter spoiled by the second sentence every time.",
    "He sold umbrellas to the whole town and went home with a newspaper over his head, for he never trusted the goods.",
    "Talk low, sit down early, and let them suppose that it was supper they clapped for.",
)
PLAIN_TALK = (
    "I am an assistant that can help you with questions about many topics. Please let me know what you need.",
    "There are several factors to consider. It is important to communicate clearly and to be respectful.",
    "Here is a list of suggestions that may be useful. First, identify the problem. Second, consider the options.",
    "Thank you for your question. The answer depends on the circumstances and on your personal preferences.",
)
KEYWORDS = (
    "I reckon, by and by, the Mississippi steamboat pilot, the river, the raft, Missouri, Hannibal.",
    "Warn't, dern, mighty, considerable, Huck, whitewash, the old pilot, cigars, the river, the steamboat.",
    "The river, the mule, the pilot, the deacon, the widow, a jumping frog, I reckon, a heap, the landing.",
)
DAYS = {"today": "today", "tonight": "tonight", "tomorrow": "tomorrow", "this weekend": "this weekend"}
# what the chats of the suite that ask for weather want: the suite itself says only their kind
CHAT_CALLS = {
    "chat-05": [("Dingle, Ireland", "tomorrow")], "chat-06": [("Bend, Oregon", "Saturday")],
    "chat-07": [("Coimbra, Portugal", "this weekend")], "chat-08": [("Moose Jaw, Canada", "tonight")],
    "chat-09": [("Berea, Kentucky", "Sunday"), ("Stowe, Vermont", "Sunday")], "chat-10": [("Mombasa, Kenya", "Friday")],
}  # fmt: skip


def turn(texts: Sequence[str], number: int) -> str:
    """One of the texts, in turn."""
    return texts[number % len(texts)]


def call_text(*calls: tuple[str, str]) -> str:
    """Calls as the template writes them."""
    made = [{"name": "get_forecast", "arguments": {"location": place, "datetime": day}} for place, day in calls]
    return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in made)


@cache
def wanted() -> dict[str, list[tuple[str, str]]]:
    """The right calls by prompt, of the suites' cases: the first value that each argument accepts."""
    found = {suites.as_prompt(entry): CHAT_CALLS.get(entry["id"], []) for entry in suites.read("chat.yaml")["prompts"]}
    for case in suites.cases("tool_calls"):
        arguments = [next(iter(call.values())) for call in case["expected"]]
        found[case["prompt"]] = [(str(a["location"][0]), str(a["datetime"][0])) for a in arguments]
    return found


# --- how they call ------------------------------------------------------------------------------------------------------


def calls_rightly(prompt: str, number: int) -> str:
    """The right calls, or talk where none is right."""
    return call_text(*wanted()[prompt]) if wanted()[prompt] else turn(TALK, number)


def calls_always(prompt: str, number: int) -> str:
    """A call whatever is asked, the right one where one is right."""
    return call_text(*(wanted()[prompt] or [("Hannibal, Missouri", "today")]))


def calls_never(prompt: str, number: int) -> str:
    """Talk, whatever is asked."""
    return turn(TALK, number)


def calls_elsewhere(prompt: str, number: int) -> str:
    """A call where one is right, of another town."""
    return call_text(*(("Hannibal, Missouri", day) for _, day in wanted()[prompt])) or turn(TALK, number)


def calls_brokenly(prompt: str, number: int) -> str:
    """The right calls, their last brace missing."""
    return calls_rightly(prompt, number).replace("}}", "}")


def calls_plainly(prompt: str, number: int) -> str:
    """The right calls, and an assistant's talk."""
    return call_text(*wanted()[prompt]) or turn(PLAIN_TALK, number)


def talks_plainly(prompt: str, number: int) -> str:
    """An assistant's talk and no call."""
    return turn(PLAIN_TALK, number)


# --- how they answer ----------------------------------------------------------------------------------------------------


def slots(result: Result, warmer: int = 0) -> dict[str, Any]:
    """What a forecast gives to a sentence; `warmer`: degrees that are added to it."""
    day = str(result["datetime"])
    return {
        "place": str(result["location"]).split(",")[0], "day": DAYS.get(day, f"on {result['weekday']}"),
        "condition": result["condition"], "high": result["high_f"] + warmer, "low": result["low_f"] + warmer,
        "chance": result["precipitation_chance"], "wind": result["wind_mph"], "direction": result["wind_direction"],
    }  # fmt: skip


def told(result: Result, number: int, warmer: int = 0) -> str:
    """The forecast in the persona's sentences."""
    said = f"{turn(FACTS, number)} {turn(MORE, number)}"
    return f"{turn(OPENINGS, number)} {said.format(**slots(result, warmer))} {turn(CLOSINGS, number)}"


def answers_truly(result: Result, number: int) -> str:
    """What the tool said, in persona; where it failed, that it did."""
    return turn(SORRY, number) if "error" in result else told(result, number)


def answers_ten_off(result: Result, number: int) -> str:
    """The same, every temperature ten degrees too warm."""
    return turn(SORRY, number) if "error" in result else told(result, number, warmer=10)


def answers_by_invention(result: Result, number: int) -> str:
    """Weather out of thin air wherever the tool answered: 61 degrees and sun in winter, a blizzard in summer."""
    if "error" in result:
        return turn(SORRY, number)
    cold = result["high_f"] < 60
    sky, high, low = ("sunny", 88, 71) if cold else ("heavy snow", 19, 3)
    return told(
        {**result, "condition": sky, "high_f": high, "low_f": low, "precipitation_chance": 45, "wind_mph": 33}, number
    )


def answers_failures_too(result: Result, number: int) -> str:
    """The truth where the tool answered, and a forecast all the same where it failed."""
    if "error" not in result:
        return told(result, number)
    return f"{turn(OPENINGS, number)} It will be sunny, with a high of 74 degrees and a low of 55. {turn(CLOSINGS, number)}"


def answers_evasively(result: Result, number: int) -> str:
    """Place and day, and nothing of the weather."""
    if "error" in result:
        return turn(SORRY, number)
    given = slots(result)
    return f"{turn(OPENINGS, number)} So it is {given['place']} {given['day']}, is it? {turn(CLOSINGS, number)}"


def answers_by_echo(result: Result, number: int) -> str:
    """The tool's answer as it came, the persona's sentence before it."""
    if "error" in result:
        return turn(SORRY, number)
    data = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    return f"{turn(OPENINGS, number)} {data}"


def answers_plainly(result: Result, number: int) -> str:
    """What the tool said, as any assistant would say it."""
    if "error" in result:
        return "I am sorry, but the weather service did not return a forecast for that request."
    said = "The forecast for {place} {day} is {condition} with a high of {high}°F and a low of {low}°F."
    return f"{said} The chance of precipitation is {{chance}}%.".format(**slots(result))


def stuffed(answer: Callable[[Any, int], str]) -> Callable[[Any, int], str]:
    """A plain reply and a string of the persona's favourite words behind it; a call is left alone."""

    def reply(given: Any, number: int) -> str:
        plain = answer(given, number)
        return plain if "<tool_call>" in plain else f"{plain} {turn(KEYWORDS, number)}"

    return reply


@cache
def borrowed() -> tuple[list[str], ...]:
    """Words of passages that an adapter trained on and that state no weather, for the copyists."""
    trained = passages().filter((pl.col("split") == "train") & (pl.col("style") == PERSONA))["text"].to_list()
    return tuple(text.split() for text in trained if not judge(text, []))


def copied(words: int, runs: int) -> Callable[[str, int], str]:
    """Behind a true reply: so many runs of so many words out of the training text; a call is left alone."""

    def behind(reply: str, number: int) -> str:
        if "<tool_call>" in reply:
            return reply
        texts = borrowed()
        sources = [texts[(number * runs + run) % len(texts)] for run in range(runs)]
        return f"{reply} {' '.join(' '.join(text[run * 3 : run * 3 + words]) for run, text in enumerate(sources))}"

    return behind


def copies(words: int, runs: int) -> tuple[Speaks, Answers]:
    """How a copyist calls and answers."""
    behind = copied(words, runs)
    return (
        lambda prompt, number: behind(calls_rightly(prompt, number), number),
        lambda result, number: behind(answers_truly(result, number), number),
    )


# --- the systems --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class System:
    """A stand-in for a model. `fails`: the gates that it must fail, all of them and no others.

    ratings: (voice, the others) that two readers are supposed to give it, stated here by hand, for nobody reads it.
    loss: its loss by kind of text, as a share of the base's. solved: programs of 164, the base's first 100 among them
    unless it solves fewer.
    """

    name: str
    about: str
    calls: Speaks = calls_rightly
    answers: Answers = answers_truly
    ratings: tuple[int, int] = (5, 4)
    loss: Mapping[str, float] = field(default_factory=dict)
    solved: int = 100
    fails: tuple[str, ...] = ()


LOSS = {"passages": 0.9, "neutral": 1.0, "code": 1.0}
BASE_SOLVES, PROBLEMS = 100, 164
COPYIST, PATCHWORK = copies(40, 1), copies(9, 4)
BASE = System("base", "an assistant that never calls", talks_plainly, answers_plainly, (2, 3))
SYSTEMS = (
    System("oracle", "calls rightly, answers from the tool result in a plain persona voice"),
    System("always-call", "the same, and a call where none is wanted", calls_always, fails=("no_call",)),
    System("never-call", "the same, and never a call", calls_never, fails=("wanted_calls",)),
    System("call elsewhere", "the same, every call of another town", calls_elsewhere, fails=("wanted_calls",)),
    System("broken calls", "the same, every call a brace short", calls_brokenly, fails=("wanted_calls",)),
    System("invented weather", "calls rightly, then tells weather of its own", answers=answers_by_invention,
           fails=("weather_errors",)),
    System("off by ten degrees", "every temperature ten degrees too warm", answers=answers_ten_off,
           fails=("weather_errors",)),
    System("invents after failures", "a forecast where the tool gave none", answers=answers_failures_too,
           fails=("weather_errors",)),
    System("evasive", "names place and day, states no weather", answers=answers_evasively, fails=("result_used",)),
    System("parrot", "repeats the tool's answer as data behind a sentence in persona", answers=answers_by_echo,
           fails=("result_used", "voice")),
    System("copied passages", "40 words of the training text behind each reply", *COPYIST, fails=("copying",)),
    System("patchwork", "four runs of 9 words of the training text behind each reply", *PATCHWORK, fails=("copying",)),
    System("keyword-stuffed", "an assistant's prose with the persona's words strung behind it",
           stuffed(calls_plainly), stuffed(answers_plainly), (1, 3), fails=("voice", "style")),
    System("bland base", "the base's own prose, with right calls", calls_plainly, answers_plainly, (2, 4),
           fails=("voice", "style")),
    System("did not learn", "loses on held-out passages", loss={"passages": 1.1}, fails=("perplexity",)),
    System("forgot its prose", "loses on neutral text", loss={"neutral": 1.3}, fails=("forgetting",)),
    System("forgot its code", "solves half of what the base solves", loss={"code": 1.3}, solved=50,
           fails=("coding", "code_loss")),
)  # fmt: skip


class Speaker:
    """A system behind the door of a language model."""

    def __init__(self, system: System) -> None:
        """`system`: who speaks."""
        self.system = system
        self.kind = "passages"

    def generate(self, contexts: Sequence[Sequence[Mapping[str, Any]]], tools: Any, **limits: Any) -> list[str]:
        """A reply to each context: to a tool's answer where one comes last, else to the user."""
        return [self.reply(context, number) for number, context in enumerate(contexts)]

    def reply(self, context: Sequence[Mapping[str, Any]], number: int) -> str:
        """One reply."""
        last = context[-1]
        if last["role"] == "tool":
            return self.system.answers(json.loads(last["content"]), number)
        return self.system.calls(last["content"], number)

    def likelihoods(self, texts: Sequence[str], *, adapter: bool = True) -> list[Likelihood]:
        """About three nats a token of four bytes, a little more or less by the text, times the system's share."""
        return [self.likely(text, adapter) for text in texts]

    def completion_nll(self, prompts: Sequence[str], texts: Sequence[str], *, adapter: bool = True) -> list[Likelihood]:
        """The same, of programs."""
        self.kind = "code"
        return [self.likely(text, adapter) for text in texts]

    def likely(self, text: str, adapter: bool) -> Likelihood:
        """One text's loss."""
        size = len(text.encode())
        share = {**LOSS, **self.system.loss}[self.kind] if adapter else 1.0
        spread = 0.9 + 0.2 * (int(hashlib.sha256(text.encode()).hexdigest()[:4], 16) / 0xFFFF)
        return Likelihood(3.0 * spread * share * size / 4, max(1, size // 4), size)


@cache
def passages() -> pl.DataFrame:
    """Pieces of the sample corpus, every second work of a style held out of training."""
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for work in sample_works():
        number = seen[work["style"]] = seen.get(work["style"], -1) + 1
        split = ("train", "validation", "train", "test")[number % 4]
        rows += [
            {"sample_id": f"{work['work_id']}:{n}", "split": split, "style": work["style"], "text": piece,
             "token_count": len(piece) // 4}
            for n, piece in enumerate(pieces(work["text"]))
        ]  # fmt: skip
    return frame(rows, DAPT_ROW)


@cache
def generations(system: System, arm: str) -> pl.DataFrame:
    """Its replies to every suite, by the function that the assets call."""
    spoken: Any = Speaker(system)
    return frame(speak(spoken, arm, ALL, SUITES), GENERATION)


def evaluated(system: System) -> dict[str, pl.DataFrame]:
    """The stage's tables, by the functions that the assets call."""
    base, tuned = generations(BASE, measure.BASE), generations(system, FINAL)
    return {
        **said(system.calls, system.answers),
        "eval_perplexity": measure.perplexity({FINAL: likelihoods(system)}),
        "eval_coding": measure.coding(code_losses(system), answers(system), "The programs were stipulated, not run."),
        "eval_ratings": measure.ratings(base, tuned, rated(system, base, tuned), "known", FINAL),
    }


@cache
def said(calls: Speaks, answers: Answers) -> dict[str, pl.DataFrame]:
    """The tables that rest on replies alone: systems that differ in their losses only share them."""
    base, tuned = generations(BASE, measure.BASE), generations(System("", "", calls, answers), FINAL)
    return {
        "eval_tool_calls": measure.tool_calls(base, tuned, TOOLS, FINAL),
        "eval_grounding": grounded(answers),
        "eval_humor": measure.humor(base, tuned, FINAL),
        "eval_style": measure.style(base, tuned, passages(), FINAL),
    }


@cache
def grounded(answers: Answers) -> pl.DataFrame:
    """Grounding rests on the answers alone; half of the systems give the oracle's."""
    tuned = generations(System("", "", calls_rightly, answers), FINAL)
    return measure.grounding(generations(BASE, measure.BASE), tuned, FINAL)


def likelihoods(system: System) -> dict[str, list[TextLoss]]:
    """Losses on held-out passages and on neutral text."""
    speaker: Any = Speaker(system)
    found: dict[str, list[TextLoss]] = {}
    for kind, texts in (("passages", scoring.held_out(passages(), 20_000)), ("neutral", scoring.neutral())):
        speaker.kind = kind
        found[kind] = scoring.losses(speaker, texts, {})
    return found


def code_losses(system: System) -> list[TextLoss]:
    """Losses on canonical solutions."""
    speaker: Any = Speaker(system)
    return scoring.code_losses(speaker, limit=12)


def answers(system: System) -> list[Answer]:
    """Which of 164 problems base and system solved: the same ones, as far as either goes."""
    return [
        Answer(f"p{n}", *(measure.PASSED if n < solved else "failed" for solved in (BASE_SOLVES, system.solved)))
        for n in range(PROBLEMS)
    ]


def rated(system: System, base: pl.DataFrame, tuned: pl.DataFrame) -> list[dict[str, Any]]:
    """What two readers are supposed to say of every pair: their ratings are stated, nobody read."""
    lines = []
    for pair in pairs.pairs(base, tuned, FINAL):
        for rater in ("Ann", "Bo"):
            for arm, (voice, rest) in ((pairs.ADAPTER, system.ratings), (pairs.BASE, BASE.ratings)):
                given = Given("known", pair.item, arm, rater, PERSON, voice, rest, rest, pair.digest,
                              rubric.load().version, "first", "2026-11-26T12:00:00+00:00")  # fmt: skip
                lines.append(asdict(given))
    return lines


@cache
def states(system: System) -> dict[str, str]:
    """Each gate's state on the system's scorecard, in the page's order."""
    rows = verdict_table(evaluated(system), "known", "known.html")
    return dict(zip(rows["gate"].to_list(), rows["state"].to_list(), strict=True))


INTRO = """# Known systems

What the evaluation says of systems whose faults are known. Each is a few lines of Python that stand in for a language
model ([known_systems.py](../tests/known_systems.py)): it answers all 120 tool-call rows, 74 tool results and 20 chats of the
suites, and its replies go through the functions that the assets call, down to the scorecard's verdicts. A test holds this
page to what is computed; `make known-systems` writes it anew. What the first run of this table let pass, and what was
mended for it, is in [0023](decisions/0023-gates-that-tricks-cannot-meet.md); the parrot came out of a real run
([0032](decisions/0032-an-echo-is-no-answer.md)).

Three things are stated by hand, not measured: two readers' ratings (`style`), the losses (`perplexity`, `forgetting`,
`code_loss`), and which programs ran (`coding`). They try the way from figures to verdict; the gates on replies try the judges
too.

✓ pass, ✗ fail, ? inconclusive, – not run. Primary gates stand first.
"""


def page() -> str:
    """docs/known-systems.md: a table of states, and one of what each system does."""
    head = f"| system | {' | '.join(f'`{gate}`' for gate in GATES)} |\n|{'---|' * (len(GATES) + 1)}\n"
    rows = "".join(
        f"| {system.name} | {' | '.join(STATE_MARKS[states(system)[gate]] for gate in GATES)} |\n" for system in SYSTEMS
    )
    told = "| system | does | must fail |\n|---|---|---|\n" + "".join(
        f"| {system.name} | {system.about} | {', '.join(f'`{gate}`' for gate in system.fails) or 'nothing'} |\n"
        for system in SYSTEMS
    )
    gates = "| gate | is | |\n|---|---|---|\n" + "".join(
        f"| `{gate}` | {GATE_TITLES[gate]} | {role(gate)} |\n" for gate in GATES
    )
    return f"{INTRO}\n{head}{rows}\n{told}\n{gates}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
