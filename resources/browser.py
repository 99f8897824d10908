"""The door to pages that scripts build: headless Chromium through Playwright, an optional extra. articles.py reads them.

A page's scripts are a stranger's program. They run in a process of their own that is ended, with all that it started, when
its time is up; they reach the allowed hosts only, and nothing is kept. Whether a page may be fetched at all (robots.txt,
delays between requests) is the caller's to settle before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twainbot.errors import BadUse, SourceUnavailable

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
MAX_DOM_CHARACTERS = 8 * 2**20  # what articles.read_article takes
STILL_S = 1.0  # a page whose text has not grown for so long is built
START_S = 20.0  # for driver and browser to start and end: 2 s on two free cores, 7 s on busy ones
_WANTED = ("document", "script", "xhr", "fetch", "stylesheet")  # no image, font, sound, socket, ping
_ROOT = Path(__file__).resolve().parent.parent
_FLAGS = (
    "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--disable-extensions", "--disable-dev-shm-usage", "--mute-audio", "--no-proxy-server",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp", "--js-flags=--max-old-space-size=512",
)  # fmt: skip
_NO_PEERS = "delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection;"  # sockets that no route sees


def rendered(
    url: str,
    *,
    allowed_hosts: Collection[str],
    executable: str | None = None,
    timeout_s: float = 30.0,
    user_agent: str = "",
) -> bytes:
    """The page's HTML, UTF-8, after its scripts built it: as soon as it rests, or as it stands after `timeout_s` seconds.

    allowed_hosts: names without port that the page and its scripts may reach; every other request is aborted, redirects
    included. A name that leads to a private address is refused, an address itself is not. Raises BadUse where Playwright
    or a browser is missing or the URL is none of an allowed host, SourceUnavailable where the page is not to be had: an
    error status, a download, a DOM of over 8 million characters, scripts that never let go.
    """
    from resources.polite_client import (
        user_agent as own_name,
    )  # here, since it takes longer to import than a browser to start

    hosts = sorted({host.casefold() for host in allowed_hosts})
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname not in hosts:
        raise BadUse(
            f"{url} is no web address of the allowed hosts {', '.join(hosts) or '(none)'}. Name its host there."
        )
    order = {
        "url": url,
        "hosts": hosts,
        "rules": resolver_rules(hosts),
        "executable": browser_path(executable),
        "timeout_s": timeout_s,
        "user_agent": user_agent or own_name(),
    }
    if importlib.util.find_spec("playwright") is None:
        raise BadUse(
            "Pages built by scripts need Playwright, which is not installed. Run: pip install 'twainbot[browser]'."
        )
    answer, _, page = _in_child(order, timeout_s + START_S).partition(b"\n")
    said: dict[str, str] = json.loads(answer or b'{"error": "the browser ended without an answer"}')
    if "error" in said:
        raise SourceUnavailable(f"{url} could not be rendered: {said['error']}. Try again later or leave the page out.")
    return page


def browser_path(executable: str | None = None) -> str:
    """The browser to start: the one named, else the first Chromium on PATH. Raises BadUse naming the repair."""
    found = shutil.which(executable) if executable else next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        wanted = f"no program {executable}" if executable else f"no browser on PATH ({', '.join(BROWSERS)})"
        raise BadUse(f"Pages built by scripts need Chromium, and there is {wanted}. Run: apt-get install chromium.")
    return found


def resolver_rules(hosts: Sequence[str]) -> str:
    """Chromium's own rules for names: each allowed one to the address that was checked here, any other to nowhere.

    Routes see a request before it is sent but not where its answer redirects; these rules hold for that too.
    """
    rules = [f"EXCLUDE {host}" if _is_address(host) else f"MAP {host} {_public_address(host)}" for host in hosts]
    return ", ".join([*rules, "MAP * ~NOTFOUND"])


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _public_address(host: str) -> str:
    """The host's first address. Raises SourceUnavailable where it has none, or a private one that nobody configured."""
    from resources.network import is_private  # here: the child, which looks up nothing, starts without httpx

    try:
        found = [str(entry[4][0]).split("%")[0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise SourceUnavailable(
            f"The host {host} is not known ({error}). Check its name, or try again later."
        ) from error
    inner = [address for address in found if is_private(address)]
    if inner:
        raise SourceUnavailable(f"The host {host} leads to the private address {inner[0]}. Check the source's URL.")
    return f"[{found[0]}]" if ":" in found[0] else found[0]


def _in_child(order: dict[str, Any], limit_s: float) -> bytes:
    """What the child printed. Past the limit it is killed with all its descendants, and an error stands in its place."""
    guard = [sys.executable, "-m", "resources.with_parent", "--parent", str(os.getpid())]
    command = [*guard, sys.executable, "-m", "resources.browser"]
    with tempfile.TemporaryDirectory(prefix="twainbot-browser-", ignore_cleanup_errors=True) as folder:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
            env=_environment(folder), start_new_session=True,
        )  # fmt: skip
        try:
            return child.communicate(json.dumps(order).encode(), timeout=limit_s)[0]
        except subprocess.TimeoutExpired:
            return json.dumps({"error": f"its scripts did not let go within {limit_s:.0f} s"}).encode()
        finally:
            _end(child, folder)


def _environment(folder: str) -> dict[str, str]:
    """No secret of ours for a browser: paths, and a home that is deleted."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **kept,
        "PYTHONPATH": path,
        "HOME": folder,
        "TMPDIR": folder,
        "XDG_CONFIG_HOME": folder,
        "XDG_CACHE_HOME": folder,
    }


def _end(child: subprocess.Popen[bytes], folder: str) -> None:
    """Kill the child, then all that lives in its folder: the browser has its own session, its crash handler no parent."""
    if child.poll() is None:
        child.kill()
    while left := _living_in(folder):  # one that was just beginning is seen the next time
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.communicate(timeout=START_S)


def _living_in(folder: str) -> list[int]:
    """Ids of processes whose home is `folder`, by /proc; empty where there is none (the pipes then end the browser)."""
    home, found = f"HOME={folder}".encode(), list[int]()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # gone, or another user's
            if home in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def main() -> None:
    """The child: an order on standard input, an answer line and the page on standard output."""
    order = json.loads(sys.stdin.buffer.read())
    try:
        answer, page = b"{}", _render(order)
    except Exception as error:  # Playwright's own, whatever it is: the parent gives it a class
        answer, page = json.dumps({"error": str(error).split("\n")[0].rstrip(".")}).encode(), b""
    sys.stdout.buffer.write(answer + b"\n" + page)
    sys.stdout.buffer.flush()


def _render(order: dict[str, Any]) -> bytes:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=order["executable"],
            args=[*_FLAGS, f"--host-resolver-rules={order['rules']}"],
            chromium_sandbox=os.geteuid() != 0,  # Chromium refuses to sandbox for root
            timeout=START_S * 1000,
        )
        deadline = time.monotonic() + order["timeout_s"]  # of the page: a slow machine's start is not its fault
        context = browser.new_context(accept_downloads=False, service_workers="block", user_agent=order["user_agent"])
        context.add_init_script(_NO_PEERS)
        context.route("**/*", lambda route: _only_wanted(route, order["hosts"]))
        context.route_web_socket("**/*", lambda connection: connection.close())
        page = context.new_page()
        context.on("page", lambda popup: popup.close())
        page.on("dialog", lambda dialog: dialog.dismiss())
        answer = page.goto(order["url"], wait_until="domcontentloaded", timeout=_left_ms(deadline))
        if answer is None or answer.status >= 400:
            raise ValueError(f"it answered {answer.status if answer else 'nothing'}")
        _rest(page, deadline)
        size: int = page.evaluate("document.documentElement.outerHTML.length")
        if size > MAX_DOM_CHARACTERS:
            raise ValueError(f"its scripts built {size} characters, more than {MAX_DOM_CHARACTERS}")
        found = page.content().encode("utf-8", "replace")
        browser.close()
        return found


def _only_wanted(route: Any, hosts: Sequence[str]) -> None:
    request = route.request
    parts = urlsplit(request.url)
    known = parts.scheme in ("http", "https") and parts.hostname in hosts
    if known and request.resource_type in _WANTED:
        route.continue_()
    else:
        route.abort("blockedbyclient")


def _rest(page: Any, deadline: float) -> None:
    """Wait until the network is quiet and the text has stood still for a second, or the time is up."""
    from playwright.sync_api import Error

    with contextlib.suppress(Error):  # a page that polls is never quiet
        page.wait_for_load_state("networkidle", timeout=_left_ms(deadline) / 2)
    sizes = _sizes(page, deadline)
    last, since = next(sizes, 0), time.monotonic()
    for size in sizes:
        if size != last:
            last, since = size, time.monotonic()
        elif time.monotonic() - since >= STILL_S:
            return


def _sizes(page: Any, deadline: float) -> Iterator[int]:
    while time.monotonic() < deadline:
        yield page.evaluate("document.documentElement.textContent.length")  # innerText would lay the page out each time
        page.wait_for_timeout(200)


def _left_ms(deadline: float) -> float:
    return max(1.0, (deadline - time.monotonic()) * 1000)


if __name__ == "__main__":
    main()
