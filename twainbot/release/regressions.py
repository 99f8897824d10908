"""Whether a recipe fell behind what was released of it, verdict by verdict. What a scorecard's record holds is figures.py's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twainbot.evals.verdicts import Verdict
from twainbot.release.figures import figure, state_words


def fallen_behind(released: Sequence[Mapping[str, Any]], now: Sequence[Verdict]) -> list[str]:
    """A sentence for each verdict that is no longer a pass, or whose value is worse than the released one beyond chance.

    released: the recipe's verdicts in a bundle's scorecard.json. Beyond chance: the two 95% intervals do not meet; without
    intervals nobody knows, and only the state counts. What was not measured before cannot fall.
    """
    before = {str(entry["gate"]): entry for entry in released}
    return [said for verdict in now if (said := _fall(before.get(verdict.gate), verdict))]


def _fall(before: Mapping[str, Any] | None, now: Verdict) -> str:
    """What became worse, or nothing."""
    if before is None:
        return ""
    then, found = figure(now, before.get("value")), figure(now, now.value)
    if before["state"] == "pass" and now.state != "pass":
        return f"{now.gate} was pass ({then}) in the release and is {state_words(now.state)} ({found}): {now.why}"
    if now.state == "fail" and now.value is None and before.get("value") is not None:  # measured, and not finite
        return f"{now.gate} was {then} in the release and is no number: {now.why}"
    if _clearly_worse(before, now):
        return f"{now.gate} was {then} in the release and is {found}; {now.better} is better, and the intervals do not meet"
    return ""


def _clearly_worse(before: Mapping[str, Any], now: Verdict) -> bool:
    """Whether the whole interval lies on the bad side of the released one. An open end (null) meets everything."""
    if now.interval is None or now.value is None or before.get("value") is None:
        return False
    if now.better == "higher":
        return before.get("low") is not None and now.interval.high < float(before["low"])
    return before.get("high") is not None and now.interval.low > float(before["high"])
