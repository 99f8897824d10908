"""Gates of what several adapters on one base give: mixtures, the router, and the comparison of personas."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from checks import adapters, thresholds
from checks.gates import Finding, Gate

if TYPE_CHECKING:
    import polars as pl

PARENTS = ("config_sha256", "code_sha256", "base_sha256", "adapter_sha256", "template_sha256", "parents")
COMPARISONS = {  # what its gate is called, how its verdicts' names begin and end
    "personas_differ_in_style": ("style_", ""),
    "personas_differ_in_loss": ("loss_", ""),
    "mixtures_stand_between": ("", "_between"),
    "routed_replies_gain_style": ("routed_style", ""),
}


def parents_recorded(rows: pl.DataFrame) -> Finding:
    """Hashes that a mixture's record lacks."""
    record = adapters.record_of(rows)
    absent = [name for name in PARENTS if not record.get(name)]
    mixed = ", ".join(record.get("parents") or {}) or "nothing"
    return Finding(not absent, f"mixed of {mixed}; {len(absent)} hashes missing", len(absent), 0, absent)


def half_and_half(rows: pl.DataFrame) -> Finding:
    """An adapter mixed with itself must be that adapter."""
    value, bound = float(rows["identity_difference"][0]), thresholds.MAX_IDENTITY_DIFFERENCE
    return Finding(
        value <= bound,
        f"half and half of one adapter: off by {value:.1e} of the largest logit, at most {bound:.0e}",
        value,
        bound,
    )


def loses_little(rows: pl.DataFrame) -> Finding:
    """What the mixture's rank could not hold of the weighted sum."""
    value, bound = float(rows["lost_share"][0]), thresholds.MAX_LOST_SHARE
    rank = adapters.record_of(rows)["rank"]
    return Finding(
        value <= bound, f"rank {rank} lost {value:.1%} of the weighted sum, at most {bound:.0%}", value, bound
    )


def beats_chance(rows: pl.DataFrame) -> Finding:
    """The router's rate on prompts that ask for somebody, against guessing."""
    bad = rows.filter(~rows["beats_chance"])
    told = [
        f"{row['prompts'].replace('_', ' ')}: {row['right']} of {row['n']} right "
        f"[{row['low']:.0%}, {row['high']:.0%}], always the commonest {row['majority']:.0%}, by lot {row['chance']:.0%}"
        for row in rows.to_dicts()
    ]
    return Finding(
        rows.height > 0 and bad.is_empty(), "; ".join(told) or "not run: no prompt was judged", bad.height, 0
    )


def stored_whole(rows: pl.DataFrame) -> Finding:
    """Whether the stored router can be read back."""
    from twainbot.dialogues.routing import Router
    from twainbot.errors import BadInput

    try:
        router = Router.from_json(rows["router"][0])
    except BadInput as error:
        return Finding(False, str(error))
    return Finding(True, f"{len(router.ngrams)} n-grams, chooses between {', '.join(router.personas)}")


def compared(rows: pl.DataFrame, begins: str, ends: str) -> Finding:
    """All verdicts of one kind: passed where each passes; a fail is an error, what is open is said."""
    from twainbot.evals.measure import verdict_of
    from twainbot.evals.verdicts import STATES

    found = [verdict_of(payload) for payload in rows.filter(rows["kind"] == "verdict")["payload"].to_list()]
    wanted = [
        one for one in found
        if one.gate.startswith(begins) and one.gate.endswith(ends) and (ends or not one.gate.endswith("_between"))
    ]  # fmt: skip
    states = [one.state for one in wanted]
    told = ", ".join(f"{states.count(state)} {state.replace('_', ' ')}" for state in STATES if state in states)
    open_ = [f"{one.gate}: {one.state.replace('_', ' ')}" for one in wanted if one.state != "pass"]
    why = f"{len(wanted)} comparisons: {told}" if wanted else "not run: nothing to compare"
    return Finding(bool(wanted) and not open_, why, len(open_), 0, open_, error="fail" in states)


MIXTURE = [
    Gate("parents_recorded", "Recipe, code, base, template and every adapter that was mixed.", parents_recorded),
    Gate("loads_back_and_keeps_the_contract", "Loads, fits servers, merges within tolerance.", adapters.servable),
    Gate("half_and_half_is_the_whole", "An adapter mixed with itself gives its own logits.", half_and_half),
    Gate("mixture_loses_little", "The rank holds most of the weighted sum.", loses_little, blocking=False),
]
ROUTER = [
    Gate("router_reads_back", "What is stored is a router.", stored_whole),
    Gate("router_beats_chance", "Held-out prompts reach the persona that they ask for.", beats_chance, blocking=False),
]
PERSONAS = [
    Gate(name, f"Comparisons `{begins}...{ends}`, each with n and interval.",
         partial(compared, begins=begins, ends=ends), blocking=False)
    for name, (begins, ends) in COMPARISONS.items()
]  # fmt: skip


def payload_of(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """The verdicts of a table in full, to be shown."""
    found = rows.filter(rows["kind"] == "verdict")["payload"].to_list()
    return [json.loads(text) for text in found]
