"""Who watches what happened, and tells: sensors over ended runs, checks, scorecards, live sources and budgets.

Each looks at the instance since its cursor and hands what it found to resources/alert_memory.py, which minds the cooldown.
A cursor moves on only when somebody took the message, or nobody is to be told; what is older than a day is passed over. One
event is told once: a blocking check that stopped its run is in the run's message, a divergence in its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from resources import alerts
from resources.alert_memory import COOLDOWN_S, Happening, Teller, stamp
from twainbot.errors import BadUse, TwainBotError
from twainbot_assets.profile import SOURCES, current

if TYPE_CHECKING:
    from dagster._core.event_api import RunStatusChangeEventType as RunEnd

    from resources.budget import Budget
    from resources.home import Home
    from resources.lake import Lake
    from resources.sources import Harvest
    from twainbot_assets.profile import Profile

Look: TypeAlias = Callable[[dg.DagsterInstance, "str | None"], tuple[list[Happening], str]]

FAILURE, CHECKS, DIVERGENCE, REGRESSION, STALE, BUDGET = (
    "run failure", "check", "loss divergence", "metric regression", "stale source", "budget",
)  # fmt: skip
CONVERGED, NO_REGRESSION = "training_converged", "no_regression"  # checks that have a kind of their own
SCORECARD, LEADERBOARD = dg.AssetKey(["evals", "scorecard"]), "evals/leaderboard"
ENDS = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
READ = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE,
}  # fmt: skip
MADE = {dg.DagsterEventType.ASSET_MATERIALIZATION}  # they hold plots, and are read by the one look that needs them
RUNLESS = ""  # the run id of what is reported outside any run
SINCE = "since"  # in a command's cursor: its start, in seconds since 1970
MOST = 50  # ended runs of one kind in a tick
PASSED_OVER_S = 86_400.0  # a sensor that was off for weeks does not begin with last month's failures
DAY_S = 86_400.0
FRESH_FOR_S = {"weather": 2 * DAY_S, "satire": 7 * DAY_S}  # after which a live source should have been looked at again
FRESH_ELSE_S = 30 * DAY_S
SPENT_SHARES = (1.0, 0.8)  # of a budget, the greatest that is reached is told


@dataclass(frozen=True)
class Ended:
    """A run that ended, with the events that alerts are made of."""

    run: dg.DagsterRun
    events: Sequence[dg.DagsterEvent]

    @property
    def partition(self) -> str | None:
        """The partition that it worked on."""
        return self.run.tags.get("dagster/partition")

    @property
    def failed(self) -> bool:
        """Whether it ended as a failure."""
        return self.run.status is dg.DagsterRunStatus.FAILURE

    def of(self, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
        """Its events of a kind."""
        return [event for event in self.events if event.event_type is kind]

    def evaluations(self) -> list[tuple[dg.AssetCheckEvaluation, str | None]]:
        """Each check's result with the step that gave it."""
        found = self.of(dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        return [(event.asset_check_evaluation_data, event.step_key) for event in found]

    def never_run(self) -> list[dg.AssetCheckKey]:
        """Checks that were planned and never evaluated."""
        done = {evaluation.asset_check_key for evaluation, _ in self.evaluations()}
        planned = self.of(dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED)
        keys = [event.asset_check_planned_data.asset_check_key for event in planned]
        return [key for key in dict.fromkeys(keys) if key not in done]


@dataclass(frozen=True)
class Place:
    """The event that a stream of ended runs was read to; `at`: when it happened, in seconds since 1970.

    Its id alone names no event: SQLite gives the newest ids again once their run is deleted.
    """

    storage_id: int = -1
    run_id: str = "-"
    at: float = 0.0

    @classmethod
    def of(cls, text: str) -> Place | None:
        """The place of a text; none where the text is none of ours."""
        try:
            storage_id, run_id, at = text.split(" ")
            return cls(int(storage_id), run_id, float(at))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.storage_id} {self.run_id} {self.at}"

    def after(self, instance: dg.DagsterInstance, kind: RunEnd) -> Sequence[dg.EventLogRecord]:
        """The next records: those of later ids, or of a later time where the place's own run was deleted."""
        own = dg.RunStatusChangeRecordsFilter(kind, storage_ids=[self.storage_id])
        there = [record.run_id for record in instance.fetch_run_status_changes(own, limit=1).records]
        gone = self.storage_id >= 0 and self.run_id not in there
        at, storage_id = (self.at, None) if gone else (None, self.storage_id)
        wanted = dg.RunStatusChangeRecordsFilter(kind, after_timestamp=at, after_storage_id=storage_id)
        return instance.fetch_run_status_changes(wanted, limit=MOST, ascending=True).records


def place_of(records: Sequence[dg.EventLogRecord], otherwise: Place) -> Place:
    """The place of the last record."""
    return Place(records[-1].storage_id, records[-1].run_id, records[-1].timestamp) if records else otherwise


@dataclass
class Cursor:
    """Where each stream of events was read to, as one text that a sensor keeps."""

    places: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str | None) -> Cursor:
        """The cursor of a text; an empty one, which begins now, where the text is none of ours."""
        try:
            found = json.loads(text or "{}")
        except ValueError:
            return cls()
        return cls({str(name): str(place) for name, place in found.items()} if isinstance(found, dict) else {})

    def __str__(self) -> str:
        return json.dumps(self.places, sort_keys=True)


def ended(
    instance: dg.DagsterInstance, cursor: Cursor, kinds: Sequence[RunEnd] = ENDS,
    more: set[dg.DagsterEventType] | None = None,
) -> Iterator[Ended]:  # fmt: skip
    """Runs that ended since the cursor, which is moved on. A stream that it does not know yet begins now."""
    oldest = float(cursor.places.get(SINCE, time.time() - PASSED_OVER_S))
    for kind in kinds:
        place = Place.of(cursor.places.get(kind.value, ""))
        if place is None:
            newest = instance.fetch_run_status_changes(kind, limit=1).records
            cursor.places[kind.value] = str(place_of(newest, Place()))
            continue
        found = place.after(instance, kind)
        cursor.places[kind.value] = str(place_of(found, place))
        for record in found:
            run = instance.get_run_by_id(record.run_id)
            if run is not None and record.timestamp > oldest:
                events = instance.get_records_for_run(run.run_id, of_type=READ | (more or set())).records
                entries = [each.event_log_entry for each in events]
                yield Ended(run, [entry.dagster_event for entry in entries if entry.dagster_event])


def runless(instance: dg.DagsterInstance, cursor: Cursor) -> list[dg.AssetCheckEvaluation]:
    """Check results since the cursor that were reported outside any run."""
    kind = {dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    place = cursor.places.get("runless")
    if place is None:
        newest = instance.get_records_for_run(RUNLESS, of_type=kind, limit=1, ascending=False)
        cursor.places["runless"] = newest.cursor
        return []
    found = instance.get_records_for_run(RUNLESS, cursor=place, of_type=kind, limit=MOST)
    cursor.places["runless"] = found.cursor
    events = [record.event_log_entry.dagster_event for record in found.records]
    return [event.asset_check_evaluation_data for event in events if event]


# --- what is told -----------------------------------------------------------------------------------------------------


def named(table: str, partition: str | None) -> str:
    """A table, with its partition where it has one."""
    return table + (f" [{partition}]" if partition else "")


def failures(instance: dg.DagsterInstance, place: str | None) -> tuple[list[Happening], str]:
    """Runs that failed, but for those that a divergence ended."""
    cursor = Cursor.of(place)
    runs = ended(instance, cursor, (dg.DagsterEventType.RUN_FAILURE,))
    return [found for one in runs if (found := failure(one))], str(cursor)


def failure(one: Ended) -> Happening | None:
    """A failed run in its own words, with the checks that it did not come to."""
    from twainbot_assets.runner import failure_text

    diverged = {step for evaluation, step in one.evaluations() if converges_not(evaluation)}
    steps = one.of(dg.DagsterEventType.STEP_FAILURE)
    others = [event for event in steps if event.step_key not in diverged]
    if steps and not others:
        return None
    ends = [event.message or "" for event in one.of(dg.DagsterEventType.RUN_FAILURE)]
    said = "; ".join(dict.fromkeys(failure_text(event) for event in others)) or "; ".join(ends) or "The run failed."
    missed = one.never_run()
    if missed:
        said += f" Planned checks that did not run: {', '.join(sorted({key.name for key in missed})[:8])}."
    where = {(event.step_key or one.run.job_name).replace("__", "/") for event in others} or {one.run.job_name}
    subject = named(", ".join(sorted(where)), one.partition)
    again = one.run.tags.get("dagster/will_retry") == "true"
    repair = (
        "Dagster tries it again by itself." if again else "Mend what it names, then `twainbot run` goes on from there."
    )
    return Happening(subject, f"{subject} failed", said, repair, one.run.run_id, one.run.run_id)


def checks(instance: dg.DagsterInstance, place: str | None) -> tuple[list[Happening], str]:
    """Checks that failed, warned or did not run; a warning leaves its run green."""
    cursor = Cursor.of(place)
    found = [told for one in ended(instance, cursor) for told in unpassed(one)]
    loose = [evaluation for evaluation in runless(instance, cursor) if not evaluation.passed]
    return [*found, *(check_told(evaluation, None, RUNLESS) for evaluation in loose)], str(cursor)


def unpassed(one: Ended) -> Iterator[Happening]:
    """The checks of a run that are to be told: not those that stopped it, which its failure names."""
    stopped = {event.step_key for event in one.of(dg.DagsterEventType.STEP_FAILURE)} if one.failed else set()
    for evaluation, step in one.evaluations():
        told = evaluation.severity is dg.AssetCheckSeverity.ERROR and step in stopped
        if not evaluation.passed and evaluation.check_name not in (CONVERGED, NO_REGRESSION) and not told:
            yield check_told(evaluation, one.partition, one.run.run_id)
    for key in [] if one.failed else one.never_run():
        subject = f"{named('/'.join(key.asset_key.path), one.partition)} {key.name}"
        said = f"It was planned, and the run ended as {one.run.status.value} without it: nobody knows whether it holds."
        repair = f"`twainbot run --force --select {'/'.join(key.asset_key.path)}` makes the asset and its checks again."
        yield Happening(subject, f"check {subject} did not run", said, repair, one.run.run_id, one.run.run_id)


def check_told(evaluation: dg.AssetCheckEvaluation, partition: str | None, run_id: str) -> Happening:
    """A result that is no pass."""
    table = "/".join(evaluation.asset_key.path)
    subject = f"{named(table, evaluation.partition or partition)} {evaluation.check_name}"
    metadata = {name: value.value for name, value in evaluation.metadata.items()}
    ran = metadata.get("ran", True) is not False
    state = ("failed" if evaluation.severity is dg.AssetCheckSeverity.ERROR else "warns") if ran else "did not run"
    said = evaluation.description or str(metadata.get("why") or "It gave no reason.")
    repair = f"Look at the check on the page of {table}; the rows at fault stand there where it names some."
    return Happening(subject, f"check {subject} {state}", said, repair, run_id, run_id)


def converges_not(evaluation: dg.AssetCheckEvaluation) -> bool:
    """Whether this is the failed check of a training that left the road."""
    return evaluation.check_name == CONVERGED and not evaluation.passed


def divergences(instance: dg.DagsterInstance, place: str | None) -> tuple[list[Happening], str]:
    """Trainings that diverged or were steered. The step tells it at once; this one where it could not."""
    cursor = Cursor.of(place)
    found: list[Happening] = []
    for one in ended(instance, cursor):
        for evaluation, _ in one.evaluations():
            if converges_not(evaluation):
                subject = named("/".join(evaluation.asset_key.path), evaluation.partition or one.partition)
                verb = "diverged" if evaluation.severity is dg.AssetCheckSeverity.ERROR else "was steered"
                said = evaluation.description or "The loss left the road."
                what = f"{subject} {verb}"
                found.append(Happening(subject, what, said, REPAIR_TRAINING, one.run.run_id, one.run.run_id))
    return found, str(cursor)


def regressions(instance: dg.DagsterInstance, place: str | None) -> tuple[list[Happening], str]:
    """Recipes whose new scorecard is worse than that of their release, and the leaderboard's own check."""
    cursor = Cursor.of(place)
    found: list[Happening] = []
    for one in ended(instance, cursor, more=MADE):
        for evaluation, _ in one.evaluations():
            if evaluation.check_name == NO_REGRESSION and not evaluation.passed:
                said = evaluation.description or "A recipe fell behind the best."
                found.append(
                    Happening(LEADERBOARD, "a recipe fell behind", said, REPAIR_RECIPE, one.run.run_id, one.run.run_id)
                )
        for event in one.of(dg.DagsterEventType.ASSET_MATERIALIZATION):
            if event.asset_key == SCORECARD and event.partition:
                found += fallen(event.partition, one.run.run_id)
    return found, str(cursor)


REPAIR_TRAINING = "Lower the learning rate in the recipe, or see docs/training.md; the last good checkpoint stays."
REPAIR_RECIPE = "Compare the recipes' scorecards and what changed between them before the new adapter is released."


def fallen(recipe: str, run_id: str) -> list[Happening]:
    """What became worse of a recipe since the newest release that holds another adapter of it."""
    from twainbot.release.regressions import fallen_behind
    from twainbot_assets.definitions import lake
    from twainbot_assets.release import verdicts_of

    opened = lake.open()
    try:
        version, before = released(opened, recipe, current())
        worse = fallen_behind(before, verdicts_of(opened, recipe)) if before else []
    except (TwainBotError, OSError, ValueError, LookupError):
        return []  # a table that is being made again: its next scorecard is looked at
    if not worse:
        return []
    subject, more = named("evals/scorecard", recipe), f" (and {len(worse) - 3} more)" if len(worse) > 3 else ""
    what = f"{recipe} is worse than {version}"
    return [Happening(subject, what, "; ".join(worse[:3]) + more, REPAIR_RECIPE, run_id, run_id)]


def released(lake: Lake, recipe: str, profile: Profile) -> tuple[str, list[dict[str, Any]]]:
    """The newest release that holds another adapter of the recipe than the present one, with its verdicts.

    A rehearsal counts in a profile of rehearsals only. No version and nothing where there is none.
    """
    from twainbot_assets.release import STAGE

    adapter = lake.read(f"adapters/{STAGE}", recipe)["adapter_sha256"][0]
    for version in sorted(lake.keys("release/model"), key=numbers_of, reverse=True):
        row = lake.read("release/model", version).row(0, named=True)
        if row["rehearsal"] and not profile.rehearsal:
            continue
        if adapter not in json.loads(row["parents"]).values():
            path = lake.root().joinpath(*row["folder"].split("/"), "scorecard.json")
            recipes = json.loads(path.read_text(encoding="utf-8"))["recipes"] if path.exists() else {}
            if recipe in recipes:
                return version, recipes[recipe]
    return "", []


def numbers_of(version: str) -> list[int]:
    """The numbers of a version, which order as 9 and 10 do."""
    return [int(part) for part in "".join(letter if letter.isdigit() else " " for letter in version).split()]


def stale_sources(instance: dg.DagsterInstance, place: str | None) -> tuple[list[Happening], str]:
    """Live sources that nobody looked at for too long, or that gave nothing when somebody did."""
    from twainbot_assets.definitions import harvest

    return [found for source in SOURCES if (found := staleness(instance, harvest, source))], place or ""


def staleness(instance: dg.DagsterInstance, harvest: Harvest, source: str) -> Happening | None:
    """What is wrong with one live source; nothing of one on this machine, of none, and of one that never had a unit."""
    from twainbot_assets.partitions import UNITS

    units = set(instance.get_dynamic_partitions(UNITS[source].name or source))
    if not units or not harvest.is_live(source):
        return None
    repair = f"`twainbot refresh` looks at it now; the schedule look_at_{source} does where it is on. Is {source} still served?"
    looked_at, bound = harvest.told_at(source), FRESH_FOR_S.get(source, FRESH_ELSE_S)
    age = time.time() - looked_at
    if age > bound:
        when = f"was last looked at {age / DAY_S:.1f} days ago" if looked_at else "was never looked at by this profile"
        said = f"It {when}, and should be every {bound / DAY_S:.0f} days."
        return Happening(source, f"source {source} is stale", said, repair)
    silent = {unit: why for unit, why in harvest.told(source).items() if unit in units}
    if len(silent) < len(units):
        return None
    said = f"None of its {len(units)} units could be had when it was last looked at: {next(iter(silent.values()))}"
    return Happening(source, f"source {source} does not answer", said, repair)


def budgets(_: dg.DagsterInstance, place: str | None) -> tuple[list[Happening], str]:
    """Budgets of paid generators and judges that are spent, or soon will be."""
    from resources.home import current as current_home

    profile = current()
    return [found for role in ("generator", "judge") if (found := spending(profile, role, current_home()))], place or ""


def spending(profile: Profile, role: str, home: Home) -> Happening | None:
    """How much of a budget is spent, told once for each share and each size of the budget."""
    from resources.generator_settings import GRAMMAR, LOCAL
    from resources.generators import budget_of

    settings = getattr(profile.dialogues, role)
    if settings.backend in (GRAMMAR, LOCAL):
        return None
    budget = budget_of(settings, home.cache, f"{profile.name}-{role}")
    share = spent_share(budget) if budget.ledger.exists() else 0.0
    reached = next((bound for bound in SPENT_SHARES if share >= bound), None)
    if reached is None:
        return None
    subject = f"{role} {reached:.0%}"
    said = f"{share:.0%} of the {role}'s budget ({budget.whole}) is spent: {budget.spent()} so far."
    repair = f"Raise dialogues.{role}.budget_usd or budget_tokens in the profile, or write less."
    what = f"budget of the {role}: {share:.0%} spent"
    return Happening(subject, what, said, repair, "", f"{reached} of {budget.whole}")


def spent_share(budget: Budget) -> float:
    """Spent of allowed, on the side where more is spent; nothing spent is nothing, whatever is allowed."""
    spent = budget.spent()
    sides = [(spent.usd, budget.usd), (float(spent.tokens), budget.tokens)]
    return max((used / most if most else 1.0 for used, most in sides if most is not None and used > 0), default=0.0)


# --- who looks --------------------------------------------------------------------------------------------------------

LOOKS: dict[str, Look] = {FAILURE: failures, CHECKS: checks, DIVERGENCE: divergences, REGRESSION: regressions}
STATES: dict[str, Look] = {STALE: stale_sources, BUDGET: budgets}
EVERY_S = {STALE: 3600, BUDGET: 600}
ABOUT = {
    FAILURE: "Tells of failed runs, those of the command line too.",
    CHECKS: "Tells of checks that failed, warned or did not run; a warning leaves its run green.",
    DIVERGENCE: "Tells of trainings that diverged or were steered, where the step could not tell it itself.",
    REGRESSION: "Tells of scorecards that are worse than the released one, and of recipes that fell behind.",
    STALE: "Tells of live sources that were not looked at for long, or do not answer.",
    BUDGET: "Tells when 80% and when all of a generator's or judge's budget is spent.",
}


def teller(instance: dg.DagsterInstance, kind: str, log: Callable[[str], None]) -> Teller:
    """Who tells happenings of a kind; states that last are told again once a day."""
    cooldown = DAY_S if kind in STATES else COOLDOWN_S
    title = f"TwainBot {current().name}"
    return Teller(instance, kind, log, prefix=title, cooldown_s=cooldown, lasting=kind in STATES)


def watcher(kind: str, look: Look) -> dg.SensorDefinition:
    """The sensor of one kind. It is on where somebody can be told when the graph is loaded, else off."""
    on = dg.DefaultSensorStatus.RUNNING if alerts.receivers() else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name=f"alert_{kind.replace(' ', '_')}", minimum_interval_seconds=EVERY_S.get(kind, 30), default_status=on,
        description=ABOUT[kind],
    )  # fmt: skip
    def watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        happenings, place = look(context.instance, context.cursor)
        if not teller(context.instance, kind, context.log.info).tell(happenings):
            return dg.SkipReason(f"{len(happenings)} to tell, and nobody took it: tried again at the next tick.")
        context.update_cursor(place)
        return dg.SkipReason(f"{len(happenings)} looked at." if happenings else "Nothing to tell.")

    return watch


@contextmanager
def telling(instance: dg.DagsterInstance) -> Iterator[None]:
    """Tell of what happens inside at its end: a command's runs are watched where no daemon runs, too."""
    if not alerts.receivers():
        yield
        return
    places = {kind: from_now(instance, look) for kind, look in LOOKS.items()}
    try:
        yield
    finally:
        try:
            for kind, look in LOOKS.items():
                teller(instance, kind, complain).tell(all_since(instance, look, places[kind]))
        except Exception as error:  # an alert is no reason to fail
            complain(f"Alerts could not be looked for ({type(error).__name__}).")


def from_now(instance: dg.DagsterInstance, look: Look) -> str:
    """A cursor that begins now and passes over nothing that is old when a long command ends."""
    begun = str(time.time())
    return str(Cursor({**Cursor.of(look(instance, None)[1]).places, SINCE: begun}))


def all_since(instance: dg.DagsterInstance, look: Look, place: str) -> list[Happening]:
    """Everything since a cursor, however many ticks it would take."""
    found: list[Happening] = []
    while True:
        more, reached = look(instance, place)
        found += more
        if reached == place:
            return found
        place = reached


def complain(line: str) -> None:
    """A line for whoever reads the terminal, unless all went well."""
    if not line.endswith("Delivered."):
        sys.stderr.write(f"{line}\n")


def trial() -> tuple[list[str], bool]:
    """Send a test message to each receiver: a line for each, and whether all took it. Raises BadUse where there is none."""
    if not alerts.receivers():
        raise BadUse(
            f"Nobody can be told: set {alerts.URLS} to apprise URLs, or {alerts.URL} to a webhook. See docs/alerts.md."
        )
    said = f"Sent by `twainbot alert-test` at {stamp(time.time())}. Nothing happened."
    message = alerts.Message(
        f"TwainBot {current().name}: test", said, "Nothing is to be mended.", facts={"kind": "test"}
    )
    outcomes = alerts.deliver(message)
    lines = [f"{one.receiver}: {'took it' if one.took else f'did not take it: {one.why}'}" for one in outcomes]
    return lines, all(one.took for one in outcomes)


sensors = [watcher(kind, look) for kind, look in {**LOOKS, **STATES}.items()]
