"""Every error that TwainBot raises on purpose.

    TwainBotError                 one plain sentence: found, expected, where, next step
    ├── BadInput                  a file, row or answer from outside is not what it claims to be
    │   ├── UnreadableSource      bytes that no parser of that source accepts
    │   ├── SourceUnavailable     a mirror, feed or endpoint answered with a fault; a later try may succeed
    │   └── TooLong               a conversation that does not fit the model's window
    ├── BadUse                    a name, option or setting that does not exist or contradicts another (exit code 2)
    │   ├── BadConfig             a profile, recipe, prompt or suite file does not validate
    │   └── UnknownName           an unknown profile, source, recipe, partition or sample id
    ├── Busy                      as many requests wait as may; a later try will succeed
    ├── MissingModel              base weights or a scorer's weights are not where they should be
    ├── StaleSchema               a lake file was written by another schema version
    ├── LakeUnavailable           the disk is full or not there, or the object store does not answer; nothing was changed
    ├── BudgetExceeded            a generator's forecast or spending passes its budget: what is spent, what is missing
    ├── GateFailed                a blocking gate refused a result before it was committed
    ├── Diverged                  training left the road: step, loss and the last good checkpoint
    └── Fenced                    the run that tried to commit is no longer alive, or a newer one took its place

The command line prints `str(error)` and exits with 2 for BadUse, with 1 for the rest; it shows no traceback for these.
"""

from __future__ import annotations

from typing import Any


class TwainBotError(Exception):
    """Base of all errors raised on purpose. Its text is a plain sentence that names the repair."""


class BadInput(TwainBotError):
    """A file, row or answer from outside is not what it claims to be."""


class UnreadableSource(BadInput):
    """Bytes that no parser of that source accepts: empty, binary, truncated or header-only."""


class SourceUnavailable(BadInput):
    """A mirror, feed or endpoint answered with a fault. A later try may succeed."""


class TooLong(BadInput):
    """A conversation that does not fit the model's window. The text says how long it is and how long it may be."""


class Busy(TwainBotError):
    """As many requests wait for the model as may. A later try will succeed."""


class BadUse(TwainBotError):
    """A name, option or setting that does not exist or contradicts another."""


class BadConfig(BadUse):
    """A profile, recipe, prompt or suite file does not validate."""


class UnknownName(BadUse):
    """An unknown profile, source, recipe, partition or sample id. The text lists the known ones."""


class MissingModel(TwainBotError):
    """Base weights or a scorer's weights are not where they should be."""


class StaleSchema(TwainBotError):
    """A lake file was written by another schema version."""


class LakeUnavailable(TwainBotError):
    """The lake's disk is full or not there, or its object store does not answer. What was committed stays."""


class BudgetExceeded(TwainBotError):
    """A generator's forecast or spending passes its budget. The text says what is spent, what is missing, and the repair."""


class GateFailed(TwainBotError):
    """A blocking gate refused a result before it was committed. The last good version stays."""


class Diverged(TwainBotError):
    """Training left the road. The text gives the step, the loss and the last good checkpoint; so do the attributes."""

    def __init__(
        self, text: str, *, step: int | None = None, loss: float | None = None, checkpoint: str = "",
        since: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(text)
        self.step = step
        self.since = since  # the first step of those that stayed too high, up to `step`
        self.loss = loss
        self.checkpoint = checkpoint  # a name in the run's checkpoint folder; empty where nothing is known

    @property
    def details(self) -> dict[str, Any]:
        """The attributes, for whoever raises the same error in another process."""
        return {"step": self.step, "loss": self.loss, "checkpoint": self.checkpoint, "since": self.since}


class Fenced(TwainBotError):
    """The run that tried to commit is no longer alive or was superseded, so nothing was written."""
