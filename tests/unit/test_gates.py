"""The mechanism of gates: what blocks, what warns, and that a gate which did not run never counts as passed."""

from typing import Any

import dagster as dg
import polars as pl
import pytest

from checks.gates import Finding, Gate, given, judge, named, outcome, plain, refusal, result, run_gate, share, specs
from resources.lake import Lake, LakeIOManager
from tests import builders as make
from twainbot.errors import GateFailed
from twainbot_assets.publish import Published, counts_table, publish, table_metadata

KEY = dg.AssetKey(["things", "t"])
ROWS = pl.DataFrame({"n": [1, 2]})
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def explode(_rows: pl.DataFrame) -> Finding:
    raise KeyError("colour")


PASSES = Gate("passes", "Always.", lambda rows: Finding(True, f"{rows.height} rows", rows.height, 1))
BLOCKS = Gate("blocks", "Never.", lambda _: Finding(False, "2 rows, wanted 3", 2, 3, ["t:0", "t:1"]))
WARNS = Gate("warns", "Never, but go on.", lambda _: Finding(False, "0.4 rejected", 0.4, 0.2), blocking=False)
BREAKS = Gate("breaks", "Raises.", explode)
BREAKS_SOFTLY = Gate("breaks_softly", "Raises.", explode, blocking=False)


@pytest.mark.parametrize(
    ("gate", "passed", "severity", "faults"),
    [
        (PASSES, True, ERROR, []),
        (BLOCKS, False, ERROR, ["blocks: 2 rows, wanted 3"]),
        (WARNS, False, WARN, []),
        (BREAKS, False, ERROR, ["breaks: did not run: KeyError: 'colour'"]),
        (BREAKS_SOFTLY, False, ERROR, []),
    ],
    ids=lambda value: value.name if isinstance(value, Gate) else None,
)
def test_only_a_blocking_gate_that_did_not_pass_stops_the_commit(gate, passed, severity, faults):
    [found], stops = judge([gate], ROWS, KEY, None)
    assert (found.passed, found.severity, stops) == (passed, severity, faults)


def test_a_gate_that_raises_did_not_run_and_says_so():
    finding, ran = run_gate(BREAKS, ROWS)
    assert (finding.passed, ran) == (False, False)
    assert result(BREAKS, finding, ran, KEY, None).metadata["ran"].value is False
    assert run_gate(PASSES, ROWS)[1] is True


def test_a_person_who_stops_the_run_is_not_taken_for_a_gate_that_did_not_run():
    def stop(_rows: pl.DataFrame) -> Finding:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_gate(Gate("stop", "", stop), ROWS)


def test_a_result_carries_value_bound_partition_and_rows_at_fault():
    [found], _ = judge([BLOCKS], ROWS, KEY, "river")
    shown = {name: entry.value for name, entry in found.metadata.items()}
    assert shown == {
        "ran": True, "why": "2 rows, wanted 3", "partition": "river", "value": 2, "bound": 3,
        "rows_at_fault": "- `t:0`\n- `t:1`",
    }  # fmt: skip
    assert (found.check_name, found.asset_key, found.description) == ("blocks", KEY, "2 rows, wanted 3")


def test_no_more_than_ten_rows_at_fault_are_shown():
    many = Gate("many", "", lambda _: Finding(False, "all", rows=[f"t:{n}" for n in range(99)]))
    [found], _ = judge([many], ROWS, KEY, None)
    assert str(found.metadata["rows_at_fault"].value).count("\n") == 9


def test_a_finding_may_be_an_error_though_it_blocks_nothing():
    fails = Gate("fails", "", lambda _: Finding(False, "fail", error=True), blocking=False)
    [found], faults = judge([fails], ROWS, KEY, None)
    assert (found.severity, faults) == (ERROR, [])


def test_every_gate_runs_though_an_earlier_one_failed():
    found, faults = judge([BLOCKS, BREAKS, PASSES], ROWS, KEY, None)
    assert [entry.check_name for entry in found] == ["blocks", "breaks", "passes"]
    assert len(faults) == 2


@pytest.mark.filterwarnings("ignore::dagster.PreviewWarning")
def test_specs_name_each_gate_and_block_where_it_blocks():
    units = dg.StaticPartitionsDefinition(["a"])
    made = specs(KEY, [BLOCKS, WARNS], units)
    assert [(spec.name, spec.blocking, spec.asset_key, spec.partitions_def) for spec in made] == [
        ("blocks", True, KEY, units),
        ("warns", False, KEY, units),
    ]


def test_a_refusal_names_table_partition_gate_and_what_stays():
    fault = refusal(KEY, "river", ["blocks: 2 rows, wanted 3"])
    assert fault.description == (
        "things/t [river] was not committed: blocks: 2 rows, wanted 3. The last good version stays."
    )
    assert fault.allow_retries is False
    assert "[" not in str(refusal(KEY, None, ["x: y"]).description)


def test_an_error_of_ours_keeps_its_words():
    assert plain(GateFailed("No rain, one expected. Look again.")).description == "No rain, one expected. Look again."


@pytest.mark.parametrize(("blocking", "severity"), [(True, ERROR), (False, WARN)])
def test_an_outcome_has_the_form_of_a_gates_result(blocking, severity):
    made = outcome(False, "too few", blocking, {"value": 1}, "volume", KEY)
    assert (made.passed, made.severity, made.description, made.check_name) == (False, severity, "too few", "volume")
    assert made.metadata["why"].value == "too few"


def test_small_helpers():
    assert share(1, 4) == 0.25
    assert share(0, 0) == 0.0
    assert named(["a", "b"]) == "a, b"
    assert named(iter("abcdefg")) == "a, b, c, d, e and 2 more"
    assert given(ROWS) is ROWS
    with pytest.raises(ValueError, match="was not given"):
        given(None)


def run_with(gates: list[Gate], base: str) -> dg.ExecuteInProcessResult:
    """One asset of two rows behind these gates, materialised into a lake."""

    @dg.asset(key=KEY, check_specs=specs(KEY, gates))
    def t(context: dg.AssetExecutionContext) -> Published:
        yield from publish(context, lambda: ROWS, gates)

    with dg.DagsterInstance.ephemeral() as instance:
        resources: dict[str, Any] = {"io_manager": LakeIOManager(base=base)}
        return dg.materialize([t], instance=instance, resources=resources, raise_on_error=False)


@pytest.mark.parametrize("gate", [BLOCKS, BREAKS], ids=lambda gate: gate.name)
def test_a_refused_table_never_reaches_the_lake_and_the_last_good_one_stays(tmp_path, gate):
    lake = Lake(str(tmp_path))
    lake.write("things/t", None, pl.DataFrame({"n": [0]}))
    done = run_with([PASSES, gate], str(tmp_path))
    assert not done.success
    assert lake.read("things/t")["n"].to_list() == [0]
    assert {found.check_name: found.passed for found in done.get_asset_check_evaluations()} == {
        "passes": True,
        gate.name: False,
    }


@pytest.mark.parametrize("gate", [WARNS, BREAKS_SOFTLY], ids=lambda gate: gate.name)
def test_a_table_that_only_warns_is_committed_with_its_warning(tmp_path, gate):
    done = run_with([PASSES, gate], str(tmp_path))
    assert done.success
    assert Lake(str(tmp_path)).read("things/t")["n"].to_list() == [1, 2]
    assert [found.passed for found in done.get_asset_check_evaluations()] == [True, False]


def test_columns_are_described_in_the_ui_and_one_beyond_the_schema_has_its_name_only():
    rows = make.chunks().with_columns(more=1)
    said = {
        column.name: column.description
        for column in table_metadata(rows, "chunks/local")["dagster/column_schema"].columns
    }
    assert (said["end"], said["heading"], said["more"]) == (
        "exclusive",
        "chapter or section that it stands in; empty where none",
        None,
    )


def test_figures_in_a_table_of_the_ui_are_short_and_none_becomes_zero():
    (row,) = counts_table(
        [{"n": 12, "rate": 0.8368361766204282, "words": 43.552275241492474, "off": 4.123456e-06}]
    ).records
    assert dict(row.data) == {"n": "12", "rate": "0.8368", "words": "43.5523", "off": "4.123e-06"}
