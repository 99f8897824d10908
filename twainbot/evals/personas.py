"""Whether personas' adapters differ as they should: style of replies and loss on texts, every arm on the same items.

An arm is the base, one persona's adapter, or a mixture of such. All are asked under one system prompt that names nobody,
so that what differs is the adapter. A comparison passes where its whole interval lies on the expected side of zero.
Gathering replies and losses is resources/voices.py's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from twainbot import personas as cast
from twainbot.errors import BadInput
from twainbot.evals import style
from twainbot.evals.measure import BASE, SEED, item, metric, table, verdict_row
from twainbot.evals.statistics import Interval, PairedGain, clopper_pearson, paired_bootstrap
from twainbot.evals.verdicts import Verdict

PIECE_WORDS = 80
FEWEST_GROUPS = 10  # a bootstrap over fewer groups has too few distinct resamples for its tails


@dataclass(frozen=True)
class Text:
    """A held-out text in a persona's voice. `group`: what must not be on both sides of a split, and is drawn as one."""

    id: str
    persona: str
    text: str
    group: str


@dataclass(frozen=True)
class Prompt:
    """What a user asked. `asks`: the persona that it asks for, None for nobody."""

    id: str
    text: str
    asks: str | None = None

    @property
    def group(self) -> str:
        """Prompts of one opening are of one kind, and are drawn together."""
        return " ".join(self.text.casefold().split()[:2])


@dataclass
class Arm:
    """What one adapter, or the base, did on all items."""

    name: str
    replies: dict[str, str] = field(default_factory=dict)  # prompt id to what was said
    losses: dict[str, dict[str, float]] = field(default_factory=dict)  # set to text id to nats a token
    exact_calls: list[bool] = field(default_factory=list)  # by tool-call case, all arms in one order


@dataclass(frozen=True)
class Routed:
    """A prompt that asks for somebody: who answered, what he said, and what the base says under the same system prompt."""

    prompt: Prompt
    persona: str
    reply: str
    base: str


@dataclass(frozen=True)
class Material:
    """What all arms met. `texts`: set (`passages`, `replies`) to its held-out texts; `mixtures`: name to its weights."""

    prompts: Sequence[Prompt]
    texts: Mapping[str, Sequence[Text]]
    mixtures: Mapping[str, Mapping[str, float]]
    missing: Mapping[str, str]  # arm that the profile lists and nobody has trained yet: why


def cut(text: str) -> list[str]:
    """Stretches of about a reply's length, in order, for a classifier is told of length by nothing else; no short tail."""
    words = text.split()
    pieces = [words[start : start + PIECE_WORDS] for start in range(0, len(words), PIECE_WORDS)]
    return [" ".join(piece) for number, piece in enumerate(pieces) if number == 0 or 2 * len(piece) >= PIECE_WORDS]


def names_somebody(prompt: str) -> bool:
    """Whether a prompt mentions one of the personas, so that it is no neutral one."""
    return cast.naming().search(prompt) is not None


def evaluate(arms: Sequence[Arm], material: Material, routed: Sequence[Routed]) -> pl.DataFrame:
    """Rows of records.EVAL: figures by arm, a verdict per comparison, replies to read."""
    present = {arm.name: arm for arm in arms}
    rows: list[dict[str, Any]] = []
    for name, texts in material.texts.items():
        scorers = voice_scorers(texts)
        rows += classifier_rows(name, texts, scorers)
        scores = {arm.name: scored(arm.replies, scorers) for arm in arms}
        rows += style_rows(name, scores)
        rows += loss_rows(name, texts, arms)
        rows += compared_styles(name, present, material, scores)
        rows += compared_losses(name, texts, present, material)
        rows += routed_rows(name, routed, scorers)
    rows += routed_rightly(routed)
    rows += call_rows(arms)
    rows += [item("reply", arm.name, None, {"prompt": prompt.text, "reply": arm.replies[prompt.id]})
             for arm in arms for prompt in material.prompts if prompt.id in arm.replies]  # fmt: skip
    return table(rows)


# --- what is compared with what ---------------------------------------------------------------------------------------


def compared_styles(
    name: str, present: Mapping[str, Arm], material: Material, scores: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[dict[str, Any]]:
    """Each persona's adapter over the others' and the base's in its own style, and mixtures between their parts."""
    ids = [prompt.id for prompt in material.prompts]
    groups = [prompt.group for prompt in material.prompts]

    def values(arm: str, persona: str) -> list[float]:
        return [scores[arm][persona][one] for one in ids]

    rows = []
    for own, other in pairs(present, material):
        gate, why_not = f"style_{name}_{own}_over_{other}", absent(present, material, own, other)
        if why_not or any(own not in scores[arm] for arm in (own, other)):
            rows.append(not_run(gate, why_not or f"No classifier of {own}: too few held-out {name}."))
            continue
        gain = paired_bootstrap(values(other, own), values(own, own), seed=SEED, clusters=groups)
        rows.append(judged(gate, gain, f"Mean probability of {own}, {own}'s adapter less {other}, on the same prompts"))
    for mixture in material.mixtures:
        gate, (heavy, light) = f"style_{name}_{mixture}_between", parts(material.mixtures[mixture])
        why_not = absent(present, material, mixture, heavy, light)
        if why_not or any(who not in scores[mixture] for who in (heavy, light)):
            rows.append(not_run(gate, why_not or f"No classifier of {heavy} and {light}: too few held-out {name}."))
            continue
        axis = {
            arm: [a - b for a, b in zip(values(arm, heavy), values(arm, light), strict=True)]
            for arm in (heavy, mixture, light)
        }
        rows.append(between(gate, axis, groups, heavy, mixture, light))
    return rows


def compared_losses(
    name: str, texts: Sequence[Text], present: Mapping[str, Arm], material: Material
) -> list[dict[str, Any]]:
    """The same comparisons by loss on held-out texts: lower on the own style is better."""
    rows = []
    for own, other in pairs(present, material):
        gate, why_not = f"loss_{name}_{own}_over_{other}", absent(present, material, own, other)
        chosen = [text for text in texts if text.persona == own]
        if why_not or not chosen:
            rows.append(not_run(gate, why_not or f"No held-out {name} of {own}."))
            continue
        first, second = ([present[arm].losses[name][text.id] for text in chosen] for arm in (own, other))
        gain = paired_bootstrap(first, second, seed=SEED, clusters=[text.group for text in chosen])
        what = f"Nats a token on held-out {name} of {own} that {own}'s adapter needs less than {other}"
        rows.append(judged(gate, gain, what))
    for mixture in material.mixtures:
        gate, (heavy, light) = f"loss_{name}_{mixture}_between", parts(material.mixtures[mixture])
        chosen = [text for text in texts if text.persona in (heavy, light)]
        why_not = absent(present, material, mixture, heavy, light)
        if why_not or {text.persona for text in chosen} != {heavy, light}:
            rows.append(not_run(gate, why_not or f"No held-out {name} of both {heavy} and {light}."))
            continue
        axis = {arm: leaning(present[arm].losses[name], chosen, heavy) for arm in (heavy, mixture, light)}
        rows.append(between(gate, axis, [text.group for text in chosen], heavy, mixture, light))
    return rows


def pairs(present: Mapping[str, Arm], material: Material) -> list[tuple[str, str]]:
    """(persona, what it must beat in its own style): the other personas that are or should be there, and the base."""
    listed = [name for name in cast.known() if name in present or name in material.missing]
    return [(own, other) for own in listed for other in (*listed, BASE) if other != own]


def parts(weights: Mapping[str, float]) -> tuple[str, str]:
    """The two heaviest parts of a mixture, the heavier one first."""
    first, second = sorted(weights, key=lambda name: (-weights[name], name))[:2]
    return first, second


def absent(present: Mapping[str, Arm], material: Material, *wanted: str) -> str:
    """Why a comparison cannot be made; empty where all arms are there."""
    return " ".join(material.missing.get(name, f"{name} was not measured.") for name in wanted if name not in present)


# --- verdicts ---------------------------------------------------------------------------------------------------------


def judged(gate: str, gain: PairedGain, what: str) -> dict[str, Any]:
    """A paired gain as a verdict: pass above zero, fail below, inconclusive across it or over too few groups."""
    state = side(gain)
    why = f"{what}: {gain.mean:+.3f} over {gain.n} items in {gain.clusters} groups."
    why += too_few(gain)
    return verdict_row(Verdict(gate, state, gain.n, gain.mean, 0.0, shown(gain), why, better="higher", unit="gain"))


def too_few(gain: PairedGain) -> str:
    """What to say where the groups cannot decide."""
    return f" At least {FEWEST_GROUPS} groups are needed." if gain.clusters < FEWEST_GROUPS else ""


def side(gain: PairedGain) -> str:
    """Where the interval lies."""
    if gain.clusters < FEWEST_GROUPS:
        return "inconclusive"
    return "pass" if gain.interval.low > 0 else "fail" if gain.interval.high < 0 else "inconclusive"


def shown(gain: PairedGain) -> Interval | None:
    """The interval, where there is one."""
    return gain.interval if gain.clusters > 1 else None


def not_run(gate: str, why: str) -> dict[str, Any]:
    """A comparison that nobody could make."""
    return verdict_row(Verdict(gate, "not_run", 0, None, 0.0, None, why, better="higher", unit="gain"))


def between(
    gate: str, axis: Mapping[str, Sequence[float]], groups: Sequence[str], heavy: str, mixture: str, light: str
) -> dict[str, Any]:
    """Whether a mixture leans less than its heavier part and more than its lighter one, on the axis from one to the other.

    The verdict's figure is the smaller of both distances; its sentence says where on the axis the mixture stands.
    """
    above = paired_bootstrap(axis[light], axis[mixture], seed=SEED, clusters=groups)
    below = paired_bootstrap(axis[mixture], axis[heavy], seed=SEED, clusters=groups)
    states = {side(above), side(below)}
    state = "fail" if "fail" in states else "pass" if states == {"pass"} else "inconclusive"
    whole, tighter = above.mean + below.mean, min(above, below, key=lambda gain: gain.mean)
    if whole > 0:
        place = f"stands {above.mean / whole:.0%} of the way from {light} to {heavy}"
    else:
        place = f"has no place, as {light} leans to {heavy} no less than {heavy}"
    why = (
        f"{mixture} {place}: {above.mean:+.3f} [{above.interval.low:+.3f}, {above.interval.high:+.3f}] over {light}, "
        f"{below.mean:+.3f} [{below.interval.low:+.3f}, {below.interval.high:+.3f}] under {heavy}, {above.n} items in "
        f"{above.clusters} groups.{too_few(above)}"
    )
    return verdict_row(
        Verdict(gate, state, above.n, tighter.mean, 0.0, shown(tighter), why, better="higher", unit="gain")
    )


def leaning(losses: Mapping[str, float], texts: Sequence[Text], heavy: str) -> list[float]:
    """How much more likely an arm finds the heavier part's texts than the lighter one's, text by text.

    Both styles weigh the same however many texts they have, so that the mean over all is half their means' difference.
    """
    share = {mine: sum((text.persona == heavy) is mine for text in texts) / len(texts) for mine in (True, False)}
    return [
        (-losses[text.id] if text.persona == heavy else losses[text.id]) / share[text.persona == heavy] / 2
        for text in texts
    ]


# --- style ------------------------------------------------------------------------------------------------------------


def voice_scorers(texts: Sequence[Text]) -> dict[str, Any]:
    """A classifier per persona, fitted on held-out texts of it against the others'; none where one side is missing."""
    found = {}
    for persona in cast.known():
        try:
            found[persona] = style.fit(examples(texts, persona))
        except BadInput:
            continue
    return found


def examples(texts: Sequence[Text], persona: str) -> list[style.StyleExample]:
    """The texts as examples of one persona against the others."""
    return [style.StyleExample(text.text, text.persona == persona, text.group) for text in texts]


def scored(replies: Mapping[str, str], scorers: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Persona to prompt to the probability that the reply is in its style, against the other personas'."""
    return {
        persona: dict(zip(replies, (float(value) for value in scorer(list(replies.values()))), strict=True))
        for persona, scorer in scorers.items()
        if replies
    }


def classifier_rows(name: str, texts: Sequence[Text], scorers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How well each classifier tells groups that it never saw: the most that its figures can be worth."""
    rows = []
    for persona in scorers:
        try:
            limit = style.ceiling(examples(texts, persona), seed=SEED)
        except BadInput as error:
            rows.append(item("classifier_not_judged", "held-out works", None, {"set": name, "why": str(error)}))
            continue
        rows.append(metric(f"classifier_auc_{name}_{persona}", "held-out works", limit.auc, limit.works, "number"))
    return rows


def style_rows(name: str, scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Each arm's mean probability of each persona."""
    return [
        metric(f"style_{name}_{persona}", arm, float(np.mean(list(values.values()))), len(values), "number", "neither")
        for arm, by_persona in scores.items()
        for persona, values in by_persona.items()
    ]


def loss_rows(name: str, texts: Sequence[Text], arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Each arm's mean nats a token on each persona's held-out texts."""
    rows = []
    for arm in arms:
        for persona in dict.fromkeys(text.persona for text in texts):
            values = [arm.losses[name][text.id] for text in texts if text.persona == persona]
            value = float(np.mean(values))
            rows.append(metric(f"loss_{name}_{persona}", arm.name, value, len(values), "number", "lower"))
    return rows


# --- routing and calls ------------------------------------------------------------------------------------------------


def routed_rows(name: str, routed: Sequence[Routed], scorers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Whether a routed reply is more in the style of the persona that was asked for than the base's."""
    gate = f"routed_style_{name}"
    asked = [(each, each.prompt.asks) for each in routed if each.prompt.asks and each.prompt.asks in scorers]
    if not asked:
        return [not_run(gate, "No held-out prompt asks for a persona that has an adapter and a classifier.")]
    base = [float(scorers[persona]([each.base])[0]) for each, persona in asked]
    tuned = [float(scorers[persona]([each.reply])[0]) for each, persona in asked]
    # two prompts that ask for one persona about two things are two prompts: the words after the asking differ
    gain = paired_bootstrap(base, tuned, seed=SEED, clusters=[each.prompt.group for each, _ in asked])
    what = "Mean probability of the persona asked for, routed reply less the base's under the same system prompt"
    rows = [judged(gate, gain, what)]
    for arm, values in ((BASE, base), ("routed", tuned)):
        rows.append(metric(f"asked_style_{name}", arm, float(np.mean(values)), len(values), "number", "higher"))
    return rows


def routed_rightly(routed: Sequence[Routed]) -> list[dict[str, Any]]:
    """The share of prompts that reached the persona that they ask for."""
    if not routed:
        return []
    right = sum(each.persona == each.prompt.asks for each in routed)
    rate, n = right / len(routed), len(routed)
    rows = [metric("routed_to_the_one_asked", "routed", rate, n, interval=clopper_pearson(right, n))]
    return rows + [
        item("routed_reply", "routed", None, {"prompt": each.prompt.text, "asks": each.prompt.asks,
             "persona": each.persona, "reply": each.reply, "base": each.base})
        for each in routed
    ]  # fmt: skip


def call_rows(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Exact calls of each arm: what a voice costs the tool."""
    rows = []
    for arm in arms:
        right, n = sum(arm.exact_calls), len(arm.exact_calls)
        if n:
            rows.append(metric("exact_calls", arm.name, right / n, n, interval=clopper_pearson(right, n)))
    return rows
