"""How many examples a property test looks at: what it names in `make test`, 15 % of that in `make check`."""

from __future__ import annotations

import os

EXAMPLES = int(os.environ.get("TWAINBOT_EXAMPLES", "15"))  # of a test that names no number of its own


def examples(full: int) -> int:
    """`full` where TWAINBOT_EXAMPLES is 100, and in proportion elsewhere; at least one."""
    return max(1, -(-full * EXAMPLES // 100))
