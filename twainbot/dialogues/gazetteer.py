"""Where a town lies, by the name that a user gives it. The towns are data: gazetteer.yaml. Other geocoders: resources/.

Only the United States: the weather service that the coordinates are for covers nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from twainbot.evals.places_dates import STATES, read_place

_COUNTRY = "united states"
SHOWN = 6  # places named in a question back


@dataclass(frozen=True)
class Spot:
    """A town of the gazetteer. `state`: two letters. `latitude`, `longitude`: degrees north and east."""

    town: str
    state: str
    latitude: float
    longitude: float

    @property
    def canonical(self) -> str:
        """ "Hannibal, MO"."""
        return f"{self.town}, {self.state}"


@cache
def _by_town() -> dict[str, tuple[Spot, ...]]:
    raw: dict[str, Any] = yaml.safe_load((resources.files("twainbot.dialogues") / "gazetteer.yaml").read_text("utf-8"))
    found: dict[str, list[Spot]] = {}
    for state, towns in raw.items():
        for town, (latitude, longitude) in towns.items():
            spot = Spot(str(town), state, float(latitude), float(longitude))
            found.setdefault(read_place(spot.town).town, []).append(spot)
    return {town: tuple(spots) for town, spots in found.items()}


def spots(location: str) -> tuple[Spot, ...]:
    """The towns that a spelling may mean: none where it is unknown, several where its state would have to be said."""
    asked = read_place(location)
    wanted = asked.qualifiers - {_COUNTRY}
    named = _by_town().get(asked.town, ())
    return tuple(spot for spot in named if wanted <= {STATES[spot.state.lower()]})


def question(found: tuple[Spot, ...]) -> str:
    """Asks which of several towns is meant."""
    listed = " or ".join(spot.canonical for spot in found[:SHOWN])
    return f"Several places have that name: {listed}. Say which state."


def state_letters(state: str) -> str | None:
    """ "MO" for "mo", "Missouri" or "MO"; None for what is no state."""
    bare = " ".join(state.casefold().replace(".", "").split())
    if bare in STATES:
        return bare.upper()
    return next((letters.upper() for letters, name in STATES.items() if name == bare), None)
