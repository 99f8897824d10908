"""Run a command that dies with whoever started it: `python -m resources.with_parent COMMAND ARGUMENT...`

Dagster's Pipes client has no hook before exec, and a training child that outlives a killed run would write its adapter
late. Killed this way a child cannot clean up, so it must write under a temporary name and rename.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from training.orphan_guard import die_with_parent


def main(command: Sequence[str]) -> None:
    """Replace this process by the command; never returns. Exits with 1 where no command is given."""
    if not command:
        sys.exit("usage: python -m resources.with_parent COMMAND ARGUMENT...")
    die_with_parent()
    os.execvp(command[0], list(command))  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
