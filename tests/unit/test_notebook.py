"""The inference notebook runs from top to bottom on a bundle, in a kernel of its own, and is stored without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit import tiny_bundle

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "inference.ipynb"


def code() -> str:
    """All code cells as one program."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_the_notebook_holds_no_outputs_and_nothing_of_the_project():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)
    assert not any(
        f"import {name}" in code() or f"from {name}" in code() for name in ("twainbot", "resources", "training")
    )


def test_its_code_talks_to_every_persona_of_a_bundle(monkeypatch, capsys):
    monkeypatch.setenv("TWAINBOT_BUNDLE", str(tiny_bundle.bundle()))
    names: dict[str, object] = {}
    exec(compile(code(), str(NOTEBOOK), "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith("tiny-random at seed-0 with twain, franklin")
    assert "USER What is the weather in Hannibal, Missouri tomorrow?" in said
    assert all(f"\n{persona} " in said for persona in ("TWAIN", "FRANKLIN"))


def test_its_loop_runs_declared_tools_only_and_answers_what_is_broken(monkeypatch, capsys):
    monkeypatch.setenv("TWAINBOT_BUNDLE", str(tiny_bundle.bundle()))
    names: dict[str, object] = {}
    exec(compile(code(), str(NOTEBOOK), "exec"), names)
    scripted = iter([
        '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "get_forecast", "arguments": {"town": "x"}}</tool_call>',
        '<tool_call>{"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "today"}}</tool_call>',
    ])  # fmt: skip
    names["reply"] = lambda *_, **__: next(scripted)
    talked = names["talk"]("Weather?")  # type: ignore[operator]
    results = [json.loads(message["content"]) for message in talked if message["role"] == "tool"]
    assert ["error" in result for result in results] == [True, True, False]
    assert results[2]["location"] == "Reno"


@pytest.mark.slow
def test_it_runs_in_a_kernel(monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("TWAINBOT_BUNDLE", str(tiny_bundle.bundle()))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert any("twain" in str(cell.get("outputs")) for cell in notebook.cells)
