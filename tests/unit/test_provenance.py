"""A code version changes exactly with the modules that are reached; a chunk id says where its text lies."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot import provenance
from twainbot.errors import UnknownName
from twainbot.provenance import chunk_span, own_imports, reachable, source_path, version_of

CACHED = (
    provenance.reachable, provenance.own_imports, provenance.is_module, provenance.source_path, provenance.source_bytes,
    provenance.package_folder,
)  # fmt: skip


def forget() -> None:
    for function in CACHED:
        function.cache_clear()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A function that writes modules of a package `own_pkg`, the only one that counts as ours."""
    folder = tmp_path / "own_pkg"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(provenance, "OWN_PACKAGES", ("own_pkg",))
    monkeypatch.delitem(sys.modules, "own_pkg", raising=False)

    def write(**modules: str) -> None:
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        forget()

    forget()
    yield write
    forget()


def test_a_version_is_12_hex_digits_and_stays_the_same():
    assert version_of("twainbot.records") == version_of("twainbot.records")
    assert int(version_of("twainbot.records"), 16) < 16**12
    assert len(version_of("twainbot.records")) == 12


def test_the_order_of_names_does_not_matter_and_a_further_module_does():
    one = version_of("twainbot.splits.assign", "twainbot.splits.export")
    assert one == version_of("twainbot.splits.export", "twainbot.splits.assign")
    assert one != version_of("twainbot.splits.assign")


def test_a_change_two_imports_away_changes_the_version_and_one_elsewhere_does_not(own):
    own(a="from own_pkg import b", b="import own_pkg.c", c="X = 1", d="Y = 1")
    before = version_of("own_pkg.a")
    own(d="Y = 2")
    assert version_of("own_pkg.a") == before
    own(c="X = 2")
    assert version_of("own_pkg.a") != before


@pytest.mark.parametrize(
    "line",
    [
        "import own_pkg.c",
        "import json, own_pkg.c",
        "from own_pkg.c import X",
        "from own_pkg import c",
        "from own_pkg import c as other",
        "from own_pkg import (\n    c,\n)",
        "from own_pkg import (  # (a remark)\n    b,\n    c,\n)",
        "def later():\n    from own_pkg import c\n    return c",
        "if True:\n    import own_pkg.c as d",
    ],
)
def test_every_form_of_import_is_seen(own, line):
    own(a=line, b="", c="X = 1")
    assert "own_pkg.c" in reachable("own_pkg.a")


def test_modules_that_import_each_other_end(own):
    own(a="import own_pkg.b", b="import own_pkg.a")
    assert reachable("own_pkg.a") == {"own_pkg.a", "own_pkg.b"}


def test_foreign_packages_and_names_inside_a_line_do_not_count(own):
    own(a='import json\nimport polars\nfrom own_pkg_of_others import c\ntext = "import own_pkg.c"', c="")
    assert own_imports("own_pkg.a") == ()


def test_a_docstring_line_that_reads_like_an_import_counts_which_errs_on_the_safe_side(own):
    own(a='"""\nimport own_pkg.c\n"""', c="")
    assert own_imports("own_pkg.a") == ("own_pkg.c",)


def test_the_graphs_own_modules_are_found_through_packages():
    assert "twainbot.dedupe.decontaminate" in reachable("twainbot.curation")
    assert "twainbot.records" in reachable("twainbot.curation")
    assert not any(name.startswith(("resources", "twainbot_assets")) for name in reachable("twainbot.curation"))


def test_what_is_left_out_takes_what_it_alone_imports_with_it(own):
    own(a="import own_pkg.b\nimport own_pkg.c", b="import own_pkg.c\nimport own_pkg.d", c="X = 1", d="Y = 1")
    aside = frozenset({"own_pkg.b"})
    assert reachable("own_pkg.a", aside) == {"own_pkg.a", "own_pkg.c"}
    before = version_of("own_pkg.a", without=aside)
    own(d="Y = 2")
    assert version_of("own_pkg.a", without=aside) == before != version_of("own_pkg.a")


@pytest.mark.parametrize("made_by", ["training.dapt", "training.sft", "training.preference", "resources.merging"])
def test_an_edit_of_an_evaluator_trains_and_mixes_nothing_again(made_by):
    from twainbot_assets.adapters import WATCHES

    found = reachable(made_by, WATCHES)
    judges = {name for name in found if name.startswith("twainbot.evals.")}
    assert judges == {"twainbot.evals.call_parsing"}  # by which training/rows.py reads a preferred reply
    assert {made_by, "training.start", "training.attention"} <= found


@pytest.mark.parametrize("name", ["twainbot.no_such_thing", "no_such_package.at_all"])
def test_a_module_that_does_not_exist_is_refused(name):
    with pytest.raises(UnknownName, match="no_such"):
        source_path(name)


def test_a_chunk_id_gives_work_and_span():
    assert chunk_span("pg76:0-900") == ("pg76", 0, 900)
    assert chunk_span("HNB-2026/afd:1-2:30-44") == ("HNB-2026/afd:1-2", 30, 44)


@settings(max_examples=examples(50), deadline=None)
@given(st.text(min_size=1).filter(lambda text: "\n" not in text), st.integers(0, 10**9), st.integers(0, 10**9))
def test_every_chunk_id_can_be_walked_back(work_id, start, end):
    assert chunk_span(f"{work_id}:{start}-{end}") == (work_id, start, end)


@pytest.mark.parametrize("text", ["", "pg76", "pg76:0", "pg76:a-b", ":0-9", "pg76:0-9 "])
def test_what_is_no_chunk_id_is_refused_with_the_form(text):
    with pytest.raises(UnknownName, match="reads '<work id>:<start>-<end>'"):
        chunk_span(text)
