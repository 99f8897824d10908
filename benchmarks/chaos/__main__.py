"""`make chaos`: make a clone and a home, then be the campaign in them.

python -m benchmarks.chaos [--kills 50] [--seed 1910] [--folder DIR]

The campaign forks its commands, so its own environment is theirs and its code the clone's: hence the second start.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chaos.world import World


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description="SIGKILLs against profile tiny.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1910)
    parser.add_argument("--folder", type=Path, help="Default: a new temporary one. The same folder goes on.")
    parser.add_argument("--kinds", help="Comma-separated victims, to kill these in turn instead.")
    return parser.parse_args(words)


def main() -> None:
    """Never returns."""
    options = options_of(sys.argv[1:])
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="twainbot-chaos-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder).make()
    os.chdir(world.root)
    words = ["-m", "benchmarks.chaos.campaign", *sys.argv[1:], "--folder", str(folder)]
    os.execve(sys.executable, [sys.executable, *words], world.environment())


if __name__ == "__main__":
    main()
