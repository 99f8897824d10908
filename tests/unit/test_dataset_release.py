"""The data bundle as it leaves the graph: its files, its manifest, its gates, and the commands that look at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from checks import dataset_release as gates
from resources.folders import Folders
from resources.lake import Lake, LakeIOManager, LakeResource
from resources.suites import eval_texts
from tests import builders as make
from tests import data_lake as small
from twainbot.errors import BadInput, BadUse
from twainbot.records import content_hash
from twainbot.release import chat, data_card, manifest
from twainbot_assets import data_versions, dataset_release, releasing, tools
from twainbot_assets.cli import main
from twainbot_assets.partitions import DATA_VERSIONS, UNITS

OLD, NEW, MODEL = "data-v1.0-rehearsal", "data-v1.1-rehearsal", "twainbot-lora-v1.0-rehearsal"


def cut(lake: Lake, folder: Path, version: str) -> pl.DataFrame:
    """Cut a version and record it, as the asset does."""
    row = dataset_release.cut(lake, folder / version, version, {"splits/sft": "ab12"})
    lake.write("release/dataset", version, row)
    return row


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    """A home whose lake has two data versions and a model: in the second, a story is a near-duplicate."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TWAINBOT_PROFILE", "sample")
        yield cut_twice(tmp_path_factory.mktemp("home"))


def cut_twice(folder: Path) -> Path:
    """The same home, made."""
    lake = small.write(folder / "sample" / "lake", small.material())
    (folder / "work" / OLD).mkdir(parents=True)
    cut(lake, folder / "work", OLD)
    gone = [row for row in small.assignments() if row["sample_id"] != small.FLOOD_ID]
    reject = {"sample_id": small.FLOOD_ID, "work_id": "tales/the-flood", "source": "local", "stage": "dedupe",
              "decision": "reject", "reasons": ["duplicate_in:pg3189:0-90"]}  # fmt: skip
    texts = [row for row in small.passages() if row["chunk_id"] != small.FLOOD_ID]
    small.write(
        folder / "sample" / "lake", small.material(assignments=gone, passages=texts, rejects=[*small.rejects(), reject])
    )
    (folder / "work" / NEW).mkdir()
    cut(lake, folder / "work", NEW)
    lake.write("release/model", MODEL, pl.DataFrame({"version": [MODEL], "folder": ["release/model/files/0"]}))
    return folder


@pytest.fixture(scope="module")
def lake(home) -> Lake:
    return Lake(str(home / "sample" / "lake"))


@pytest.fixture(scope="module")
def bundle(lake) -> Path:
    """The folder of the first version."""
    return Path(lake.base) / lake.read("release/dataset", OLD)["folder"][0]


@pytest.fixture
def call(home, monkeypatch):
    """The command line on that home: (exit code, what it printed)."""
    monkeypatch.setenv("TWAINBOT_HOME", str(home))
    monkeypatch.setenv("TWAINBOT_PROFILE", "sample")
    monkeypatch.delenv("TWAINBOT_LAKE", raising=False)

    def invoke(*words: object) -> tuple[int, str]:
        ran = CliRunner().invoke(main, [str(word) for word in words])
        return ran.exit_code, ran.output

    return invoke


# --- files -----------------------------------------------------------------------------------------------------------


def test_every_config_lies_as_parquet_and_as_the_same_rows_of_json(bundle):
    for config, files in data_card.configs().items():
        for path in files.values():
            rows = pl.read_parquet(bundle / path).to_dicts()
            lines = (bundle / "jsonl" / path).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
            wanted = [{name: data_card.bare(value) for name, value in row.items()} for row in rows]
            assert [json.loads(line) for line in lines] == wanted, config


def test_messages_of_a_bundle_are_the_splits_own(bundle, lake):
    rows = pl.concat(pl.read_parquet(bundle / path) for path in data_card.configs()["sft"].values())
    stored = dict(small.material().sft.select("sample_id", "messages").iter_rows())
    assert {row["sample_id"]: chat.plain(row["messages"]) for row in rows.to_dicts()} == {
        name: json.loads(text) for name, text in stored.items()
    }


def test_the_manifest_lists_every_file_and_knows_its_parents(bundle):
    found = manifest.from_json((bundle / "manifest.json").read_bytes())
    listed = {entry["path"] for entry in found["files"]}
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert listed == there - {"manifest.json"}
    assert found["parents"] == {"splits/sft": "ab12"}
    assert found["made_with"]["profile"] == "sample"
    assert "whole" in tools.verify_folder(bundle)


def test_an_equal_lake_gives_the_same_bytes(lake, tmp_path):
    lake_ = small.write(tmp_path / "lake", small.material())
    first, second = (cut(lake_, made(tmp_path / name), OLD)["manifest_id"][0] for name in ("a", "b"))
    assert first == second


def made(folder: Path) -> Path:
    """The folder with room for a bundle."""
    (folder / OLD).mkdir(parents=True)
    return folder


def test_no_suite_of_evaluations_is_in_a_bundle(bundle):
    whole = " ".join(path.read_text(encoding="utf-8") for path in (bundle / "jsonl").rglob("*.jsonl"))
    long = [text for text in eval_texts().values() if len(text.split()) >= 12]
    assert long
    assert [text for text in long if json.dumps(text, ensure_ascii=False)[1:-1] in whole] == []
    assert not [path for path in bundle.rglob("*") if "eval" in path.name]


# --- gates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("column", "gate"), [("unexplained", gates.explained), ("eval_text", gates.free_of_evals)])
def test_a_bundle_with_a_row_at_fault_is_refused(lake, column, gate):
    row = lake.read("release/dataset", OLD)
    assert gate(row).passed
    found = gate(row.with_columns(pl.lit('["b000/calls/0000"]').alias(column)))
    assert not found.passed
    assert "b000/calls/0000" in found.why


def from_the_ui(lake: Lake, folder: Path, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """A version that is cut as any other partition is; every source has the unit `tales`."""
    folders = Folders(**{name: str(folder / name) for name in Folders.model_fields})
    resources = {"lake": LakeResource(base=lake.base), "folders": folders, "io_manager": LakeIOManager(base=lake.base)}
    for units in UNITS.values():
        instance.add_dynamic_partitions(units.name, ["tales"])
    instance.add_dynamic_partitions(DATA_VERSIONS.name, [OLD])
    return dg.materialize(
        [dataset_release.dataset], partition_key=OLD, instance=instance, resources=resources, raise_on_error=False
    )


def test_a_blocking_check_that_failed_behind_it_holds_for_a_version_that_the_ui_cuts(tmp_path, monkeypatch):
    monkeypatch.setenv("TWAINBOT_PROFILE", "sample")
    lake = small.write(tmp_path / "lake", small.material())
    with dg.DagsterInstance.ephemeral() as instance:
        failed = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(["curated", "rejects"]), check_name="canaries_caught", passed=False, metadata={},
            severity=dg.AssetCheckSeverity.ERROR, blocking=True,
        )  # fmt: skip
        instance.report_runless_asset_event(failed)
        refused = from_the_ui(lake, tmp_path, instance)
    assert not refused.success
    said = refused.get_step_failure_events()[0].step_failure_data.user_failure_data.description
    assert "curated/rejects, which it is made of, is not known to be sound (its check canaries_caught failed)" in said
    assert not lake.exists("release/dataset", OLD)


def test_a_bundle_is_cut_of_registered_units_and_of_the_profiles_batches(tmp_path, monkeypatch):
    monkeypatch.setenv("TWAINBOT_PROFILE", "sample")
    lake = small.write(tmp_path / "lake", small.material())
    lake.write("corpora/local", "fables", make.works(make.work("fables/the-fox", unit="fables")))
    lake.write("dialogues/contrastive", "b999", make.preferences(make.preference("b999/contrastive/0000")))
    lake.write("dialogues/seeds", "b999", make.seeds(make.seed("b999/calls/0000")))
    whole, read = dataset_release.material, []
    monkeypatch.setattr(dataset_release, "material", lambda *given: read.append(whole(*given)) or read[-1])
    with dg.DagsterInstance.ephemeral() as instance:
        assert from_the_ui(lake, tmp_path, instance).success
    assert "fables" not in set(read[0].works["unit"])
    assert read[0].works.height == small.material().works.height
    assert not [name for name in (*read[0].seeds, *read[0].pairs["preference_id"]) if name.startswith("b999")]
    named = set(json.loads(lake.read("release/dataset", OLD)["parents"][0]))
    assert {"corpora/local [tales]", "dialogues/seeds [b000]"} <= named
    assert not {"corpora/local [fables]", "dialogues/contrastive [b999]", "dialogues/seeds [b999]"} & named


def test_versions_are_those_that_the_instance_recorded(tmp_path):
    lake = small.write(tmp_path / "lake", small.material())
    with dg.DagsterInstance.ephemeral() as instance:
        for key, version in (
            ("curated/passages", "recorded"),
            ("splits/sft", content_hash(lake.read("splits/sft"))[:16]),
        ):
            report(instance, key, version)
        found = data_versions.parents(
            instance, lake, ["curated/passages", "splits/sft", "splits/dapt", "corpora/local"], []
        )
    assert found["curated/passages"] == "recorded"
    assert found["splits/dapt"] == content_hash(lake.read("splits/dapt"))[:16]  # made elsewhere: its own content
    assert set(found) == {"curated/passages", "splits/sft", "splits/dapt", "corpora/local [tales]"}


def test_a_split_that_was_replaced_by_hand_is_not_released(tmp_path):
    lake = small.write(tmp_path / "lake", small.material())
    with dg.DagsterInstance.ephemeral() as instance:
        report(instance, "splits/sft", "0123456789abcdef")
        with pytest.raises(BadInput, match=r"splits/sft in the lake has the content .* replaced by hand"):
            data_versions.parents(instance, lake, ["splits/sft"], [])


def report(instance: dg.DagsterInstance, key: str, version: str) -> None:
    """Record a materialization with a data version."""
    tags = {"dagster/data_version": version}
    instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey(key.split("/")), tags=tags))


@pytest.mark.parametrize("name", ["data-v", "data-v1", "data-v1.0/..", "data-v1.0-final", "data-vx.y", "v1.0"])
def test_a_name_that_is_no_version_is_refused_before_anything_is_made(name):
    with pytest.raises(BadUse, match="is no version"):
        releasing.cut(None, name, None)


# --- commands --------------------------------------------------------------------------------------------------------


def test_the_difference_of_two_versions_reads_as_a_table(call):
    code, said = call("diff", OLD, NEW)
    assert code == 0
    assert said.splitlines()[0] == f"{OLD} -> {NEW}"
    assert re.search(r"^dapt +2 +1 +0 +1 +0$", said, re.MULTILINE)
    assert re.search(
        rf"^dapt +removed +1 +local +now rejected as a near-duplicate +{small.FLOOD_ID}$", said, re.MULTILINE
    )


def test_the_difference_as_json_has_every_row(call):
    code, said = call("diff", NEW, OLD, "--json")
    assert code == 0
    found = json.loads(said)
    assert found["rows"] == [{"what": "added", "config": "dapt", "sample_id": small.FLOOD_ID, "source": "local",
                              "reason": "no longer rejected as a near-duplicate"}]  # fmt: skip
    assert (found["old"]["version"], found["new"]["version"]) == (NEW, OLD)


def test_folders_are_compared_as_versions_are(call, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "fetched")
    assert call("diff", tmp_path / "fetched", NEW) == call("diff", OLD, NEW)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((OLD, OLD), 2, "the same version"),
        ((OLD, "data-v9.9"), 2, f"No data version 'data-v9.9' .* Versions: {OLD}, {NEW}"),
        ((OLD, MODEL), 2, "is a model"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_sentence(call, words, code, said):
    found, printed = call("diff", *words)
    assert found == code
    assert re.search(said, printed)
    assert "Traceback" not in printed


def test_the_same_bundle_under_two_names_and_a_bundle_of_something_else_are_told(call, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "copy")
    assert "the same bundle" in call("diff", OLD, tmp_path / "copy")[1]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").write_bytes(b"1")
    weights = manifest.build("twainbot-lora", "v1", {"a": b"1"}, {"base": "x"})
    (tmp_path / "other" / "manifest.json").write_bytes(manifest.to_json(weights))
    assert "holds no data set" in call("diff", OLD, tmp_path / "other")[1]


@pytest.mark.parametrize("command", [("verify-bundle",), ("diff", OLD)])
@pytest.mark.parametrize(
    ("fault", "said"), [("change", r"sft/train\.parquet has sha256"), ("remove", r"sft/train\.parquet is missing")]
)
def test_a_changed_or_missing_file_is_named_before_anything_is_read(call, bundle, tmp_path, command, fault, said):
    spoiled = tmp_path / "spoiled"
    shutil.copytree(bundle, spoiled)
    file = spoiled / "sft" / "train.parquet"
    if fault == "remove":
        file.unlink()
    else:
        data = file.read_bytes()
        file.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    code, printed = call(*command, spoiled)
    assert code == 1
    assert re.search(said, printed)


def test_a_bundle_of_an_older_kind_says_what_it_lacks(call, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    (old / "a").write_bytes(b"1")
    found = manifest.build("twainbot-data", "data-v0.1", {"a": b"1"}, {"splits/sft": "x"})
    (old / "manifest.json").write_bytes(manifest.to_json(found))
    code, printed = call("diff", OLD, old)
    assert (code, "Cut it again" in printed) == (2, True)


def test_a_version_that_is_cut_is_copied_again_without_being_cut_again(call, home, tmp_path):
    code, printed = call("release", OLD, "--to", tmp_path / "out")
    assert (code, "files written" in printed) == (0, True), printed
    assert "whole" in tools.verify_folder(tmp_path / "out" / OLD)


# --- other people's library ------------------------------------------------------------------------------------------

OPENED = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
folder = sys.argv[1]
print(json.dumps({name: {split: len(rows) for split, rows in load_dataset(folder, name).items()}
                  for name in get_dataset_config_names(folder)}))
rows = load_dataset(folder, "sft", split="test")
print(json.dumps([row["messages"] for row in rows]))
"""


def run_offline(code: str, folder: Path, cache: Path) -> list[str]:
    """The last lines that a script prints, in a process of its own without the net, run inside the bundle."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cache), "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=folder, env={**os.environ, **offline},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_library_opens_every_config_with_its_splits_offline_and_no_null_argument_appears(bundle, tmp_path):
    counted, talks = run_offline(OPENED, bundle, tmp_path)[-2:]
    sizes = {
        config: {split: pl.read_parquet(bundle / path).height for split, path in files.items()}
        for config, files in data_card.configs().items()
    }
    assert sizes["preferences"] == {"train": 0, "validation": 0, "test": 1}  # empty splits are files, and not listed
    assert json.loads(counted) == {
        config: {split: rows for split, rows in splits.items() if rows} for config, splits in sizes.items()
    }
    (messages,) = [chat.plain(row) for row in json.loads(talks)]
    called = next(message for message in messages if message.get("tool_calls"))
    assert called["tool_calls"][0]["function"]["arguments"] == {"location": "Hannibal, MO", "datetime": "tomorrow"}


@pytest.mark.slow
def test_the_code_of_the_card_runs_as_it_stands(bundle, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (bundle / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join([*blocks, "print(json.dumps([messages, len(tools), row['sample_id'], work['work_id']]))"])
    messages, tools_, name, work = json.loads(run_offline(code, bundle, tmp_path)[-1])
    assert messages[-1]["content"] == "The river was curious."
    assert (tools_, name, work) == (1, small.FLOOD_ID, "tales/the-flood")


@pytest.mark.slow
def test_the_json_lines_open_too(bundle, tmp_path):
    code = ("import json, sys; from datasets import load_dataset; "
            "rows = load_dataset('json', data_files={'train': sys.argv[1] + '/jsonl/sft/test.jsonl'})['train']; "
            "print(json.dumps(rows[0]['messages'][1]['tool_calls']))")  # fmt: skip
    (call,) = json.loads(run_offline(code, bundle, tmp_path)[-1])
    assert json.loads(call["function"]["arguments"]) == {"location": "Hannibal, MO", "datetime": "tomorrow"}
    assert make.FORECAST["location"] == "Hannibal, MO"
