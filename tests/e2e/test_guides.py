"""The guides of docs/, done: a reader's files, patches and commands, in a clone or in an empty folder, and what came of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests import guides
from tests.e2e.conftest import Clone

pytestmark = pytest.mark.xdist_group("tiny")
SAID = "Will it rain in Reno tomorrow?\nWhat do you think of umbrellas?\n"


def follow(page: str, reader: guides.Reader, said: dict[str, str] | None = None) -> dict[str, str]:
    """Do every step of a page; what each command printed. `said`: a word of a command to what is typed to it."""
    heard = {}
    for step in guides.steps(page):
        typed = next((text for word, text in (said or {}).items() if word in step.text.split()), "")
        output = reader.do(step, typed)
        if step.kind == "command":
            heard[step.text] = output
    return heard


def in_clone(clone: Clone) -> guides.Reader:
    return guides.Reader(clone.root, clone.root, clone.home)


def table(home: Path, profile: str, name: str, partition: str = "") -> pl.DataFrame:
    folder = home / profile / "lake" / name
    return pl.read_parquet((folder / f"partition={partition}" if partition else folder) / "part-0.parquet")


@pytest.mark.timeout(1500)
def test_another_persona_is_made_of_data_alone_and_answers_by_its_name(root: Path, tmp_path: Path) -> None:
    reader = guides.Reader(tmp_path / "work", root, tmp_path / "home")
    reader.folder.mkdir()
    before = {
        path: path.stat().st_mtime_ns for path in (root / "twainbot").rglob("*") if path.suffix in (".py", ".yaml")
    }
    book = tmp_path / "work" / "bierce" / "books" / "pg972.txt"
    heard = dict[str, str]()
    for step in guides.steps("make-another-persona.md"):
        if step.text.startswith("twainbot run"):
            made_up(book)
        output = reader.do(step, SAID if "chat" in step.text.split() else "")
        heard |= {step.text: output} if step.kind == "command" else {}
    ran = next(output for command, output in heard.items() if command.startswith("twainbot run"))
    chat = next(output for command, output in heard.items() if command.startswith("twainbot chat"))
    assert "adapter" in ran
    assert "bundle" in ran
    assert "bierce" in chat
    home = tmp_path / "home"
    assert set(table(home, "bierce", "curated/passages")["style"]) >= {"bierce", "joke", "weather_fact"}
    talks = table(home, "bierce", "splits/sft")
    assert set(talks["persona"]) == {"bierce"}
    assert all("Ambrose Bierce" in json.loads(text)[0]["content"] for text in talks["messages"])
    told = table(home, "bierce", "dialogues/tool_calls", "b000")
    assert set(told["disclaimer"]) == {"Synthetic: written by a grammar, not by Ambrose Bierce."}
    assert table(home, "bierce", "evals/scorecard", "bierce").height > 0
    assert table(home, "bierce", "evals/style", "bierce").height > 0
    assert (home / "bierce" / "reports" / "scorecard-bierce.html").is_file()
    assert before == {path: path.stat().st_mtime_ns for path in before}  # no code, and no data of the project's


def made_up(book: Path) -> None:
    """A short book of our own as its carrier wraps it."""
    words = ("ladder", "ledger", "lantern", "harbor", "sermon", "mirror", "bargain", "funeral", "portrait", "cousin")
    kinds = ("lawyer", "widow", "critic", "banker")
    entries = [
        f"{word.upper()}, n. A thing that is praised by the {kind} who has sold one. In the {words[at - 3]} it is thought "
        f"useful, and in the {words[at - 7]} becoming; the {kind} keeps a second {word} in a drawer, and shows it to persons "
        f"who have come about the {words[(at + turn) % 10]}. Whoever has lost a {word} may describe it, and is believed."
        for turn, kind in enumerate(kinds)
        for at, word in enumerate(words)
    ]
    start, end = (f"*** {word} OF THE PROJECT GUTENBERG EBOOK A SHORT DICTIONARY ***" for word in ("START", "END"))
    head = "The Project Gutenberg eBook of A Short Dictionary, by Ambrose Bierce\n\nThis eBook is for the use of anyone"
    head += " anywhere.\n\nTitle: A Short Dictionary\n\nAuthor: Ambrose Bierce\n\nLanguage: English\n"
    book.write_text("\n\n".join([head, start, *entries, end]), encoding="utf-8")


def test_the_real_dictionary_becomes_passages_of_the_new_style(root: Path, tmp_path: Path, shared_data: Path) -> None:
    reader = guides.Reader(tmp_path / "work", root, tmp_path / "home")
    for step in guides.steps("make-another-persona.md"):
        if step.kind == "file":
            reader.do(step)
    (reader.folder / "bierce" / "books").mkdir()
    shutil.copy(shared_data / "gutenberg" / "pg972.txt", reader.folder / "bierce" / "books")
    reader.run("twainbot run --profile bierce/bierce.yaml --select corpora/gutenberg")
    (work,) = table(tmp_path / "home", "bierce", "corpora/gutenberg", "pg972").to_dicts()
    assert (work["title"], work["style"], work["rights"]) == ("The Devil's Dictionary", "bierce", "public_domain_us")


def test_a_source_is_added_without_code_and_with_code(new_clone: Callable[[str], Clone]) -> None:
    clone = new_clone("source")
    heard = follow("add-a-source.md", in_clone(clone))
    assert any("2 passed" in output for output in heard.values())
    rules = table(clone.home, "tiny", "corpora/local", "ferry_rules")
    assert rules["title"].to_list() == ["Of Passengers", "Of Weather"]
    assert rules["rights"].to_list() == ["cc0", "cc0"]
    diary = table(clone.home, "tiny", "corpora/diaries", "mate")
    assert diary.select("title", "reject_reason").rows() == [("3 June", None), ("4 June", "empty"), ("5 June", None)]


def test_a_check_is_added_with_its_test_and_runs_in_the_graph(new_clone: Callable[[str], Clone]) -> None:
    clone = new_clone("check")
    heard = follow("add-a-check.md", in_clone(clone))
    assert any("passed" in output and "failed" not in output for output in heard.values())
    assert any("readability_is_a_grade" in output for output in heard.values())
    assert any("built" in output for output in heard.values())


def test_a_recipe_is_added_and_stands_on_the_leaderboard_beside_the_default_one(copy: Clone) -> None:
    before = copy.versions()
    heard = follow("add-a-recipe.md", in_clone(copy))
    assert any("learning_rate=0.0025" in output for output in heard.values())
    assert set(table(copy.home, "tiny", "evals/leaderboard")["recipe"]) == {"default", "gentle"}
    after = copy.versions()
    rebuilt = {path for path in before if before[path] != after.get(path)}
    assert not any(
        path.startswith(("corpora", "chunks", "dialogues", "splits", "adapters/sft/partition=default"))
        for path in rebuilt
    )
