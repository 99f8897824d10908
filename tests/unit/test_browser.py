"""Pages that scripts build, in headless Chromium, served from this machine. A second host counts what should not reach it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.waiting import within
from resources import browser
from resources.browser import browser_path, rendered, resolver_rules
from twainbot.corpora.articles import read_article
from twainbot.errors import BadUse, SourceUnavailable

CHROMIUM = next(filter(None, map(shutil.which, browser.BROWSERS)), None)
HERE = "127.0.0.1"
ONE = "The council met on Tuesday to decide when to meet, and by midnight had agreed to postpone Wednesday to Friday at noon."
TWO = "They adjourned because the lamp oil ran out, and because nobody would move that somebody else should buy more of it."
SHELL = "<html lang='en'><head><title>Council Meets</title></head><body><div id='root'></div><script>{script}</script></body>"
BUILD = """
  const build = (one, two) => { document.getElementById('root').innerHTML =
    `<main><article><h1>Council Meets</h1><p>${one}</p><p>${two}</p></article></main>`; };
"""


def script(code: str) -> str:
    return SHELL.replace("{script}", BUILD + code)


PAGES = {
    "/built": script("fetch('/story').then(a => a.json()).then(s => setTimeout(() => build(s.one, s.two), 300));"),
    "/restless": script(
        f"build('{ONE}', '{TWO}'); let n = 0; const p = document.createElement('p'); document.body.append(p);"
        "setInterval(() => { p.textContent = 'x'.repeat(++n); fetch('/story'); }, 50);"
    ),
    "/loop": script("setTimeout(() => { while (true) {} }, 50);"),
    "/huge": script("document.body.append('x'.repeat(9 * 1024 * 1024));"),
    "/nosy": script(
        f"alert('stay'); window.open('/popup'); navigator.sendBeacon('/beacon'); build('{ONE}', '{TWO}');"
        "for (const where of ['OTHER', 'LITERAL']) { fetch(where + '/fetched', {mode: 'no-cors'}).catch(() => 0);"
        "const s = document.createElement('script'); s.src = where + '/script.js'; document.body.append(s); }"
        "fetch('/away').catch(() => 0); new Image().src = '/image.png'; new WebSocket('ws://' + location.host + '/socket');"
        "navigator.serviceWorker && navigator.serviceWorker.register('/worker.js').catch(() => 0);"
        "const l = document.createElement('a'); l.href = '/file'; l.download = 'f'; document.body.append(l); l.click();"
    ),
}


class Handler(BaseHTTPRequestHandler):
    """Answers by path, and writes down what was asked."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/redirect" or self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"{self.server.other}{self.path}ed")
            self.end_headers()
            return
        body, kind = self.answer()
        self.send_response(200 if body else 404)
        body = body or b"<p>There is no such page.</p>"
        self.send_header("Content-Type", kind)
        if self.path == "/file":
            self.send_header("Content-Disposition", "attachment; filename=f.bin")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.do_GET()

    def answer(self) -> tuple[bytes, str]:
        if self.path == "/story":
            return f'{{"one": "{ONE}", "two": "{TWO}"}}'.encode(), "application/json"
        if self.path == "/file":
            return b"bytes", "application/octet-stream"
        page = PAGES.get(self.path, "").replace("OTHER", self.server.other).replace("LITERAL", self.server.literal)
        return page.encode(), "text/html"

    def log_message(self, *_):
        pass


@pytest.fixture
def site() -> Iterator[SimpleNamespace]:
    """A site on 127.0.0.1, and one that answers to localhost and 127.0.0.2 and must never be asked."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -e .[dev]")
    own, other = ThreadingHTTPServer((HERE, 0), Handler), ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    for server in (own, other):
        server.asked, server.daemon_threads = [], True
        server.other = f"http://localhost:{other.server_port}"
        server.literal = f"http://127.0.0.2:{other.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield SimpleNamespace(url=f"http://{HERE}:{own.server_port}", asked=own.asked, elsewhere=other.asked)
    for server in (own, other):
        server.shutdown()
        server.server_close()


def show(site: SimpleNamespace, path: str, timeout_s: float = 15.0) -> bytes:
    return rendered(site.url + path, allowed_hosts=[HERE], timeout_s=timeout_s)


def browsers_left() -> list[str]:
    """Command lines of browsers that a test of ours started: their profile lies in our temporary folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(Path(tempfile.gettempdir()) / "twainbot-browser-") in line:
            found.append(line)
    return found


@pytest.fixture(autouse=True)
def own_temporary_folder(monkeypatch):
    """Browsers of this test alone have their profiles here: another worker may show a page at the same time.

    The path is short, as a browser's socket lies below it.
    """
    with tempfile.TemporaryDirectory(prefix="tb-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.mark.ui
@pytest.mark.slow
def test_a_page_that_scripts_build_is_an_article_once_they_ran(site):
    assert read_article(PAGES["/built"].encode(), site.url).reject_reason == "script_built"
    article = read_article(show(site, "/built"), site.url)
    assert (article.headline, article.paragraphs, article.reject_reason) == ("Council Meets", [ONE, TWO], None)
    assert browsers_left() == []


@pytest.mark.ui
@pytest.mark.slow
def test_a_page_that_never_rests_is_taken_as_it_stands(site):
    assert read_article(show(site, "/restless", 4.0), site.url).paragraphs[:2] == [ONE, TWO]


@pytest.mark.ui
@pytest.mark.slow
def test_scripts_that_never_let_go_are_ended_with_all_their_processes(site, monkeypatch):
    monkeypatch.setattr(browser, "START_S", 10.0)
    with pytest.raises(SourceUnavailable, match="did not let go within 13 s"):
        show(site, "/loop", 3.0)
    assert "/loop" in site.asked
    within(60, lambda: not browsers_left())  # killed, and gone once the kernel has come to it
    assert browsers_left() == []


@pytest.mark.ui
@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "why"),
    [("/huge", "more than 8388608"), ("/missing", "answered 404"), ("/file", "[Dd]ownload"), ("/redirect", "ERR_")],
)
def test_what_is_no_page_is_refused(site, path, why):
    with pytest.raises(SourceUnavailable, match=why):
        show(site, path)
    assert site.elsewhere == []


@pytest.mark.ui
@pytest.mark.slow
def test_scripts_reach_no_other_host_and_load_nothing_that_is_not_read(site):
    article = read_article(show(site, "/nosy"), site.url)
    assert article.paragraphs[:2] == [ONE, TWO]  # the dialog did not stop the script
    assert site.elsewhere == []
    assert "/away" in site.asked  # it was asked, and its redirect was not followed
    assert not {"/image.png", "/beacon", "/socket", "/worker.js"} & set(site.asked)
    assert browsers_left() == []


@pytest.mark.parametrize(
    "url", ["http://other.example/a", "file:///etc/hostname", "ftp://messenger.example/a", "messenger.example"]
)
def test_a_url_of_no_allowed_host_is_refused_before_anything_starts(url):
    with pytest.raises(BadUse, match=r"allowed hosts messenger\.example"):
        rendered(url, allowed_hosts=["messenger.example"])


def test_a_missing_browser_is_named_with_its_repair(monkeypatch):
    with pytest.raises(BadUse, match=r"no program no-such-browser.*apt-get install chromium"):
        rendered(f"http://{HERE}/", allowed_hosts=[HERE], executable="no-such-browser")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadUse, match="no browser on PATH"):
        browser_path()


def test_a_missing_playwright_is_named_with_its_repair(monkeypatch):
    monkeypatch.setattr(browser.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BadUse, match=r"pip install 'twainbot\[browser\]'"):
        rendered(f"http://{HERE}/", allowed_hosts=[HERE], executable="sh")


def test_a_browser_that_ends_at_once_is_an_unavailable_page():
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -e .[dev]")
    with pytest.raises(SourceUnavailable, match="could not be rendered"):
        rendered(f"http://{HERE}/", allowed_hosts=[HERE], executable="false", timeout_s=5)


def test_a_name_is_pinned_to_the_address_that_was_checked(monkeypatch):
    monkeypatch.setattr(browser.socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("93.184.216.34", 0))])
    assert (
        resolver_rules(["messenger.example", HERE])
        == f"MAP messenger.example 93.184.216.34, EXCLUDE {HERE}, MAP * ~NOTFOUND"
    )


def test_a_name_that_leads_to_a_private_address_is_refused(monkeypatch):
    addresses = [(0, 0, 0, "", ("93.184.216.34", 0)), (0, 0, 0, "", ("10.0.0.7", 0))]
    monkeypatch.setattr(browser.socket, "getaddrinfo", lambda *_, **__: addresses)
    with pytest.raises(SourceUnavailable, match=r"private address 10\.0\.0\.7"):
        resolver_rules(["messenger.example"])


def test_the_child_starts_without_the_libraries_of_our_own_requests(root):
    script = "import sys, resources.browser; print(sorted({'httpx', 'httpcore'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_secret_of_ours_reaches_the_browser(monkeypatch):
    monkeypatch.setenv("TWAINBOT_LLM_API_KEY", "secret")
    assert "secret" not in browser._environment("/tmp/x").values()


def test_all_that_lives_in_the_childs_folder_ends_with_it_also_what_left_its_session(tmp_path):
    child = subprocess.Popen(
        ["sh", "-c", "setsid sleep 30 & sleep 30 & wait"], start_new_session=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    try:
        while len(living := browser._living_in(str(tmp_path))) < 3:
            time.sleep(0.01)
    finally:
        browser._end(child, str(tmp_path))
    assert child.returncode == -signal.SIGKILL
    assert [pid for pid in living if _is_running(pid)] == []
    assert os.getpid() not in living


def _is_running(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
