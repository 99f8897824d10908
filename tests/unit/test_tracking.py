"""MLflow runs: complete, linked to Dagster both ways, and in sqlite by default."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from resources.tracking import GIT_COMMIT, Data, Origin, Tracker, flatten
from tests.fakes import Answer, serving
from twainbot.errors import SourceUnavailable


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """One logged run and the client that reads it back; the store is made once, which takes seconds."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    (folder / "record.json").write_text("{}")
    tracker = Tracker(folder=str(folder / "store"), experiment="tiny")
    run = tracker.log_run(
        "sft tiny/default",
        params={"lora": {"r": 4}, "long": "x" * 600, "many": {str(n): n for n in range(150)}},
        metrics={"validation_loss_after": 1.5, "accuracy": 1, "note": "no number"},
        curves={
            "loss": [(step, 2.0 - step / 1000) for step in range(1, 1001)],
            "system/process_rss_mib": [(1, 300.0, 1_700_000_000_000), (2, 310.0, 1_700_000_005_000)],
        },
        artifacts=[folder / "adapter", folder / "record.json"],
        texts={"recipe.yaml": "seed: 20\n"},
        data=[Data("splits/sft", "d" * 64, "splits/sft")],
        tags={"stage": "sft"},
        origin=Origin("run-1", "adapters/sft", "default", "v1"),
    )
    return tracker, run, MlflowClient(tracking_uri=f"sqlite:///{folder / 'store' / 'mlflow.db'}"), folder


def test_a_run_holds_params_metrics_and_the_link_back_to_dagster(tracked):
    _, run, client, _ = tracked
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "sft tiny/default"
    assert found.data.params["lora.r"] == "4"
    assert len(found.data.params["long"]) == 500
    assert found.data.metrics["validation_loss_after"] == 1.5
    assert "note" not in found.data.metrics
    linked = {name: value for name, value in found.data.tags.items() if name.startswith("dagster.")}
    assert linked == {
        "dagster.run_id": "run-1",
        "dagster.asset_key": "adapters/sft",
        "dagster.partition_key": "default",
        "dagster.data_version": "v1",
    }


def test_a_curve_longer_than_one_request_arrives_whole_and_in_order(tracked):
    _, run, client, _ = tracked
    history = client.get_metric_history(run.run_id, "loss")
    assert [point.step for point in sorted(history, key=lambda point: point.step)] == list(range(1, 1001))


def test_artifacts_lie_beside_the_database(tracked):
    _, run, client, folder = tracked
    assert {item.path for item in client.list_artifacts(run.run_id)} == {"adapter", "record.json", "recipe.yaml"}
    assert list((folder / "store" / "artifacts").rglob("adapter_config.json"))


def test_more_params_than_one_request_takes_arrive_whole(tracked):
    _, run, client, _ = tracked
    assert len([name for name in client.get_run(run.run_id).data.params if name.startswith("many.")]) == 150


def test_the_data_stands_as_an_input_with_its_whole_hash(tracked):
    _, run, client, _ = tracked
    (found,) = client.get_run(run.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("splits/sft", "d" * 36)
    tags = {tag.key: tag.value for tag in found.tags}
    assert tags == {"mlflow.data.context": "training", "content_sha256": "d" * 64}


def test_a_run_names_the_commit_of_the_code_where_that_is_a_clone(tracked, root):
    _, run, client, _ = tracked
    commit = client.get_run(run.run_id).data.tags.get(GIT_COMMIT)
    if not (root / ".git").exists():
        pytest.skip("this copy of the code is no clone")
    assert len(commit.removesuffix("-dirty")) == 40


def test_points_that_know_their_time_keep_it(tracked):
    _, run, client, _ = tracked
    history = client.get_metric_history(run.run_id, "system/process_rss_mib")
    assert sorted(point.timestamp for point in history) == [1_700_000_000_000, 1_700_000_005_000]


def test_equal_weights_are_one_version_and_an_alias_follows_the_newest(tracked):
    tracker, run, client, folder = tracked
    name = "twainbot-tiny-default"
    first = tracker.register(name, run, "adapter", alias="sft", sha256="a" * 64, tags={"data_sha256": "d" * 64})
    again = tracker.register(name, run, "adapter", alias="sft", sha256="a" * 64)
    other = tracker.register(name, run, "adapter", alias="sft", sha256="b" * 64)
    third = tracker.register(name, run, "adapter", alias="preference", sha256="c" * 64)
    assert [(each.version, each.is_new) for each in (first, again, other, third)] == [
        ("1", True), ("1", False), ("2", True), ("3", True),
    ]  # fmt: skip
    assert {alias: str(client.get_model_version_by_alias(name, alias).version) for alias in ("sft", "preference")} == {
        "sft": "2",
        "preference": "3",
    }
    version = client.get_model_version(name, "1")
    assert version.tags == {"adapter_sha256": "a" * 64, "stage": "sft", "data_sha256": "d" * 64}
    assert version.run_id == run.run_id
    assert (folder / "store" / "artifacts") in Path(version.source.removeprefix("file://")).parents
    assert (Path(version.source.removeprefix("file://")) / "adapter_config.json").is_file()
    assert tracker.model_url(first) == f"http://127.0.0.1:5000/#/models/{name}/versions/1"
    # weights trained again to what they were before: the alias goes back to their version
    tracker.register(name, run, "adapter", alias="sft", sha256="a" * 64)
    assert str(client.get_model_version_by_alias(name, "sft").version) == "1"


def test_a_name_that_the_registry_refuses_is_an_error_and_not_taken_for_a_known_one(tracked):
    from mlflow.exceptions import MlflowException

    tracker, run, _, _ = tracked
    with pytest.raises(MlflowException, match="cannot contain"):
        tracker.register("tiny/default", run, "adapter", alias="sft", sha256="a" * 64)


def test_the_address_names_experiment_and_run(tracked):
    _, run, client, _ = tracked
    experiment = client.get_experiment_by_name("tiny").experiment_id
    assert run.url == f"http://127.0.0.1:5000/#/experiments/{experiment}/runs/{run.run_id}"


def test_a_second_run_joins_the_same_experiment(tracked):
    tracker, run, client, _ = tracked
    second = tracker.log_run("again", params={}, metrics={})
    assert second.run_id != run.run_id
    assert client.get_run(second.run_id).info.experiment_id == client.get_run(run.run_id).info.experiment_id


@pytest.fixture
def impatient(monkeypatch):
    """One try a request; and what the tracker sets of a login is put back."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "nobody")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "none")


def refusal(folder: Path, address: str) -> str:
    """What is said where the server at this address takes nothing, with a login in its address."""
    tracker = Tracker(folder=str(folder), tracking_uri=f"http://me:hunter2@{address}")
    with pytest.raises(SourceUnavailable) as told, tracker.answering():
        tracker.log_run("sft", params={}, metrics={})
    assert f"http://{address} took nothing" in str(told.value)
    assert "unset MLFLOW_TRACKING_URI" in str(told.value)
    assert "hunter2" not in str(told.value)
    return str(told.value)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_down_is_told_in_one_sentence_without_its_login(tmp_path):
    assert "(no answer)" in refusal(tmp_path, "127.0.0.1:1")


@pytest.mark.usefixtures("impatient")
def test_a_server_that_refuses_is_told_with_what_it_answers(tmp_path):
    with serving({"/api/2.0/mlflow/experiments/get-by-name?experiment_name=twainbot": Answer(401)}) as site:
        assert "(it answers 401)" in refusal(tmp_path, site.url.removeprefix("http://"))


def test_an_error_in_what_is_tracked_is_not_taken_for_a_silent_server(tracked):
    from mlflow.exceptions import MlflowException

    tracker, run, _, _ = tracked
    with pytest.raises(MlflowException, match="cannot contain"), tracker.answering():
        tracker.register("tiny/default", run, "adapter", alias="sft", sha256="a" * 64)


def test_a_server_that_is_down_holds_a_training_for_seconds_only(tracked):
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

    assert (MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(), MLFLOW_HTTP_REQUEST_TIMEOUT.get()) == (3, 30)


def test_telemetry_is_off(tracked):
    import os

    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_an_origin_is_read_from_the_asset_that_is_materializing():
    seen = []

    @dg.asset(key_prefix="adapters", partitions_def=dg.StaticPartitionsDefinition(["default"]))
    def sft(context) -> None:
        seen.append(Origin.of(context, "v7").tags())

    result = dg.materialize([sft], partition_key="default")
    assert seen == [
        {
            "dagster.run_id": result.run_id,
            "dagster.asset_key": "adapters/sft",
            "dagster.partition_key": "default",
            "dagster.data_version": "v7",
        }
    ]
    assert Origin(run_id="r").tags() == {"dagster.run_id": "r"}


def test_nested_settings_become_dotted_names_in_order():
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}


def test_a_release_is_a_version_under_its_name_and_the_alias_that_the_next_one_takes_over(tracked):
    tracker, run, client, _ = tracked
    tracker.register("twainbot-tiny-twain", run, "adapter", alias="preference", sha256="e" * 64)
    of = ("twainbot-tiny-twain", "e" * 64)
    first = tracker.release("bots", "bots-v0.1-rehearsal", of=of, alias="rehearsal", tags={"manifest_id": "m1"})
    again = tracker.release("bots", "bots-v0.1-rehearsal", of=of, alias="rehearsal", tags={"manifest_id": "m1"})
    assert (first.is_new, again.is_new, again.version) == (True, False, first.version)
    second = tracker.release("bots", "bots-v0.2-rehearsal", of=of, alias="rehearsal")
    assert str(client.get_model_version_by_alias("bots", "rehearsal").version) == second.version
    named = client.get_model_version_by_alias("bots", "bots-v0_1-rehearsal")
    assert (str(named.version), named.run_id, named.tags["manifest_id"]) == (first.version, run.run_id, "m1")


def test_a_release_of_weights_that_the_registry_does_not_know_names_the_lake(tracked):
    tracker, _, client, _ = tracked
    made = tracker.release("strays", "strays-v1.0", of=("nobody", "f" * 64), alias="released", tags={"folder": "a/b"})
    found = client.get_model_version("strays", made.version)
    assert (found.source, found.tags["adapter_sha256"]) == ("lake://a/b", "f" * 64)
