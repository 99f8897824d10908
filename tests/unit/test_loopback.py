"""Who may reach what this project serves: this machine, unless somebody says otherwise, and then he is told what that means."""

from __future__ import annotations

import os

import pytest

from resources import weather_server
from twainbot.errors import BadUse
from twainbot_assets import chat_server, cli, review_server

OUTSIDE = ("0.0.0.0", "::", "192.0.2.7", "example.org", "")


def option(command: str, name: str):
    return next((one for one in cli.main.commands[command].params if one.name == name), None)


def test_the_graphs_ui_and_the_rating_page_know_no_other_address():
    assert option("ui", "host") is None
    assert option("review", "host") is None
    assert review_server.HOST == "127.0.0.1"


def test_the_ui_is_started_on_loopback(monkeypatch, tmp_path):
    from click.testing import CliRunner

    from twainbot_assets import session

    class Opened:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    started = []
    monkeypatch.setattr(cli, "prepared", lambda profile: None)
    monkeypatch.setattr(cli, "open_instance", lambda: None)
    monkeypatch.setattr(session, "opened", lambda *words, **more: Opened())
    monkeypatch.setattr(os, "execv", lambda program, words: started.extend(words))
    done = CliRunner().invoke(cli.main, ["ui", "--port", "3111"])
    assert done.exit_code == 0, done.output
    assert started[started.index("-h") + 1] == "127.0.0.1"
    assert CliRunner().invoke(cli.main, ["ui", "--host", "0.0.0.0"]).exit_code == 2


def test_the_endpoint_is_served_on_loopback_by_default_and_says_that_there_is_no_login():
    assert option("serve", "host").default == "127.0.0.1"
    assert "no login" in option("serve", "host").help
    assert chat_server.loopback("127.0.0.1")
    assert chat_server.loopback("::1")
    assert not any(map(chat_server.loopback, OUTSIDE))


@pytest.mark.parametrize("host", [name for name in OUTSIDE if name])
def test_the_weather_server_refuses_any_other_address(host):
    assert weather_server.address("127.0.0.1:0") == ("127.0.0.1", 0)
    with pytest.raises(BadUse, match="no login"):
        weather_server.address(f"[{host}]:8765" if ":" in host else f"{host}:8765")


@pytest.mark.parametrize("server", [chat_server, review_server])
def test_another_sites_page_and_a_rebound_name_are_refused(server):
    def fault(**headers):
        if server is chat_server:
            return chat_server.foreign("POST", {"content-type": "application/json", **headers}, "127.0.0.1")
        return review_server.foreign("POST", headers)

    good = {"host": "127.0.0.1:1", "origin": "http://127.0.0.1:1", "content-type": "application/json"}
    assert fault(**good) == ""
    assert fault(**{**good, "origin": "https://evil.example"})
    assert fault(**{**good, "host": "evil.example"})
