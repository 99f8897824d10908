"""Dagster's UI answers pages of this machine and no others, whatever their browsers leave unsaid."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.test_utils import environ
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from twainbot_assets import ui_server

pytestmark = pytest.mark.slow  # the web server takes seconds to load

HOME = "http://127.0.0.1:3000"
OWN = {"host": "127.0.0.1:3000", "origin": HOME}
MUTATION = "mutation{setNuxSeen}"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Dagster's own web server over an empty workspace, behind the guard."""
    from dagster_webserver import app

    bare = app.DagsterWebserver.build_middleware
    ui_server.guard()
    with (
        environ({"DAGSTER_HOME": ""}),
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context,
    ):
        yield TestClient(app.create_app_from_workspace_process_context(context), base_url=HOME)
    app.DagsterWebserver.build_middleware = bare


def test_its_own_page_asks_and_changes(client):
    for origin in ({}, {"origin": HOME}):
        answer = client.post("/graphql", json={"query": MUTATION}, headers=origin)
        assert answer.json() == {"data": {"setNuxSeen": True}}
    assert client.get("/server_info").json()["dagster_version"] == dg.__version__
    assert client.get("/server_info", headers={"host": "localhost:9999"}).status_code == 200  # the end of a tunnel


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example:3000"}, {"host": "rebound.example:3000", "origin": "http://rebound.example:3000"},
        {"host": ""}, {"host": "127.0.0.1.rebound.example"}, {"host": "[::1"},
    ],
    ids=str,
)  # fmt: skip
def test_another_hosts_name_is_refused(client, headers):
    for answer in (
        client.get("/server_info", headers=headers),
        client.post("/graphql", json={"query": MUTATION}, headers=headers),
    ):
        assert answer.status_code == 403
        assert answer.text.startswith("This UI answers to 127.0.0.1, localhost, ::1 only.")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8000", "http://[::1"])
def test_another_origins_page_is_refused(client, origin):
    form = {"origin": origin, "content-type": "application/x-www-form-urlencoded"}
    assert client.post(f"/graphql?query={MUTATION}", headers=form).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        client.websocket_connect("/graphql", headers=OWN | {"origin": origin}),
    ):
        pass
    assert closed.value.code == ui_server.REFUSED


@pytest.mark.parametrize("path", ["/graphql", "/graphql%0A"])
def test_an_image_of_another_page_changes_nothing(client, path):
    for site in ({}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
        for method in ("GET", "HEAD"):
            answer = client.request(method, f"{path}?query={MUTATION}", headers={"accept": "image/*", **site})
            assert answer.status_code == 403
    for site in ("same-origin", "none"):
        assert (
            client.get("/graphql", params={"query": "{version}"}, headers={"sec-fetch-site": site}).status_code == 200
        )


def test_the_web_socket_of_its_own_page_is_served(client):
    with client.websocket_connect("/graphql", subprotocols=["graphql-ws"], headers=OWN) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json()["type"] == "connection_ack"


def test_dagsters_services_are_started_with_this_web_server(monkeypatch):
    from dagster._cli import dev

    started, calls = [], []
    assert ui_server.__name__ == ui_server.MODULE
    monkeypatch.setattr(dev, "open_ipc_subprocess", lambda parts, **more: started.append(parts))
    monkeypatch.setattr(dev, "dev_command", lambda **more: calls.append(more))
    ui_server.dev()
    dev.open_ipc_subprocess(["python", "-m", "dagster_webserver", "--port", "1"])
    dev.open_ipc_subprocess(["python", "-m", "dagster._daemon", "run"])
    assert started == [
        ["python", "-m", "twainbot_assets.ui_server", "--port", "1"],
        ["python", "-m", "dagster._daemon", "run"],
    ]
    assert calls == [{"prog_name": "twainbot ui"}]
