"""Figures from measurements: percentiles, medians, ratios round by round, and whether a row meets its goal. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Better = Literal["more", "less"]
NOISE = 0.15  # smaller differences are noise (`docs/performance.md`)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A row of the table of goals. `unit` is the unit of the value that is compared; a ratio has none."""

    key: str
    measure: str
    better: Better
    goal: float | None = None
    stretch: float | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the result. `rounds` holds one figure a round to compare with the goal: `ours / other`, or `ours` if there is no other.

    `fault` says why there are no figures, or why they do not count.
    """

    key: str
    measure: str
    better: Better
    goal: float | None
    stretch: float | None
    unit: str
    rounds: tuple[float, ...]
    ours: tuple[float, ...] = ()
    other: tuple[float, ...] = ()
    each: str = ""
    against: str = ""
    note: str = ""
    fault: str | None = None
    details: tuple[dict[str, Any], ...] = ()

    @property
    def value(self) -> float | None:
        """The median of the rounds, which is compared with the goal."""
        return statistics.median(self.rounds) if self.rounds else None

    @property
    def spread(self) -> float | None:
        """The difference between the highest and the lowest round, as a share of the median."""
        value = self.value
        return (max(self.rounds) - min(self.rounds)) / value if value else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is no goal."""
        if self.fault is not None:
            return False
        if self.goal is None or self.value is None:
            return None
        return self.value >= self.goal if self.better == "more" else self.value <= self.goal

    @property
    def medians(self) -> tuple[float | None, float | None]:
        """The medians of ours and of the other, in the unit `each`."""
        return (statistics.median(self.ours) if self.ours else None, statistics.median(self.other) if self.other else None)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "value": self.value, "spread": self.spread, "met": self.met}


def row(
    goal: Goal,
    ours: Sequence[float],
    other: Sequence[float] = (),
    *,
    each: str = "",
    against: str = "",
    note: str = "",
    fault: str | None = None,
    details: Sequence[dict[str, Any]] = (),
) -> Row:
    """A row of measurements from the same rounds. With `other`, its figures are the ratios ours / other, round by round."""
    rounds = tuple(mine / theirs for mine, theirs in zip(ours, other, strict=True) if theirs) if other else tuple(ours)
    return Row(
        key=goal.key,
        measure=goal.measure,
        better=goal.better,
        goal=goal.goal,
        stretch=goal.stretch,
        unit=goal.unit,
        rounds=rounds,
        ours=tuple(ours),
        other=tuple(other),
        each=each,
        against=against,
        note=note,
        fault=fault,
        details=tuple(details),
    )


def failed(goal: Goal, fault: str) -> Row:
    """The row of a goal that could not be measured."""
    return row(goal, (), fault=fault)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least a `share` of the values do not exceed (nearest rank). Raises ValueError if there are none."""
    if not values:
        raise ValueError("there is nothing to take a percentile of")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def short(value: float | None) -> str:
    """A figure with about three significant digits."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{digits}f}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """The change of a row's value from one result to another. `by` is the relative change; `verdict` is its meaning."""

    key: str
    measure: str
    old: float | None
    new: float | None
    by: float | None
    verdict: Literal["better", "worse", "same", "only old", "only new"]


def changes(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[Change]:
    """Compares the rows of two results (as in their JSON) by key. A change within NOISE or within either spread counts as the same."""
    before, after = {each["key"]: each for each in old}, {each["key"]: each for each in new}
    return [
        _change(key, before.get(key, {}), after.get(key, {})) for key in [*before, *(key for key in after if key not in before)]
    ]


def _change(key: str, old: dict[str, Any], new: dict[str, Any]) -> Change:
    measure = (new or old)["measure"]
    before, after = _counted(old), _counted(new)
    if not before or not after:
        return Change(key=key, measure=measure, old=before, new=after, by=None, verdict="only new" if after else "only old")
    by = after / before - 1
    verdict: Literal["better", "worse", "same"] = "same"
    if abs(by) > max(NOISE, old.get("spread") or 0, new.get("spread") or 0):
        verdict = "better" if (by > 0) == (new["better"] == "more") else "worse"
    return Change(key=key, measure=measure, old=before, new=after, by=by, verdict=verdict)


def _counted(row: dict[str, Any]) -> float | None:
    return row.get("value") if row.get("fault") is None else None
