"""Run a command that dies with whoever started it: `python -m resources.with_parent --parent PID COMMAND ARGUMENT...`

Dagster's Pipes client has no hook before exec, and a training child that outlives a killed run would write its adapter
late. Killed this way a child cannot clean up, so it must write under a temporary name and rename.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from training.orphan_guard import die_with_parent


def main(words: Sequence[str]) -> None:
    """Replace this process by the command; never returns. Exits with 1 where no command is given, 137 without a parent."""
    parser = argparse.ArgumentParser(prog="python -m resources.with_parent", allow_abbrev=False)
    parser.add_argument("--parent", type=int, metavar="PID", help="of who starts this, lest its early death be missed")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ARGUMENT...")
    found = parser.parse_args(words)
    if not found.command:
        sys.exit(parser.format_usage())
    die_with_parent(found.parent)
    os.execvp(found.command[0], found.command)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
