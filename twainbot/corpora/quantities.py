"""Figures of api.weather.gov in the units that forecasts speak: degrees Fahrenheit, miles per hour, percent.

A figure comes as a number, as text ("41", "5 to 10 mph") or as {"unitCode": "wmoUnit:degC", "value": 25.5}; prefixes
changed over the years (`unit:`, `wmoUnit:`). The original value and unit are kept beside every conversion.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_TO: dict[str, tuple[str, Callable[[float], float]]] = {
    "degF": ("F", lambda v: v),
    "F": ("F", lambda v: v),
    "degC": ("F", lambda v: v * 9 / 5 + 32),
    "C": ("F", lambda v: v * 9 / 5 + 32),
    "K": ("F", lambda v: (v - 273.15) * 9 / 5 + 32),
    "mph": ("mph", lambda v: v),
    "mi_h-1": ("mph", lambda v: v),
    "km_h-1": ("mph", lambda v: v / 1.609344),
    "km/h": ("mph", lambda v: v / 1.609344),
    "m_s-1": ("mph", lambda v: v * 3.6 / 1.609344),
    "m/s": ("mph", lambda v: v * 3.6 / 1.609344),
    "kt": ("mph", lambda v: v * 1.852 / 1.609344),
    "Pa": ("hPa", lambda v: v / 100),
    "hPa": ("hPa", lambda v: v),
    "m": ("m", lambda v: v),
    "mm": ("mm", lambda v: v),
    "percent": ("percent", lambda v: v),
    "degree_(angle)": ("degrees", lambda v: v),
}
_BEYOND = 1e9  # of any unit here: no reading, but a number gone wrong, which no table of whole numbers holds
_SPEED = re.compile(r"(\d{1,3}(?:\.\d+)?)(?:\s*to\s*(\d{1,3}(?:\.\d+)?))?\s*(mph|km/h|kts?|m/s)", re.IGNORECASE)
_POINTS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")


@dataclass(frozen=True)
class Quantity:
    """A figure in our unit (F, mph, hPa, m, mm, percent, degrees) and as it came. `value` is None where none was given."""

    value: float | None
    unit: str
    original: Any = None
    original_unit: str = ""

    @property
    def whole(self) -> int | None:
        """The value as a whole number, halves to even."""
        return None if self.value is None else round(self.value)


MISSING = Quantity(None, "")


def number(value: Any) -> float | None:
    """A finite number out of a number or a numeral in text; None for null, true, NaN and anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def quantity(found: Any, unit: str = "") -> Quantity:
    """A figure in our unit. `unit` is for bare numbers; a unit that is not known keeps the value and its name."""
    value, code = (found.get("value"), found.get("unitCode") or unit) if isinstance(found, dict) else (found, unit)
    code = str(code or "").rsplit(":", 1)[-1].rsplit("/unit/", 1)[-1]
    figure = number(value)
    if figure is None and isinstance(found, dict) and number(found.get("maxValue")) is not None:
        figure = number(found["maxValue"])  # wind with the quantitative feature flag: a range
    name, convert = _TO.get(code, (code, None))
    figure = convert(figure) if convert and figure is not None else figure
    return Quantity(figure if figure is not None and abs(figure) < _BEYOND else None, name, value, code)


def speed(found: Any) -> Quantity:
    """A wind speed in mph: a quantity, or text such as "5 to 10 mph" and "16 km/h", of which the upper end is taken."""
    if not isinstance(found, str):
        return quantity(found, "km/h") if found is not None else MISSING
    match = _SPEED.search(found)
    if match is None:
        return Quantity(None, "", found)
    unit = match[3].lower().removesuffix("s") if match[3].lower().startswith("kt") else match[3].lower()
    return Quantity(quantity(match[2] or match[1], unit).value, "mph", found, unit)


def compass_point(degrees: float | None) -> str | None:
    """One of sixteen letters for an angle: 150 gives SSE. None for None."""
    return None if degrees is None else _POINTS[round(degrees / 22.5) % 16]
