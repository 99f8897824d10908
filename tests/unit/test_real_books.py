"""Every real book of the shared folder: nothing left that should go, nothing lost that should stay. Read in place."""

from __future__ import annotations

import csv
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from twainbot.corpora.boilerplate import CleanedWork, strip_gutenberg
from twainbot.corpora.contents import contents
from twainbot.corpora.decoding import decode
from twainbot.corpora.normalize import tidy
from twainbot.corpora.page import Page

pytestmark = pytest.mark.shared
NAMES = sorted(
    f"gutenberg/{name}"
    for name in (
        "pg102.txt", "pg119.txt", "pg148.txt", "pg1837.txt", "pg20203.txt", "pg245.txt", "pg3176.txt", "pg3186.txt",
        "pg3189.txt", "pg374.txt", "pg43855-noheader.txt", "pg48136-noheader.txt", "pg74.txt", "pg76.txt", "pg86.txt",
        "pg972.txt", "old/pg102-puddn10.txt", "old/pg119-20040619.txt", "old/pg148-bfaut10.txt", "old/pg148-bfaut11.txt",
        "old/pg1837-prppr10.txt", "old/pg245-lmiss12.txt", "old/pg3176-mtinn10.txt", "old/pg374-fanfb10.txt",
        "old/pg76-hfinn12.txt", "old/pg972-dvldc10.txt",
    )
)  # fmt: skip
# What a person found in front of the text: (lists of contents and pictures) that each file has.
LISTS = {
    "pg102.txt": 1, "pg119.txt": 14, "pg1837.txt": 2, "pg20203.txt": 2, "pg245.txt": 1, "pg3176.txt": 1, "pg3186.txt": 1,
    "pg3189.txt": 1, "pg374.txt": 1, "pg48136-noheader.txt": 2, "pg74.txt": 2, "pg76.txt": 2, "pg1837-prppr10.txt": 1,
    "pg3176-mtinn10.txt": 1, "pg374-fanfb10.txt": 1, "pg22537.txt": 1,
}  # fmt: skip
BOOKS = pytest.mark.parametrize("name", [*NAMES, "satire/pg22537.txt"])


@cache
def stripped(path: Path) -> CleanedWork:
    """What is left of a book; five tests look at each."""
    return strip_gutenberg(path.read_bytes())


@pytest.fixture(scope="module")
def benchmark(root: Path) -> ModuleType:
    """benchmarks/gutenberg.py, whose judgement the tests share."""
    spec = importlib.util.spec_from_file_location("gutenberg_benchmark", root / "benchmarks" / "gutenberg.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_all_books_are_named_here(shared_data, benchmark):
    found = {path.relative_to(shared_data).as_posix() for path in benchmark.books(shared_data / "gutenberg")}
    assert found == set(NAMES)


@pytest.mark.slow
@BOOKS
def test_no_line_of_header_licence_credits_or_notes_is_left(shared_data, benchmark, name):
    text = stripped(shared_data / name).text
    assert [line for line in text.splitlines() if benchmark.RESIDUE.search(line)] == []
    # Twain brackets a remark on omitted "Illustrations", and Franklin's daily table has {12} indented
    assert re.findall(r"\[Illustration[]:]|^\{\d+\}$|\[Pg? ?\d+\]", text, re.MULTILINE) == []


@BOOKS
def test_lists_of_contents_go_and_are_counted(shared_data, name):
    work = stripped(shared_data / name)
    count = LISTS.get(Path(name).name, 0)
    assert [w for w in work.warnings if w.startswith("cut_contents")] == ([f"cut_contents={count}"] if count else [])
    assert contents(Page(work.text)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_authors_first_and_last_words_stay(shared_data, benchmark, name):
    truth = truth_of(benchmark, Path(name).name)
    words = benchmark.words_of(stripped(shared_data / name).text)
    assert benchmark.holds(words[: benchmark.HEAD], truth["first"])
    assert benchmark.holds(words[-benchmark.TAIL :], truth["last"])


def test_the_truth_is_told_by_a_file_that_lost_its_first_or_last_words(shared_data, benchmark):
    path = shared_data / "gutenberg" / "pg86.txt"
    text = stripped(path).text
    for cut in (text[: len(text) - 40], text[20_000:]):
        result = benchmark.judge(lambda _raw, _text, cut=cut: cut, path, truth_of(benchmark, path.name))
        assert not result.clean


def truth_of(benchmark: ModuleType, name: str) -> dict[str, str]:
    with benchmark.TRUTH.open(encoding="utf-8", newline="") as file:
        return next(row for row in csv.DictReader(file) if row["file"] == name)


@BOOKS
def test_lines_stay_as_they_are_and_in_their_order(shared_data, name):
    """Verse and dialogue keep their lines: each line of the work is a line of the file, or the rest of one after a cut."""
    raw = (shared_data / name).read_bytes()
    lines = iter(tidy(decode(raw).text).split("\n"))
    for line in filter(None, stripped(shared_data / name).text.split("\n")):
        assert any(line in candidate or candidate.strip() in line for candidate in lines if candidate), line


@BOOKS
def test_little_more_than_the_wrapper_is_lost(shared_data, name):
    raw = (shared_data / name).read_bytes()
    # the licence has 19 kB, the longest set of lists 27 kB (the seven parts of pg119), transcribers' notes 10 kB (pg102)
    assert len(raw) - len(stripped(shared_data / name).text.encode()) < 70_000
