"""The ratings file of a home and what is rated: pairs out of the lake, who has rated how many, a judge model's turn.

What a rating is worth is twainbot/evals/ratings'; the page is review_server.py's. The graph sees the file as
`sources/ratings`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.lake import Lake
from twainbot.errors import BadInput, BadUse, UnknownName
from twainbot.evals import rubric
from twainbot_assets import keys
from twainbot_assets.append_lines import append
from twainbot_assets.json_lines import kept_objects
from twainbot_assets.profile import Profile
from twainbot_assets.publish import counts_table

if TYPE_CHECKING:
    import polars as pl

    from resources.generators import Generator
    from resources.home import Home
    from twainbot.evals.pairs import Pair
    from twainbot.evals.ratings import Counted, Given

FINAL = keys.TRAINING_STAGES[-1]
LONGEST_NAME = 40  # characters of a rater's name
SCORES = rubric.NAMES
PLACES = ("first", "second")


class OutOfDate(BadInput):
    """A rating of something that is not what is rated now."""


@dataclass(frozen=True)
class Desk:
    """What one recipe's raters rate, and where their ratings go. `voice`: how the persona is to sound."""

    file: Path
    recipe: str
    voice: str
    pairs: Sequence[Pair]

    @cached_property
    def by_item(self) -> Mapping[str, Pair]:
        """The pairs by the dialogue that they are of."""
        return {pair.item: pair for pair in self.pairs}

    def counted(self) -> Counted:
        """All ratings that count now."""
        from twainbot.evals.ratings import count

        return count(stored(self.file), self.recipe, self.pairs)

    def scores_of(self, rater: str) -> dict[str, dict[str, dict[str, float]]]:
        """This rater's scores by dialogue, place and scale."""
        from twainbot.evals.pairs import sides
        from twainbot.evals.ratings import same_rater

        found: dict[str, dict[str, dict[str, float]]] = {}
        for each in self.counted().given:
            if same_rater(each.rater) == same_rater(rater):
                place = PLACES[sides(self.recipe, each.item, same_rater(rater)).index(each.arm)]
                found.setdefault(each.item, {})[place] = {name: each.score(name) for name in SCORES}
        return {item: scores for item, scores in found.items() if len(scores) == 2}

    def save(self, rater: str, item: str, digest: str, scores: Mapping[str, Mapping[str, int]]) -> int:
        """Write both replies' ratings; how many dialogues this rater has rated.

        scores: by place, `first` and `second`. Raises OutOfDate where the pair shown is not the one that is rated now.
        """
        pair = self.by_item.get(item)
        if pair is None or pair.digest != digest:
            raise OutOfDate("These replies are not the ones that are rated now. Load the page again.")
        append(self.file, [asdict(each) for each in given_of(self.recipe, pair, rater, scores)])
        return len(self.scores_of(rater))


def given_of(recipe: str, pair: Pair, rater: str, scores: Mapping[str, Mapping[str, int]]) -> list[Given]:
    """A person's two ratings of a pair. Raises BadInput where a score is not a whole number from 1 to 5."""
    from twainbot.evals.pairs import sides
    from twainbot.evals.ratings import PERSON, Given, is_score, same_rater

    now, version = datetime.now(UTC).isoformat(timespec="seconds"), rubric.load().version
    found: list[Given] = []
    for place, arm in zip(PLACES, sides(recipe, pair.item, same_rater(rater)), strict=True):
        own = scores.get(place) or {}
        wrong = [name for name in SCORES if not is_score(own.get(name), PERSON)]
        if wrong:
            raise BadInput(
                f"The {place} reply has no score from 1 to 5 for {', '.join(wrong)}. Give all six, then save."
            )
        style, humor, factuality = (float(own[name]) for name in SCORES)
        found.append(
            Given(recipe, pair.item, arm, rater, PERSON, style, humor, factuality, pair.digest, version, place, now)
        )
    return found


def open_desk(home: Home, profile: Profile, recipe: str | None) -> Desk:
    """The desk of a recipe, by default the profile's first. Raises BadInput where its replies were never generated."""
    from twainbot.dialogues import prompt_files, prompts
    from twainbot.evals.pairs import pairs

    chosen = recipe or profile.trained[0]
    if chosen not in profile.trained:
        raise UnknownName(f"No recipe {chosen!r} in profile {profile.name}. Known: {', '.join(profile.trained)}.")
    lake = Lake(home.lake)
    found = pairs(lake.read("evals/baseline"), lake.read("evals/generations", chosen), FINAL)
    if not found:
        raise BadInput(
            "No dialogue has replies of both base and adapter. Run `twainbot run --select evals/generations --force`."
        )
    persona = prompts.personas()[0]  # as whom resources/speaking.py asks every arm
    return Desk(home.ratings, chosen, prompt_files.voice(persona, prompts.system_prompt(persona)), found)


def stored(path: Path) -> list[dict[str, Any]]:
    """The lines of a ratings file; none where nobody has rated."""
    return kept_objects(path)


def clean_name(name: str) -> str:
    """A rater's name without stray spaces. Raises BadUse where it is empty, too long, or a judge model's."""
    cleaned = " ".join(unicodedata.normalize("NFKC", name).split())
    if not cleaned or len(cleaned) > LONGEST_NAME or not cleaned.isprintable():
        raise BadUse(f"A rater's name has 1 to {LONGEST_NAME} characters. Say who rates, with --rater or on the page.")
    if cleaned.casefold().startswith("judge:"):
        raise BadUse("Names that begin with `judge:` belong to judge models. Take another one.")
    return cleaned


def standing(desk: Desk) -> list[str]:
    """Who has rated how many dialogues, what no longer counts, and the next command: one sentence each."""
    from twainbot.evals.ratings import left_out_sentences

    counted = desk.counted()
    dialogues = {rater: len({each.item for each in given}) for rater, given in counted.raters().items()}
    told = ", ".join(f"{rater} {n} of {len(desk.pairs)}" for rater, n in dialogues.items())
    lines = [f"Rated so far: {told}." if told else "Nobody has rated these replies yet."]
    return [*lines, *left_out_sentences(counted.left_out), next_step(desk, counted)]


def next_step(desk: Desk, counted: Counted) -> str:
    """What is to be done next, in one sentence."""
    from twainbot.evals.ratings import ITEMS, PERSON, RATERS

    wanted = min(ITEMS, len(desk.pairs))
    done = [given for given in counted.raters().values() if len({each.item for each in given}) >= wanted]
    people = [given for given in done if given[0].kind == PERSON]
    few = f" This profile has {wanted} dialogues; a verdict that passes needs {ITEMS}." if wanted < ITEMS else ""
    if len(done) >= RATERS and people:
        return f"Next: `twainbot refresh` brings the ratings into the scorecard.{few}"
    missing = "a person" if len(done) >= RATERS else f"{RATERS - len(done)} more of {RATERS} raters"
    return f"Next: {missing} must rate {wanted} dialogues (`twainbot review`), then `twainbot refresh`.{few}"


def open_judge(home: Home, profile: Profile) -> Generator:
    """The profile's judge model. Raises BadUse where it names none, or would judge itself."""
    from resources.generator_settings import GRAMMAR, LOCAL
    from resources.generators import open_generator
    from twainbot_assets.writing import local_model

    settings = profile.dialogues.judge
    if settings.backend == GRAMMAR:
        raise BadUse(
            f"Profile {profile.name} names no judge model. Give it a `judge:` under `dialogues:` with backend, model and "
            "budget (docs/generators.md), or let people rate without --judge."
        )
    if settings.backend == LOCAL and settings.model in ("", profile.base.name):
        raise BadUse("The base cannot judge its own replies. Name another model under `judge:` of the profile.")
    local = local_model(settings, home.models) if settings.backend == LOCAL else None
    return open_generator(settings, home.cache, f"{profile.name}-judge", local)


def judge(desk: Desk, generator: Generator) -> list[str]:
    """Have a judge model rate every pair in both orders; what came of it, one sentence each."""
    from twainbot.evals import pair_judge

    now = datetime.now(UTC).isoformat(timespec="seconds")
    found = pair_judge.judged(desk.pairs, generator.ask, generator.model, desk.voice, desk.recipe, now)
    if not found.given:
        why = next(iter(found.unusable.values()), "no answer")
        raise BadInput(f"No answer of {generator.model} was a rating (the first: {why}). Take another judge model.")
    append(desk.file, [asdict(each) for each in found.given])
    told = f"{generator.model} rated {found.pairs} of {len(desk.pairs)} dialogues in both orders"
    swayed = f"in {found.swayed} of them the order decided which reply it liked better in style"
    report = generator.report
    lines = [f"{told}; {swayed}.", f"{report.requests} requests, {report.cache_hits} from the cache: {report.spent}."]
    refused = ", ".join(f"{item} ({why})" for item, why in list(found.unusable.items())[:3])
    return [
        *lines,
        *([f"{len(found.unusable)} answers were no rating: {refused}."] if refused else []),
        *standing(desk),
    ]


def raters_table(rows: pl.DataFrame) -> dict[str, Any]:
    """Metadata of evals/ratings: each rater with dialogues and the last time, and what does not count."""
    given = [json.loads(text) for text in rows.filter(rows["name"] == "rating")["payload"].to_list()]
    listed = []
    for rater in sorted({row["rater"] for row in given}):
        own = [row for row in given if row["rater"] == rater]
        items = len({row["item"] for row in own})
        listed.append(
            {"rater": rater, "kind": own[0]["kind"], "dialogues": items, "last": max(row["rated_at"] for row in own)}
        )
    left = [json.loads(text) for text in rows.filter(rows["name"] == "ratings_not_counted")["payload"].to_list()]
    found = {"raters": counts_table(listed)} if listed else {}
    return found | ({"not_counted": counts_table(left)} if left else {})


def report(home: Home, desk: Desk, instance: dg.DagsterInstance) -> None:
    """Tell the graph that the ratings changed: an observation of `sources/ratings` with its version and who rated."""
    from twainbot_assets.sources import ratings_version

    counted = desk.counted()
    listed = [{"rater": rater, "kind": given[0].kind, "ratings": len(given), "last": max(each.rated_at for each in given)}
              for rater, given in counted.raters().items()]  # fmt: skip
    metadata = {"recipe": desk.recipe, **({"raters": counts_table(listed)} if listed else {})}
    tags = {"dagster/data_version": ratings_version(home.ratings)}
    instance.report_runless_asset_event(dg.AssetObservation(keys.source("ratings"), metadata=metadata, tags=tags))
