"""What the automation sensor asks for on the real graph: changed data and code, partition by partition, past no gate.

Nothing is built here: versions and verdicts are reported to an instance in memory, as runs would leave them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import (
    AssetCheckEvaluationPlanned,
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster_shared.serdes import deserialize_value, serialize_value

from twainbot.errors import BadConfig
from twainbot_assets import conditions, keys
from twainbot_assets.definitions import defs
from twainbot_assets.freshness import Files, Freshness, Item
from twainbot_assets.partitions import BATCHES, UNITS
from twainbot_assets.profile import current, load

pytestmark = pytest.mark.slow

GRAPH = defs.resolve_asset_graph()
CHAIN = ["corpora/local", "chunks/local", "screened/local", "dedupe/signatures/local"]  # one run of one unit
EDGES, SEEDS, PASSAGES = "dedupe/edges", "dialogues/seeds", "curated/passages"
LOOKED_AT = [*CHAIN, EDGES, SEEDS]
UNITS_HERE = ["hill", "mill", "river"]


class World:
    """An instance whose units are all built, and the automation sensor's memory of it."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cursor = instance, None
        self.units = {partitions.name: [] for partitions in UNITS.values()}
        # the tester asks for a set's keys thousands of times, and past Dagster's own cache
        instance.get_dynamic_partitions = lambda partitions_def_name: self.units.get(partitions_def_name, [])
        for unit in UNITS_HERE:
            self.register(unit)
        for table in dict.fromkeys([*self.read(), *LOOKED_AT]):
            for partition in self.partitions(table):
                self.commit(table, partition, "1")

    def register(self, unit: str) -> None:
        """A new unit of the drop folder."""
        self.instance.add_dynamic_partitions("local_units", [unit])
        self.units["local_units"].append(unit)

    def forget(self, unit: str) -> None:
        """A unit that is gone."""
        self.instance.delete_dynamic_partition("local_units", unit)
        self.units["local_units"].remove(unit)

    def read(self) -> list[str]:
        """What the assets looked at read."""
        found = {parent for table in LOOKED_AT for parent in GRAPH.get(keys.key(table)).parent_keys}
        return sorted(keys.table(key) for key in found)

    def partitions(self, table: str) -> list[str | None]:
        """The partitions of a table here; one without a name where it has none."""
        partitions = GRAPH.get(keys.key(table)).partitions_def
        return [None] if partitions is None else partitions.get_partition_keys(dynamic_partitions_store=self.instance)

    def commit(self, table: str, partition: str | None, version: str) -> None:
        """A new version of a partition, its gates passed; of a source an observation."""
        key, tags = keys.key(table), {"dagster/data_version": version}
        made = dg.AssetMaterialization if GRAPH.get(key).is_materializable else dg.AssetObservation
        self.instance.report_runless_asset_event(made(asset_key=key, partition=partition, tags=tags))
        self.judge(table, partition, passed=True)

    def judge(self, table: str, partition: str | None, *, passed: bool) -> None:
        """The verdict of all blocking gates on a partition."""
        run_id = str(uuid.uuid4())
        gates = self.gates(table)
        judged = self.latest(table, partition) if gates else None
        for gate in gates:
            found = AssetCheckEvaluation(
                asset_key=gate.asset_key, check_name=gate.name, passed=passed, metadata={}, partition=partition,
                blocking=True, target_materialization_data=judged,
            )  # fmt: skip
            self.report(DagsterEventType.ASSET_CHECK_EVALUATION, found, run_id)

    def latest(self, table: str, partition: str | None) -> AssetCheckEvaluationTargetMaterializationData:
        """The materialization that a gate judges, as a run notes it."""
        partitions = [partition] if partition else None
        wanted = dg.AssetRecordsFilter(asset_key=keys.key(table), asset_partitions=partitions)
        record = self.instance.fetch_materializations(wanted, limit=1).records[0]
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )

    def report(self, kind: DagsterEventType, found: Any, run_id: str) -> None:
        """One event of a run."""
        event = DagsterEvent(event_type_value=kind.value, job_name="any", event_specific_data=found, step_key="any")
        self.instance.report_dagster_event(event, run_id)

    def gates(self, table: str) -> list[dg.AssetCheckKey]:
        """The blocking checks of a table."""
        return sorted(key for key in GRAPH.get_check_keys_for_assets({keys.key(table)}) if GRAPH.get(key).blocking)

    def kill_while_judging(self, table: str, partition: str) -> None:
        """A run that planned its gates and was killed before one of them ended."""
        run = dg.DagsterRun("any", run_id=str(uuid.uuid4()))
        self.instance.add_run(run)
        partitions = GRAPH.get(keys.key(table)).partitions_def
        for gate in self.gates(table):
            planned = AssetCheckEvaluationPlanned(
                asset_key=gate.asset_key,
                check_name=gate.name,
                partitions_subset=partitions.subset_with_partition_keys([partition]),
            )
            self.report(DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned, run.run_id)
        self.instance.report_run_failed(run)

    def start(self, table: str, partition: str | None, *others: str) -> dg.DagsterRun:
        """A run that has begun to make a partition of a table, and of others beside it."""
        chosen = frozenset(keys.key(each) for each in (table, *others))
        run = dg.DagsterRun("any", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED, asset_selection=chosen)
        self.instance.add_run(run)
        for key in chosen:
            self.report(
                DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
                AssetMaterializationPlannedData(key, partition),
                run.run_id,
            )
        return run

    def make(self, run: dg.DagsterRun, table: str, partition: str | None, version: str) -> None:
        """The run commits one of its tables."""
        made = dg.AssetMaterialization(keys.key(table), partition=partition, tags={"dagster/data_version": version})
        self.report(DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(made), run.run_id)
        self.judge(table, partition, passed=True)

    def end(self, run: dg.DagsterRun) -> None:
        """The run succeeds."""
        self.instance.report_dagster_event(DagsterEvent(DagsterEventType.RUN_SUCCESS.value, "any"), run.run_id)

    def tick(self, definitions: dg.Definitions = defs) -> dict[str, list[str | None]]:
        """What the sensor asks for now: table to partitions."""
        chosen = dg.AssetSelection.assets(*(keys.key(table) for table in LOOKED_AT))
        found = dg.evaluate_automation_conditions(
            definitions, self.instance, asset_selection=chosen, cursor=self.cursor
        )
        self.cursor = found.cursor
        asked = {table: sorted(found.get_requested_partitions(keys.key(table)), key=str) for table in LOOKED_AT}
        return {table: partitions for table, partitions in asked.items() if partitions}


@pytest.fixture(scope="module")
def built() -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance)


@pytest.fixture
def world(built: World) -> World:
    """The module's world, and a sensor that has just been switched on."""
    built.cursor = None
    assert built.tick() == {}  # the first look only remembers
    return built


def chain(*units: str) -> dict[str, list[str]]:
    """All steps of these units."""
    return {table: sorted(units) for table in CHAIN}


def test_where_nothing_changed_nothing_is_asked_for(world: World) -> None:
    assert world.tick() == {}


def test_a_changed_unit_is_asked_for_once_with_its_whole_chain_and_no_other_unit_is(world: World) -> None:
    world.commit("sources/local", "river", "another text")
    assert world.tick() == chain("river")
    assert world.tick() == {}


def test_what_was_made_again_with_the_same_content_asks_for_nothing(world: World) -> None:
    for table in ["sources/local", *CHAIN]:
        world.commit(table, "hill", "1")
    assert world.tick() == {}


def test_a_fan_in_is_asked_for_when_a_unit_came_out_different(world: World) -> None:
    for table in CHAIN:
        world.commit(table, "mill", "2")
    assert world.tick() == {EDGES: [None]}


def test_an_edited_setting_asks_for_every_unit_that_reads_it(world: World) -> None:
    world.commit("sources/settings_chunking", None, "other sizes")
    asked = world.tick()
    assert asked == {table: UNITS_HERE for table in CHAIN if table != "corpora/local"}


@pytest.mark.parametrize("trouble", ["failed", "never ended"])
def test_a_unit_whose_blocking_check_failed_or_never_ended_triggers_nothing_until_it_passes(
    world: World, trouble: str
) -> None:
    if trouble == "failed":
        world.judge("corpora/local", "river", passed=False)
    else:
        world.kill_while_judging("corpora/local", "river")
    world.commit("sources/settings_chunking", None, f"sizes for what {trouble}")
    asked = world.tick()
    assert asked["chunks/local"] == ["hill", "mill"]
    world.judge("corpora/local", "river", passed=True)
    assert world.tick() == {table: ["river"] for table in CHAIN if table != "corpora/local"}


@pytest.mark.parametrize("table", ["corpora/local", "base/tokenizer"])
def test_a_gate_that_was_added_since_keeps_nothing_back_until_it_was_given_and_refresh_says_the_same(
    world: World, table: str
) -> None:
    key = keys.key(table)
    partitions = GRAPH.get(key).partitions_def

    @dg.asset_check(asset=key, blocking=True, partitions_def=partitions)
    def added() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    upgraded = dg.Definitions(
        assets=defs.assets, asset_checks=[*(defs.asset_checks or ()), added], resources=defs.resources
    )
    world.commit("sources/settings_chunking", None, f"sizes for {table}")
    assert world.tick(upgraded) == {each: UNITS_HERE for each in CHAIN if each != "corpora/local"}
    item = Item(table, "river" if partitions else None)
    assert Freshness(upgraded, world.instance, Files(None)).failed_checks(item) == []


def test_a_refused_unit_keeps_no_fan_in_from_the_others(world: World) -> None:
    world.judge("dedupe/signatures/local", "hill", passed=False)
    world.commit("dedupe/signatures/local", "mill", "3")
    assert world.tick() == {EDGES: [None]}


def test_a_new_unit_is_asked_for_when_it_has_been_observed(world: World) -> None:
    world.register("spring")
    assert world.tick() == {}
    world.commit("sources/local", "spring", "a first text")
    assert world.tick() == chain("spring")
    world.forget("spring")


def test_new_passages_never_rebuy_frozen_seeds_and_edited_prompts_do(world: World) -> None:
    world.commit(PASSAGES, None, "more passages")
    assert world.tick() == {}
    world.commit("sources/prompts", None, "edited")
    assert world.tick() == {SEEDS: BATCHES.get_partition_keys()}


def test_a_setting_that_changes_while_its_reader_is_at_work_asks_for_it_again_once_when_it_has_ended(
    world: World,
) -> None:
    run = world.start("screened/local", "river")
    assert world.tick() == {}
    world.commit("sources/lexicon", None, "a word more")
    assert [world.tick(), world.tick()] == [{"screened/local": ["hill", "mill"]}, {}]  # the others at once
    world.make(run, "screened/local", "river", "of the old words")
    world.end(run)
    assert world.tick() == {"screened/local": ["river"]}
    world.commit("screened/local", "river", "of the new words")
    assert [world.tick(), world.tick()] == [{}, {}]


def test_a_unit_that_comes_out_different_while_a_fan_in_is_at_work_asks_for_it_again_once(world: World) -> None:
    run = world.start(EDGES, None)
    assert world.tick() == {}
    world.commit("dedupe/signatures/local", "mill", "came late")
    assert world.tick() == {}
    world.make(run, EDGES, None, "without the late one")
    world.end(run)
    assert world.tick() == {EDGES: [None]}
    world.commit(EDGES, None, "with the late one")
    assert [world.tick(), world.tick()] == [{}, {}]


def test_steps_of_one_run_ask_for_none_of_each_other_however_long_it_takes(world: World) -> None:
    run = world.start(CHAIN[0], "hill", *CHAIN[1:])
    assert world.tick() == {}
    found = []
    for table in CHAIN:
        world.make(run, table, "hill", "made in one run")
        found.append(world.tick())
    world.end(run)
    assert found == [{}, {}, {}, {EDGES: [None]}]  # the fan-in is another run's
    assert world.tick() == {}


def test_runs_by_hand_one_after_the_other_ask_for_nothing(world: World) -> None:
    """As `twainbot refresh` does: a unit's chain in a run, then the fan-in, which begins when the unit has been made."""
    first = world.start(CHAIN[0], "mill", *CHAIN[1:])
    for table in CHAIN:
        world.make(first, table, "mill", "made by hand")
    world.end(first)
    second = world.start(EDGES, None)
    assert [world.tick(), world.tick()] == [{}, {}]
    world.make(second, EDGES, None, "made by hand")
    world.end(second)
    assert [world.tick(), world.tick()] == [{}, {}]


def test_no_training_is_asked_for_again_because_another_ended_beside_it() -> None:
    """A named job that is started whole hides its assets, and its own adapters would seem to change behind its back."""
    partitions = conditions.partitions_of(defs.assets)
    for table in ("adapters/preference", "evals/scorecard"):
        spec = next(spec for asset in defs.assets if isinstance(asset, dg.AssetsDefinition) for spec in asset.specs
                    if spec.key == keys.key(table))  # fmt: skip
        ignored = ignored_by(conditions.on_change(spec, partitions))
        trained = {dep.asset_key for dep in spec.deps if dep.asset_key.path[0] in conditions.TRAINED}
        assert trained
        assert trained <= ignored


def ignored_by(condition: Any) -> set[dg.AssetKey]:
    """What `changed_elsewhere` leaves out, wherever it stands in a condition."""
    if condition.get_label() == "changed_elsewhere":
        return set(condition.ignore_selection.resolve(defs.resolve_asset_graph()))
    return set().union(*(ignored_by(child) for child in condition.children))


def test_changed_code_asks_for_every_partition_of_what_it_makes(world: World) -> None:
    def rewritten(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(code_version="rewritten") if spec.key == keys.key("screened/local") else spec

    assets = [
        each.map_asset_specs(rewritten) if isinstance(each, dg.AssetsDefinition) else each for each in defs.assets
    ]
    changed = dg.Definitions(assets=assets, asset_checks=defs.asset_checks, resources=defs.resources)
    assert world.tick(changed) == {"screened/local": UNITS_HERE}


def automatic(profile: str, *more: str) -> set[str]:
    """Stages of which automation builds something."""
    found = {key for key in GRAPH.materializable_asset_keys
             if conditions.is_automatic(key, load(profile), frozenset(more))}  # fmt: skip
    return {keys.table(key).split("/")[0] for key in found}


UP_TO_SPLITS = {"base", "corpora", "chunks", "screened", "dedupe", "curated", "dialogues", "splits", "warehouse"}


def test_automation_ends_before_training_unless_switched_on() -> None:
    assert automatic("tiny") == UP_TO_SPLITS
    assert automatic("tiny", "training") == UP_TO_SPLITS | {"adapters", "evals"}


def test_words_that_cost_money_are_bought_only_where_switched_on() -> None:
    paying = with_generator(
        {"backend": "openai", "model": "some-model", "budget_usd": 1, "price_in": 1, "price_out": 1}
    )
    seeds = keys.key(SEEDS)
    assert not conditions.is_automatic(seeds, paying, frozenset())
    assert conditions.is_automatic(seeds, paying, frozenset({"generation"}))
    assert conditions.is_automatic(seeds, with_generator({"backend": "local"}), frozenset())


def with_generator(settings: dict[str, Any]) -> Any:
    """The profile with another generator."""
    plain = current().model_dump(mode="json")
    plain["dialogues"]["generator"] = settings
    return type(current()).model_validate(plain)


def test_what_is_built_on_request_has_no_condition_whatever_is_switched_on() -> None:
    everything = frozenset({"training", "generation"})
    for table in ("release/model", "release/dataset", "dedupe/semantic"):
        assert not conditions.is_automatic(keys.key(table), current(), everything)
        assert GRAPH.get(keys.key(table)).automation_condition is None


def test_an_unknown_word_in_the_switch_is_told_with_those_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWAINBOT_AUTOMATE", "training, trainings")
    with pytest.raises(BadConfig, match=r"names \['trainings'\]\. Known: training, generation"):
        conditions.switched_on()


def test_the_daemon_can_read_every_condition() -> None:
    wanted = [node.automation_condition for node in GRAPH.asset_nodes if node.automation_condition is not None]
    assert wanted
    for condition in wanted:
        assert condition.is_serializable
    one = GRAPH.get(keys.key(SEEDS)).automation_condition
    assert deserialize_value(serialize_value(one)) == one


def test_nothing_runs_by_itself_until_somebody_switches_it_on() -> None:
    repository = defs.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} >= {"automation", "source_watcher", "settings_watcher"}
    assert {sensor.default_status for sensor in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}
