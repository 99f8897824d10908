"""A Hub on 127.0.0.1: what uploading a folder and downloading a file ask of it, answered as the Hub answers, files kept."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LFS = (".safetensors", ".gguf", "tokenizer.json")
ATTRIBUTES = ".gitattributes"  # the Hub's own first commit to every repository


class Hub(ThreadingHTTPServer):
    """One repository: what was created and committed. `token`: what a client must bear; every other one is turned away."""

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.token = token
        self.created: list[dict[str, Any]] = []
        self.objects: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.messages: list[str] = []
        self.tags: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """One request at a time, by its path."""

    server: Hub

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[hashlib.sha256(body).hexdigest()] = body
        self.say({})

    def do_HEAD(self) -> None:
        self.download()

    def do_GET(self) -> None:
        if "/resolve/" in self.path:
            self.download()
        elif "/tree/main" in self.path and self.server.created:
            self.say([self.entry(path) for path in sorted(self.server.files)])
        else:
            self.say({"error": "Repository not found"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.say({"error": "Invalid credentials in Authorization header"}, 401)
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self.say({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            self.say({"files": [self.mode(each["path"]) for each in json.loads(body)["files"]]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self.say({"transfer": "basic", "objects": [self.upload(each) for each in json.loads(body)["objects"]]})
        elif "/commit/" in self.path:
            self.commit([json.loads(line) for line in body.splitlines()])
        elif "/tag/" in self.path:
            self.server.tags.append(json.loads(body)["tag"])
            self.say({})
        else:
            self.say({"error": f"not foreseen: {self.path}"}, 500)

    def download(self) -> None:
        content = self.server.files[self.path.partition("/resolve/main/")[2]]
        self.send_response(200)
        for name, value in (("X-Repo-Commit", "c" * 40), ("ETag", hashlib.sha1(content).hexdigest())):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def create(self, wanted: dict[str, Any]) -> None:
        made = {"url": f"{self.server.url}/someone/{wanted['name']}"}
        if self.server.created:
            self.say({**made, "error": "You already created this repository"}, 409)
            return
        self.server.created.append(wanted)
        self.server.files[ATTRIBUTES] = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"
        self.say(made)

    def mode(self, path: str) -> dict[str, Any]:
        kind = "lfs" if path.endswith(LFS) else "regular"
        return {"path": path, "uploadMode": kind, "shouldIgnore": False}

    def entry(self, path: str) -> dict[str, Any]:
        content = self.server.files[path]
        return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return {**wanted, "actions": {"upload": {"href": f"{self.server.url}/lfs/{wanted['oid']}"}}}

    def commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.server.messages.append(value["summary"])
            elif line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del self.server.files[value["path"]]
        url = f"{self.server.url}/someone/bot/commit/{'c' * 40}"
        self.say({"success": True, "commitOid": "c" * 40, "commitUrl": url})

    def say(self, value: Any, status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def running(token: str) -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub(token)
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
