"""docs/security.md's nginx: its configuration as nginx itself reads it, then tried: login, foreign pages, what reaches behind.

Runs where an nginx is installed, or where TWAINBOT_NGINX names one.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

NGINX = os.environ.get("TWAINBOT_NGINX") or shutil.which("nginx")
pytestmark = pytest.mark.skipif(
    not NGINX or not shutil.which("openssl"), reason="no nginx or openssl: apt-get install nginx openssl"
)
LOGIN = "Basic " + base64.b64encode(b"ann:pass").decode()


@dataclass
class Proxy:
    ui: int
    chat: int

    def get(self, port: int, path: str = "x", **headers: str) -> tuple[int, dict]:
        """Status, and what the server behind was sent."""
        trusting = ssl._create_unverified_context()
        asked = urllib.request.Request(
            f"https://127.0.0.1:{port}/{path}", headers={"Host": "twainbot.example.org", **headers}
        )
        try:
            with urllib.request.urlopen(asked, timeout=30, context=trusting) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, {}


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@pytest.fixture(scope="module")
def behind() -> Iterator[int]:
    """A server that answers with the headers that it got."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(dict(self.headers)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def written(root: Path, folder: Path, behind: int, ui: int, chat: int) -> Path:
    """The documented file with a certificate, a login and ports of this test."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=example.org",
                    "-keyout", folder / "k.key", "-out", folder / "c.crt"], check=True, capture_output=True)  # fmt: skip
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "pass"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (folder / "logins").write_text(f"ann:{hashed}\n")
    text = (root / "security" / "nginx.conf").read_text(encoding="utf-8")
    for old, new in {
        "/etc/nginx/twainbot.crt": folder / "c.crt", "/etc/nginx/twainbot.key": folder / "k.key",
        "/etc/nginx/twainbot.htpasswd": folder / "logins", "listen 443 ssl": f"listen 127.0.0.1:{ui} ssl",
        "listen 8443 ssl": f"listen 127.0.0.1:{chat} ssl", "127.0.0.1:3000": f"127.0.0.1:{behind}",
        "proxy_pass http://127.0.0.1:8017": f"proxy_pass http://127.0.0.1:{behind}",
    }.items():  # fmt: skip
        assert old in text, old
        text = text.replace(old, str(new))
    own = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = text.replace("http {\n", f"http {{\n{own}    access_log off;\n")
    path = folder / "nginx.conf"
    path.write_text(f"daemon off;\nuser root;\npid {folder}/pid;\nerror_log {folder}/error.log;\n{text}" if os.geteuid() == 0
                    else f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n{text}")  # fmt: skip
    return path


@pytest.fixture(scope="module")
def proxy(root: Path, behind: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    ui, chat = free_port(), free_port()
    path = written(root, folder, behind, ui, chat)
    checked = subprocess.run([NGINX, "-t", "-p", folder, "-c", path], capture_output=True, text=True)
    assert "syntax is ok" in checked.stderr, checked.stderr
    running = subprocess.Popen([NGINX, "-p", folder, "-c", path], stderr=subprocess.PIPE)
    made, deadline = Proxy(ui, chat), time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", chat), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    assert running.poll() is None, running.stderr.read()
    yield made
    running.terminate()
    running.wait(30)


def test_nobody_passes_without_a_login(proxy):
    for port in (proxy.ui, proxy.chat):
        assert proxy.get(port)[0] == 401
        assert proxy.get(port, Authorization=LOGIN)[0] == 200


def test_a_page_of_another_site_is_refused_though_its_browser_is_logged_in(proxy):
    for port in (proxy.ui, proxy.chat):
        assert proxy.get(port, Authorization=LOGIN, Origin="https://evil.example")[0] == 403
        assert proxy.get(port, Authorization=LOGIN, Origin="https://twainbot.example.org")[0] == 200


def test_the_password_stays_at_the_proxy_and_the_chat_server_is_called_by_its_own_address(proxy):
    _, ui = proxy.get(proxy.ui, Authorization=LOGIN)
    _, chat = proxy.get(proxy.chat, Authorization=LOGIN, Origin="https://twainbot.example.org:8443")
    assert "Authorization" not in {**ui, **chat}
    assert ui["Host"].startswith("127.0.0.1:")  # what twainbot ui answers to
    assert chat["Host"] == "127.0.0.1:8017"  # what twainbot serve answers to
    assert "Origin" not in {**ui, **chat}


def test_an_image_of_another_site_asks_nothing_of_graphql(proxy):
    for path in ("graphql?query=mutation%7BsetNuxSeen%7D", "%67raphql?x", "y/../graphql?query=x", "graphql%0A?query=x"):
        assert proxy.get(proxy.ui, path, Authorization=LOGIN)[0] == 403
    for path in ("graphql", "graphql_not?query=x", "runs?q=x"):
        assert proxy.get(proxy.ui, path, Authorization=LOGIN)[0] == 200
