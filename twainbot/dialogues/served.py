"""What the served weather tools answer, out of the service's documents and out of the corpus's facts. Fetching is resources/'.

A result has the keys that dialogues/tools.py names; what the source does not say is null, never a guess. A question that
cannot be answered raises NoAnswer with one of the tool's error codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from twainbot.corpora.nws import Alert, Forecast, Observation, Period
from twainbot.dialogues import observations, weather
from twainbot.errors import BadInput
from twainbot.evals.places_dates import after, same_place

REACH_DAYS = 7  # days ahead that the service forecasts
MOST_ALERTS = 12  # names in one result: a state in a bad week has dozens of zones under the same few


class NoAnswer(BadInput):
    """A question that the tool cannot answer. `code`: one of tools.ERROR_CODES; the text says what would help."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def day_asked(when: str, today: date, reach_days: int = REACH_DAYS) -> date:
    """The day that the tool's `datetime` means. Raises NoAnswer for no day and for one out of reach."""
    day = weather.resolve(when, today)
    if day is None:
        raise NoAnswer(
            "no_data_for_date",
            f"{when[:60]!r} is no day. Write today, tonight, tomorrow, a weekday, this weekend or YYYY-MM-DD.",
        )
    last = after(today, reach_days)
    if not today <= day <= last:
        raise NoAnswer("no_data_for_date", f"{day} is out of range: there are forecasts from {today} to {last}.")
    return day


def forecast_of_day(
    forecast: Forecast, location: str, when: str, alerts_of: Callable[[date], list[str] | None]
) -> dict[str, Any]:
    """One day of the service's forecast under FORECAST_KEYS. `alerts_of`: names in force on a day, None where unknown.

    "Today" is the local date of the first period, so no clock is asked. A day without a period gives NoAnswer.
    """
    dated = [(day, period) for period in forecast.periods if (day := _local_day(period.start))]
    if not dated:
        raise NoAnswer("service_unavailable", "The service's forecast has no dated period. Try again later.")
    day = day_asked(when, dated[0][0])
    periods = [period for on, period in dated if on == day]
    light = next((period for period in periods if period.is_daytime), None)
    dark = next((period for period in reversed(periods) if period.is_daytime is False), None)
    told = dark if weather.is_night(when) and dark else light or dark
    if told is None:
        raise NoAnswer("no_data_for_date", f"The service has no forecast for {day}. It reaches to {dated[-1][0]}.")
    return _forecast_row(location, when, day, told, light, dark) | {"alerts": alerts_of(day)}


def _forecast_row(
    location: str, when: str, day: date, told: Period, light: Period | None, dark: Period | None
) -> dict[str, Any]:
    return {
        "location": location,
        "datetime": when,
        "date": day.isoformat(),
        "weekday": weather.WEEKDAYS[day.weekday()],
        "condition": told.short.lower() or None,
        "high_f": light.temperature_f if light else None,
        "low_f": dark.temperature_f if dark else None,
        "precipitation_chance": told.precipitation_chance,
        "wind_mph": told.wind_mph,
        "wind_direction": told.wind_direction,
    }


def _local_day(instant: str) -> date | None:
    return datetime.fromisoformat(instant).date() if instant else None


def alerts_on(alerts: Sequence[Alert], day: date) -> list[str]:
    """Names of the alerts in force on a day, once each; one without an end counts from its onset on."""
    return list(dict.fromkeys(alert.event for alert in alerts if alert.reject_reason is None and _covers(alert, day)))


def _covers(alert: Alert, day: date) -> bool:
    begins, ends = _local_day(alert.onset or alert.sent), _local_day(alert.ends or alert.expires)
    return (begins is None or begins <= day) and (ends is None or day <= ends)


def alert_list(alerts: Sequence[Alert], state: str) -> dict[str, Any]:
    """The alerts of a state under ALERTS_KEYS, each name once."""
    names = dict.fromkeys(alert.event for alert in alerts if alert.reject_reason is None and alert.event)
    return {"state": state, "alerts": list(names)[:MOST_ALERTS]}


def observed(seen: Observation, location: str) -> dict[str, Any]:
    """A station's reading under OBSERVATION_KEYS. Raises NoAnswer where it measured nothing of it."""
    measured = {name: found.whole for name, found in seen.measures.items()}
    if measured.get("temperature") is None and not seen.text:
        raise NoAnswer("service_unavailable", f"Station {seen.station} reports neither sky nor temperature.")
    return {
        "location": location,
        "station": seen.station,
        "observed": seen.observed_at,
        "condition": seen.text.lower() or None,
        "temperature_f": measured.get("temperature"),
        "humidity": measured.get("relativeHumidity"),
        "wind_mph": measured.get("windSpeed"),
        "wind_direction": seen.wind_direction,
    }


# --- the corpus's facts -------------------------------------------------------------------------------------------------


def archived_forecast(
    said: Sequence[observations.Observation], location: str, when: str, today: date | None = None
) -> dict[str, Any]:
    """What the newest bulletin that speaks of the day said, under FORECAST_KEYS with `issued_at`.

    Without `today`, relative words count from the day of the place's newest bulletin: an archive has no other today.
    """
    at_place = [seen for seen in said if same_place(location, seen.location)]
    places = sorted({seen.location for seen in at_place})
    if not places:
        known = ", ".join(sorted({seen.location for seen in said})[:8]) or "none"
        raise NoAnswer("unknown_location", f"No bulletin speaks of {location[:60]!r}. The archive knows: {known}.")
    if len(places) > 1:
        raise NoAnswer("unknown_location", f"Several places have that name: {' or '.join(places)}. Say which state.")
    newest = today or max(seen.issued for seen in at_place)
    day = weather.resolve(when, newest)
    about = [seen for seen in at_place if seen.day == day and (today is None or seen.issued <= today)]
    if day is None or not about:
        days = sorted({seen.day.isoformat() for seen in at_place})
        raise NoAnswer(
            "no_data_for_date",
            f"No bulletin for {places[0]} speaks of {day or when[:60]}. There are {days[0]} to {days[-1]}.",
        )
    issued = max(seen.issued for seen in about)
    return _archived_row([seen for seen in about if seen.issued == issued], places[0], when, day)


def _archived_row(about: Sequence[observations.Observation], place: str, when: str, day: date) -> dict[str, Any]:
    light = next((seen for seen in about if not seen.is_night), None)
    dark = next((seen for seen in about if seen.is_night), None)
    told = dark if weather.is_night(when) and dark else light or about[0]
    highs = [seen.high_f for seen in about if seen.high_f is not None]
    lows = [seen.low_f for seen in about if seen.low_f is not None]
    return {
        "location": place,
        "datetime": when,
        "date": day.isoformat(),
        "weekday": weather.WEEKDAYS[day.weekday()],
        "condition": told.condition,
        "high_f": highs[0] if highs else None,
        "low_f": lows[0] if lows else None,
        "precipitation_chance": told.precipitation_chance,
        "wind_mph": told.wind_mph,
        "wind_direction": told.wind_direction if told.wind_mph is not None else None,
        "alerts": None,  # a bulletin's text says nothing of alerts in a form that a tool would give
        "issued_at": about[0].issued.isoformat(),
    }


# --- the simulation -----------------------------------------------------------------------------------------------------


def simulated_observation(forecast: Mapping[str, Any]) -> dict[str, Any]:
    """A station's reading that agrees with the simulated forecast of its day, under OBSERVATION_KEYS."""
    warm, cold = int(forecast["high_f"]), int(forecast["low_f"])
    return {
        "location": forecast["location"],
        "station": "SIMULATED",
        "observed": f"{forecast['date']}T12:00:00",
        "condition": forecast["condition"],
        "temperature_f": round(cold + (warm - cold) * 0.7),  # noon lies nearer to the high
        "humidity": min(98, 40 + int(forecast["precipitation_chance"]) // 2),
        "wind_mph": forecast["wind_mph"],
        "wind_direction": forecast["wind_direction"],
    }
