"""The dependency audit against a local stand-in of the OSV database, and what a bill of materials must hold."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from security import audit, sbom

needs_pip_audit = pytest.mark.skipif(
    importlib.util.find_spec("pip_audit") is None,
    reason="pip-audit is not here: pip install pip-audit, or `make audit`",
)
PINS = {"made-up": "1.0", "other-one": "2.1"}


def answer(*entries):
    return {"dependencies": list(entries), "fixes": []}


def whole(name, **more):
    return {"name": name, "version": PINS.get(name, "1.0"), "vulns": [], **more}


FAULT = {"id": "PYSEC-0000-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}


def test_pins_are_read_with_their_names_as_indexes_compare_them():
    text = "# comment\nMade_Up==1.0\nother.one[extra]==2.1  # why\ntorch==2.13.0+cpu\n"
    assert audit.pins(text) == {"made-up": "1.0", "other-one": "2.1", "torch": "2.13.0"}


@pytest.mark.parametrize("line", ["made-up>=1.0", "made-up", "-e .", "git+https://example.org/x"])
def test_a_line_that_pins_nothing_is_no_set_to_audit(line):
    with pytest.raises(ValueError, match="line 2 pins no version"):
        audit.pins(f"fine==1.0\n{line}\n")


def test_the_projects_own_constraints_can_be_audited(root):
    assert len(audit.pins((root / "constraints.txt").read_text(encoding="utf-8"))) > 100


def test_all_looked_up_and_none_known_is_clean():
    code, lines = audit.judged(PINS, answer(whole("made-up"), whole("Other_One", version="2.1")))
    assert (code, lines) == (0, ["2 pinned packages looked up, 0 known vulnerabilities."])


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([whole("made-up"), {"name": "other-one", "skip_reason": "not found"}], "SKIPPED other-one: not found"),
        ([whole("made-up")], "NOT LOOKED AT other-one==2.1"),
        ([whole("made-up"), whole("other-one", version="9")], "ANOTHER VERSION other-one: 9"),
        ([], "NOT LOOKED AT made-up==1.0"),
    ],
)
def test_what_was_not_looked_at_fails_the_audit_whatever_else_is_clean(entries, why):
    code, lines = audit.judged(PINS, answer(*entries))
    assert code == 2
    assert any(line.startswith(why) for line in lines)
    assert "incomplete" in lines[-1]


def test_a_known_vulnerability_fails_the_audit_and_names_the_repair():
    code, lines = audit.judged(PINS, answer(whole("made-up", vulns=[FAULT]), whole("other-one")))
    assert code == 1
    assert lines[0] == "VULNERABLE made-up==1.0: PYSEC-0000-1, mended in 1.1"


@pytest.fixture
def database() -> Iterator[tuple[str, dict]]:
    """A stand-in for OSV: its address, and what it knows, name to a list of entries; "status" is how it answers."""
    known: dict = {"status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": known[name]} if (name := asked["package"]["name"]) in known else {}).encode()
            self.send_response(known["status"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query", known
    server.shutdown()
    server.server_close()


ENTRY = {
    "id": "OSV-0000-1", "summary": "s", "details": "d", "aliases": [], "modified": "2026-01-01T00:00:00Z",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "made-up"}, "versions": ["1.0"],
                  "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}]}],
}  # fmt: skip


@needs_pip_audit
def test_pip_audit_itself_clean_vulnerable_and_without_its_database(database, tmp_path, capsys):
    url, known = database
    pinned = tmp_path / "pinned.txt"
    pinned.write_text("made-up==1.0\nother-one==2.1\n")
    words = ["--constraints", str(pinned), "--osv-url", url]
    assert audit.main([*words, "--out", str(tmp_path / "out" / "audit.json")]) == 0
    assert len(json.loads((tmp_path / "out" / "audit.json").read_text())["dependencies"]) == 2
    known["made-up"] = [ENTRY]
    assert audit.main(words) == 1
    assert audit.main([*words, "--ignore-vuln", "OSV-0000-1"]) == 0
    known["status"] = 503
    assert audit.main(words) == 2
    said = capsys.readouterr().out
    assert "VULNERABLE made-up==1.0: OSV-0000-1, mended in 1.1" in said
    assert "NOT RUN: the vulnerability database gave no answer, so nothing is known of 2 pins." in said


BILL = {"bomFormat": "CycloneDX", "metadata": {"component": {"name": "twainbot"}},
        "components": [{"name": "Made.Up", "version": "1.0", "purl": "pkg:pypi/made-up@1.0"}]}  # fmt: skip


def test_a_bill_that_lists_what_is_installed_is_whole():
    assert sbom.problems(BILL, {"made-up": "1.0", "twainbot": "0.1.0"}) == []


@pytest.mark.parametrize(
    ("bill", "why"),
    [
        ({**BILL, "components": []}, "made-up 1.0 is installed and not listed."),
        (
            {**BILL, "components": [{**BILL["components"][0], "version": "2"}]},
            "made-up is listed as 2 and installed as 1.0.",
        ),
        ({**BILL, "bomFormat": "SPDX"}, "It is no CycloneDX document."),
        ({**BILL, "components": [{"name": "made-up", "version": "1.0"}]}, "made-up has no package address."),
    ],
)
def test_a_bill_that_is_not_whole_says_where(bill, why):
    assert sbom.problems(bill, {"made-up": "1.0"}) == [why]
