"""What a person sees while the graph is built: names and messages as they are, brackets and all."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from twainbot_assets.freshness import Item
from twainbot_assets.progress import Live
from twainbot_assets.runner import Fault

RIVER = Item("corpora/local", "river")


@pytest.fixture
def live() -> Live:
    """A view whose console writes into memory, wide enough for a line of any of these."""
    made = Live()
    made.console = Console(file=io.StringIO(), width=200, highlight=False)
    made.status = made.console.status("starting")
    return made


def printed(live: Live) -> list[str]:
    """The lines it printed."""
    return live.console.file.getvalue().splitlines()


def shown(live: Live) -> str:
    """What it shows beside the spinner, as it is seen."""
    return str(live.status.renderable.text)


def test_a_finished_partition_is_named_with_its_brackets(live):
    live.started([RIVER])
    assert shown(live) == "corpora/local [river]"
    live.finished([RIVER], 1.25, [])
    assert printed(live) == ["done corpora/local [river] 1.2 s"]


@pytest.mark.parametrize("why", ["no file [/tmp/x] is there", "bad [red] thing", "it said [INST] hello [/INST] :tada:"])
def test_a_fault_is_shown_letter_by_letter_whatever_stands_in_it(live, why):
    live.started([RIVER])
    live.finished([RIVER], 0.0, [Fault(RIVER, why)])
    assert printed(live) == ["failed corpora/local [river] 0.0 s", f"  corpora/local [river]: {why}"]


@pytest.mark.parametrize(
    ("message", "first"), [("step 3 [INST] hello [/INST]\nmore", "step 3 [INST] hello [/INST]"), ("", "")]
)
def test_the_first_line_of_a_message_is_shown_beside_what_runs(live, message, first):
    live.started([RIVER])
    live.event(message)
    assert shown(live) == f"corpora/local [river]  {first}"
