"""Alerts reach mail, webhooks and chats through apprise; a dead receiver costs nothing but itself, and no address is shown."""

from __future__ import annotations

import json

import pytest

from resources import alert_sender, alerts
from resources.alerts import Message, Receiver, addresses, deliver
from tests.receivers import hooks, mailbox

pytestmark = pytest.mark.slow

MESSAGE = Message(
    "TwainBot: adapters/sft failed", "Loss nan at step 7.", "Lower the rate.", "abc-123", {"kind": "test"}
)


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    for name in (alerts.URL, alerts.URLS, alerts.UI):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(alerts, "EACH_S", 60.0)  # a busy machine is no dead receiver
    monkeypatch.setattr(alerts, "DEADLINE_S", 300.0)


def text_of(mail) -> str:
    return "\n".join(part.get_content() for part in mail.walk() if part.get_content_maintype() == "text")


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("", []),
        ("json://a/x slack://b", ["json://a/x", "slack://b"]),
        ("json://a/x,slack://b/c/d", ["json://a/x", "slack://b/c/d"]),
        ("json://a/x,\n  slack://b ,", ["json://a/x", "slack://b"]),
        ("mailto://h?to=a@x.org,b@x.org,json://c", ["mailto://h?to=a@x.org,b@x.org", "json://c"]),
    ],
)
def test_urls_are_parted_by_space_or_by_a_comma_before_a_scheme(text, parted):
    assert addresses(text) == parted


def test_one_message_reaches_a_json_hook_a_chat_hook_a_mailbox_and_the_plain_webhook(monkeypatch):
    pytest.importorskip("apprise", reason="pip install apprise")
    pytest.importorskip("aiosmtpd", reason="pip install aiosmtpd")
    with hooks() as web, mailbox() as post:
        urls = [
            f"json://127.0.0.1:{web.port}/json",
            f"mmost://127.0.0.1:{web.port}/abcdefghijklmnopqrstuvwxyz",
            f"mailto://127.0.0.1:{post.port}?from=bot@example.org&to=ann@example.org,bob@example.org",
        ]
        monkeypatch.setenv(alerts.URLS, " ".join(urls))
        monkeypatch.setenv(alerts.URL, f"http://127.0.0.1:{web.port}/plain")
        monkeypatch.setenv(alerts.UI, "https://ui.example.org/")
        outcomes = deliver(MESSAGE)
    assert [(one.receiver, one.took, one.why) for one in outcomes] == [
        ("1 JSON", True, ""), ("2 Mattermost", True, ""), ("3 E-Mail", True, ""), ("4 webhook", True, ""),
    ]  # fmt: skip
    got = dict(web.got)
    body = "Loss nan at step 7.\n\nLower the rate.\n\nRun: https://ui.example.org/runs/abc-123"
    assert (got["/json"]["title"], got["/json"]["message"]) == (MESSAGE.title, body)
    assert "Loss nan at step 7." in got["/hooks/abcdefghijklmnopqrstuvwxyz"]["text"]
    assert got["/plain"] == {
        "title": MESSAGE.title, "text": "Loss nan at step 7.",
        "facts": {"kind": "test", "repair": "Lower the rate.", "run": "https://ui.example.org/runs/abc-123"},
    }  # fmt: skip
    assert sorted(who for _, to, _ in post.got for who in to) == ["ann@example.org", "bob@example.org"]
    sender, _, mail = post.got[0]
    assert (sender, mail["Subject"]) == ("bot@example.org", MESSAGE.title)
    assert "https://ui.example.org/runs/abc-123" in text_of(mail)


def test_slack_and_discord_get_their_own_forms_at_the_paths_of_their_tokens(monkeypatch):
    pytest.importorskip("apprise", reason="pip install apprise")
    from apprise.plugins.discord import NotifyDiscord
    from apprise.plugins.slack import NotifySlack

    with hooks() as web:
        monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{web.port}/services")
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://127.0.0.1:{web.port}/discord")
        to = [
            {"address": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/%23ops", "plain": False},
            {"address": "https://discord.com/api/webhooks/1234567/abcdefghijklmnop", "plain": False},
        ]
        done = alert_sender.send({"title": MESSAGE.title, "body": MESSAGE.body(), "said": {}, "each_s": 60.0, "to": to})
    assert [(one["receiver"], one["took"]) for one in done] == [("1 Slack", True), ("2 Discord", True)]
    got = dict(web.got)
    slack = got["/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"]
    assert slack["channel"] == "#ops"
    assert "Loss nan at step 7." in json.dumps(slack)
    (discord,) = [body for path, body in got.items() if path.startswith("/discord/1234567/abcdefghijklmnop")]
    assert "http://127.0.0.1:3000/runs/abc-123" in json.dumps(discord)


def test_what_a_corpus_put_into_a_message_calls_nobody_and_is_no_html_in_a_mail():
    pytest.importorskip("apprise", reason="pip install apprise")
    nasty = Message("row <b>1</b>", "@everyone <!channel> <img src=x onerror=alert(1)>")
    pytest.importorskip("aiosmtpd", reason="pip install aiosmtpd")
    with hooks() as web, mailbox() as post:
        urls = [
            f"json://127.0.0.1:{web.port}/json",
            f"mailto://127.0.0.1:{post.port}?from=a@example.org&to=b@example.org",
        ]
        deliver(nasty, [Receiver(url) for url in urls])
    said = web.got[0][1]["message"]
    assert "@everyone" not in said
    assert "<!channel" not in said
    assert "everyone" in said  # to be read, not to be called
    kinds = {part.get_content_type(): part.get_content() for part in post.got[0][2].walk() if not part.is_multipart()}
    assert "<img" not in kinds.get("text/html", "")
    assert "onerror" in "".join(kinds.values())


def test_values_of_secret_variables_are_masked_wherever_a_message_holds_them(monkeypatch):
    monkeypatch.setenv("TWAINBOT_LLM_API_KEY", "sk-canary-91")
    monkeypatch.setenv("SOME_TOKEN", "true")  # too short to be one
    with hooks() as web:
        message = Message("it is true", "asked with sk-canary-91", facts={"why": "sk-canary-91 true"})
        deliver(message, [Receiver(f"http://127.0.0.1:{web.port}/plain", plain=True)])
    assert web.got[0][1] == {"title": "it is true", "text": "asked with ***", "facts": {"why": "*** true"}}


def test_dead_refusing_redirecting_and_unknown_receivers_are_told_apart_without_their_addresses(capfd):
    with hooks() as web, hooks() as other:
        web.status, other.status, other.location = 403, 302, f"http://127.0.0.1:{web.port}/elsewhere"
        to = [
            Receiver(f"http://127.0.0.1:{web.port}/s3cret", plain=True),
            Receiver(f"http://127.0.0.1:{other.port}/s3cret", plain=True),
            Receiver("http://127.0.0.1:1/s3cret", plain=True),
            Receiver("file:///etc/s3cret", plain=True),
        ]
        outcomes = deliver(MESSAGE, to)
    assert [one.why for one in outcomes] == [
        "it answered with HTTP 403", "it answered with HTTP 302", "it could not be reached (ConnectionRefusedError)",
        "its address is no http:// or https:// URL",
    ]  # fmt: skip
    assert [path for path, _ in web.got] == ["/s3cret"]  # the redirect was not followed
    shown = "".join(capfd.readouterr()) + repr(to) + repr(outcomes) + alerts.verdict_on(outcomes)
    assert "s3cret" not in shown


def test_what_apprise_says_of_a_failure_stays_in_the_sender(capfd):
    pytest.importorskip("apprise", reason="pip install apprise")
    with hooks() as web:
        web.status = 403
        urls = [f"json://127.0.0.1:{web.port}/s3cret", "json://127.0.0.1:1/s3cret", "nosuch://s3cret", "s3cret"]
        outcomes = deliver(MESSAGE, [Receiver(url) for url in urls])
    assert not any(one.took for one in outcomes)
    assert outcomes[0].why == "it answered with HTTP 403"
    assert [one.receiver for one in outcomes] == ["1 JSON", "2 JSON", "3 unknown", "4 unknown"]
    assert "s3cret" not in "".join(capfd.readouterr()) + repr(outcomes)


def test_who_hangs_is_given_up_and_the_others_are_told():
    with hooks() as dead, hooks() as alive:
        dead.waits_s = 60.0
        to = [{"address": f"http://127.0.0.1:{port}/x", "plain": True} for port in (dead.port, alive.port)]
        done = alert_sender.send({"title": "t", "body": "b", "said": {"title": "t"}, "each_s": 3.0, "to": to})
    assert [one["took"] for one in done] == [False, True]


def test_a_sender_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(alerts, "DEADLINE_S", 0.01)
    (outcome,) = deliver(MESSAGE, [Receiver("http://127.0.0.1:1/s3cret", plain=True)])
    assert (outcome.took, outcome.why) == (False, "no answer in time")


def test_a_long_body_keeps_repair_and_link(monkeypatch):
    message = Message("t", "x" * 5000, "Mend it.", "abc")
    assert len(message.body()) <= alerts.LONGEST + 8  # and the blank lines between
    assert message.body().endswith("Mend it.\n\nRun: http://127.0.0.1:3000/runs/abc")


def test_without_receivers_nobody_is_asked():
    assert deliver(MESSAGE) == []
