"""What people and judge models said about the replies: which ratings count, what they add up to, and the style verdict.

A rating counts while the pair that it was given for, its question and its dialogue are still the same. Whatever does not
count is told with a reason. Pairs are pairs.py's, agreement is agreement.py's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from twainbot.evals import rubric, verdicts
from twainbot.evals.agreement import Agreement, agreements
from twainbot.evals.pairs import ADAPTER, BASE, Pair
from twainbot.evals.statistics import PairedGain, paired_bootstrap
from twainbot.evals.verdicts import Verdict

PERSON, JUDGE = "person", "judge"
RATERS = 2  # a single rater's scores cannot be told from a single rater's taste
ITEMS = verdicts.STYLE_ITEMS
# Below this, two raters answer different questions. On 50 dialogues a kappa of 0.67 has a 95 % range of 0.51 to 0.81.
KAPPA_BOUND = 0.6
SEED = 7

STALE, OTHER_RUBRIC, UNKNOWN_DIALOGUE, REPLACED = "reply_changed", "other_rubric", "unknown_dialogue", "replaced"
TOLD = {
    STALE: "of replies that have since changed",
    OTHER_RUBRIC: "by another version of the rubric",
    UNKNOWN_DIALOGUE: "of dialogues that are no longer asked",
}

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """One rater's scores for one reply. `pair`: digest of what was shown; `rated_at`: ISO 8601, UTC.

    place: first or second, where the reply stood; a judge model sees both orders, and its scores are their means.
    origin: of a judge model, what it was and what it said; empty for people.
    """

    recipe: str
    item: str
    arm: str
    rater: str
    kind: str
    style: float
    humor: float
    factuality: float
    pair: str
    rubric: int
    place: str
    rated_at: str
    origin: Mapping[str, Any] | None = None

    def score(self, name: str) -> float:
        """The score on one scale."""
        found: float = getattr(self, name)
        return found


@dataclass(frozen=True)
class Counted:
    """Ratings that count, the latest of each rater on each reply, and how many lines were left out for which reason."""

    given: tuple[Given, ...]
    left_out: Mapping[str, int]

    def raters(self) -> dict[str, list[Given]]:
        """Ratings by rater, in order of name."""
        found: dict[str, list[Given]] = {}
        for rating in self.given:
            found.setdefault(rating.rater, []).append(rating)
        return dict(sorted(found.items()))


def same_rater(name: str) -> str:
    """Two spellings of a name that differ in case or spaces are one rater."""
    return " ".join(name.split()).casefold()


def read(row: Row) -> tuple[Given | None, str]:
    """A line of the ratings file and an empty reason, or nothing and a short reason code."""
    texts = ("recipe", "item", "arm", "rater", "kind", "pair", "place", "rated_at")
    lacking = [name for name in texts if not isinstance(row.get(name), str) or not row[name].strip()]
    if lacking:
        return None, f"no_{lacking[0]}"
    if row["arm"] not in (BASE, ADAPTER) or row["kind"] not in (PERSON, JUDGE):
        return None, "unknown_arm" if row["arm"] not in (BASE, ADAPTER) else "unknown_kind"
    if type(row.get("rubric")) is not int:  # True is an int, and would equal version 1
        return None, "no_rubric"
    if not all(is_score(row.get(name), row["kind"]) for name in rubric.NAMES):
        return None, "score_out_of_range"
    given = Given(
        row["recipe"], row["item"], row["arm"], row["rater"], row["kind"],
        float(row["style"]), float(row["humor"]), float(row["factuality"]),
        row["pair"], row["rubric"], row["place"], row["rated_at"], row.get("origin"),
    )  # fmt: skip
    return given, ""


def is_score(value: Any, kind: str) -> bool:
    """1 to 5: whole from a person, halves too from a judge model, as the mean of its two orders."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    step = 1 if kind == PERSON else 2
    return rubric.LOWEST <= value <= rubric.HIGHEST and float(value * step).is_integer()


def count(rows: Iterable[Row], recipe: str, pairs: Sequence[Pair]) -> Counted:
    """Which lines count for a recipe. Lines of other recipes are none of its business and are not told."""
    digests, version = {pair.item: pair.digest for pair in pairs}, rubric.load().version
    latest: dict[tuple[str, str, str], Given] = {}
    names: dict[str, str] = {}  # a rater's first spelling stands for all
    left_out: Counter[str] = Counter()
    for row in rows:
        if row.get("recipe") != recipe:
            continue
        given, reason = read(row)
        reason = reason or (why_not(given, digests, version) if given else "")
        if reason or given is None:
            left_out[reason] += 1
            continue
        name = names.setdefault(same_rater(given.rater), " ".join(given.rater.split()))
        left_out[REPLACED] += (given.item, given.arm, name) in latest
        latest[given.item, given.arm, name] = replace(given, rater=name)
    return Counted(tuple(latest.values()), +left_out)


def why_not(given: Given, digests: Mapping[str, str], version: int) -> str:
    """Why a sound rating does not count; empty where it does."""
    if given.item not in digests:
        return UNKNOWN_DIALOGUE
    if given.pair != digests[given.item]:
        return STALE
    return "" if given.rubric == version else OTHER_RUBRIC


def kinds_by_dialogue(given: Sequence[Given]) -> dict[str, dict[str, str]]:
    """Of each dialogue those who rated both replies, and of each whether person or judge model.

    Both: whoever saw one reply alone can neither agree with another rater on the other nor say which is better.
    """
    by_reply: dict[tuple[str, str], dict[str, str]] = {}
    for each in given:
        by_reply.setdefault((each.item, each.arm), {})[each.rater] = each.kind
    found: dict[str, dict[str, str]] = {each.item: {} for each in given}
    for item, both in found.items():
        base, adapter = (by_reply.get((item, arm), {}) for arm in (BASE, ADAPTER))
        both.update({rater: kind for rater, kind in adapter.items() if rater in base})
    return found


def rated_twice(given: Sequence[Given]) -> list[Given]:
    """Of the dialogues of which two raters or more, one of them a person, rated both replies, these raters' ratings; all
    where there is no such dialogue."""
    enough = {
        item: kinds
        for item, kinds in kinds_by_dialogue(given).items()
        if len(kinds) >= RATERS and PERSON in kinds.values()
    }
    return [each for each in given if each.rater in enough.get(each.item, ())] if enough else list(given)


def means(given: Sequence[Given], name: str, arm: str) -> dict[str, float]:
    """Mean over raters of one scale, by dialogue."""
    scores: dict[str, list[float]] = {}
    for each in given:
        if each.arm == arm:
            scores.setdefault(each.item, []).append(each.score(name))
    return {item: sum(values) / len(values) for item, values in sorted(scores.items())}


def gain(given: Sequence[Given], name: str) -> PairedGain:
    """Adapter less base on one scale, over the dialogues of which both replies were rated."""
    base, adapter = means(given, name, BASE), means(given, name, ADAPTER)
    common = sorted(base.keys() & adapter.keys())
    return paired_bootstrap([base[item] for item in common], [adapter[item] for item in common], seed=SEED)


def agreed(given: Sequence[Given], name: str) -> list[Agreement]:
    """Kappa of every two raters on one scale."""
    by_rater: dict[str, dict[tuple[str, str], float]] = {}
    for each in given:
        by_rater.setdefault(each.rater, {})[each.item, each.arm] = each.score(name)
    return agreements(by_rater, seed=SEED)


def verdict(counted: Counted) -> Verdict:
    """The style verdict: share of the adapter's replies rated 4 or better by two raters or more, one of them a person, who
    rated the base's replies as well.

    It passes only where the raters agree and the gain over the base is certain as well.
    """
    given = rated_twice(counted.given)
    found = verdicts.style(list(means(given, "style", ADAPTER).values()))
    told = [*gain_sentences(given), *agreement_sentences(given), *left_out_sentences(counted.left_out)]
    why = objections(given, found.state)
    state = "inconclusive" if why and found.state in ("pass", "fail") else found.state
    return replace(found, state=state, why=" ".join([found.why, *told, *why]))


def objections(given: Sequence[Given], state: str) -> list[str]:
    """What keeps the ratings from deciding, one sentence each. The last two hold back a pass only."""
    if not given:
        return []
    raters = [kinds.values() for kinds in kinds_by_dialogue(given).values()]
    together = [kinds for kinds in raters if len(kinds) >= RATERS]
    found = []
    if not together:
        found.append("A second rater must rate both replies of the same dialogues.")
    if PERSON not in ([kind for kinds in together for kind in kinds] or [each.kind for each in given]):
        found.append("Only judge models have rated these dialogues: a person must rate the same ones.")
    if state != "pass":
        return found
    kappas = [each.kappa for each in agreed(given, "style")]
    if not kappas:
        found.append("Raters have no reply in common.")
    elif min(kappas) < KAPPA_BOUND:
        found.append(f"Raters must agree with a kappa of {KAPPA_BOUND} or more.")
    if gain(given, "style").interval.low <= 0:
        found.append("It is not certain that the replies beat the base's.")
    return found


def gain_sentences(given: Sequence[Given]) -> list[str]:
    """The paired gain in style, and its interval from two dialogues on."""
    found = gain(given, "style")
    told = [f"The mean gain over the base is {found.mean:+.2f} points on {found.n} replies."] if found.n else []
    if found.clusters < 2:
        return told
    return [*told, f"The gain's interval is {found.interval.low:+.2f} to {found.interval.high:+.2f} points."]


def agreement_sentences(given: Sequence[Given]) -> list[str]:
    """Agreement of every two raters on style, with its interval."""
    return [
        f"{each.first} and {each.second}: kappa {each.kappa:.2f} ({each.interval.low:.2f} to {each.interval.high:.2f}) "
        f"on {each.items} dialogues."
        for each in agreed(given, "style")
        if each.items > 1
    ]


def left_out_sentences(left_out: Mapping[str, int]) -> list[str]:
    """What does not count, in words; a rating that its rater replaced is no news."""
    known = [
        f"{left_out[reason]} ratings {words} do not count." for reason, words in TOLD.items() if left_out.get(reason)
    ]
    other = sum(n for reason, n in left_out.items() if reason not in TOLD and reason != REPLACED)
    return [*known, *([f"{other} lines of the ratings file cannot be read."] if other else [])]
