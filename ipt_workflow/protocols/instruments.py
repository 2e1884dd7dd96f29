"""Instruments (scales): scoring, bands, the risk item, and change between two readings (domain.md 3).

Totals are numbers of points, whole or with the decimals that the scale's `step` allows: they are kept as they were sent. Change is
judged in whole steps, so that decimals compare exactly. A reading with missing answers has no total, but its risk item is still read.
Answers are given as the scale scores them: a reversed item is turned round before it is sent.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec

from ipt_workflow.errors import Fault
from ipt_workflow.values.types import whole

Aim = Literal["symptoms", "interpersonal_functioning", "social_support"]
Confidence = Literal["seed", "found", "memory_high", "memory_medium", "memory_low", "design"]

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Step = Literal["1", "0.1", "0.01"]
STEPS_PER_POINT: dict[Step, int] = {"1": 1, "0.1": 10, "0.01": 100}


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Totals from `min` to `max`, both included."""

    label: str
    min: int
    max: int


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The source of a value. `key` is its path in the file. `docs/protocols.md` defines `confidence`."""

    key: str
    source: str
    confidence: Confidence


class InstrumentFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of `config/instruments/`. `item_texts` is empty if its licence does not allow shipping them."""

    id: Annotated[str, msgspec.Meta(pattern=whole("[a-z][a-z0-9-]{0,31}"))]
    version: AtLeastOne
    title: str
    aim: Aim
    direction: Literal["higher_is_worse", "higher_is_better"]
    items: AtLeastOne
    item_min: int
    item_max: int
    total_min: int
    total_max: int
    step: Step = "1"  # the least difference between two totals, in points
    bands: tuple[Band, ...] = ()
    caseness: int | None = None  # the lowest total that is a case
    remission_below: int | None = None
    reliable_change: AtLeastOne | None = None  # the least change, in points, that exceeds the scale's own error
    response_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    risk_item: AtLeastOne | None = None  # counted from 1
    risk_threshold: int = 1
    item_texts: tuple[str, ...] = ()
    licence: Annotated[str, msgspec.Meta(min_length=1)]
    evidence: Annotated[tuple[Evidence, ...], msgspec.Meta(min_length=1)]

    @property
    def steps_per_point(self) -> int:
        return STEPS_PER_POINT[self.step]

    @property
    def summed(self) -> bool:
        """Whether the total is the plain sum of the answers. Other scales accept totals only."""
        return (self.total_min, self.total_max) == (self.items * self.item_min, self.items * self.item_max)


class Instrument(InstrumentFile, frozen=True, kw_only=True):
    """A loaded instrument. `digest` is the SHA-256 (hex) of the JCS form of its TOML as written."""

    digest: str

    @property
    def key(self) -> str:
        """`phq9@1`."""
        return f"{self.id}@{self.version}"

    @property
    def judges_outcome(self) -> bool:
        """Whether the scale defines both who is a case and which change is reliable."""
        return self.caseness is not None and self.reliable_change is not None

    @property
    def unwell_from(self) -> int | float | None:
        """The total from which a client is not well: a case, or not in remission where the scale defines no case. None if it defines neither."""
        return self.remission_below if self.caseness is None else self.caseness


class Score(msgspec.Struct, frozen=True):
    """`total` is None if answers are missing. `risk`: the risk item is at its threshold or above."""

    total: int | None
    band: str | None
    risk: bool
    missing: int


class Change(msgspec.Struct, frozen=True):
    """From the first to the last valid reading of one scale.

    None: the scale does not define it, or it cannot apply. `recovery` is about this scale alone; the NHS judges recovery
    by PHQ-9 and GAD-7 together (F46).
    """

    improvement: float  # points towards health, whichever way the scale runs
    reliable_improvement: bool | None
    reliable_deterioration: bool | None
    response: bool | None
    remission: bool | None
    recovery: bool | None  # None if the first reading was no case: such a client cannot recover (F42)


def score(instrument: Instrument, items: Sequence[int | None]) -> Score:
    """Scores answers in which `faults_in` finds no fault. None is a missing answer."""
    missing = sum(answer is None for answer in items)
    total = None if missing else sum(answer for answer in items if answer is not None)
    risk_answer = items[instrument.risk_item - 1] if instrument.risk_item else None
    return Score(
        total=total,
        band=band(instrument, total),
        risk=risk_answer is not None and risk_answer >= instrument.risk_threshold,
        missing=missing,
    )


def band(instrument: Instrument, total: float | None) -> str | None:
    """The label of the band that contains the total. None without a total, or if the scale has no bands."""
    if total is None:
        return None
    return next((each.label for each in reversed(instrument.bands) if each.min <= total), None)


def faults_in(instrument: Instrument, reading: Sequence[int | None] | float | None) -> list[Fault]:
    """Faults of a reading (its answers, or its total, or None for no reading), as faults of a command's data.

    A missing answer is no fault. The messages never repeat a value: it is about a client.
    """
    if reading is None:
        return []
    if isinstance(reading, int | float):
        low, high = instrument.total_min, instrument.total_max
        if not low <= reading <= high:
            return [Fault("data.total", f"must lie from {low} to {high} for {instrument.key}")]
        if _points(instrument, _steps(instrument, reading)) != reading:
            wanted = "a whole number" if instrument.step == "1" else f"a multiple of {instrument.step}"
            return [Fault("data.total", f"must be {wanted} for {instrument.key}")]
        return []
    if not instrument.summed:
        return [Fault("data.items", f"{instrument.key} is not a sum of answers: send data.total instead")]
    if len(reading) != instrument.items:
        wanted = f"must have {instrument.items} answers for {instrument.key}, with null for a missing one"
        return [Fault("data.items", wanted)]
    low, high = instrument.item_min, instrument.item_max
    return [
        Fault(f"data.items[{index}]", f"must lie from {low} to {high} for {instrument.key}")
        for index, answer in enumerate(reading)
        if answer is not None and not low <= answer <= high
    ]


def _steps(instrument: Instrument, points: float) -> int:
    return round(points * instrument.steps_per_point)


def _points(instrument: Instrument, steps: int) -> float:
    """Points for steps: a whole number wherever it is one."""
    whole, rest = divmod(steps, instrument.steps_per_point)
    return steps / instrument.steps_per_point if rest else whole


def change(instrument: Instrument, baseline: float, last: float) -> Change:
    """The change between two totals.

    Response, remission and recovery are defined only for scales whose higher totals are worse (domain.md 3).
    """
    worse_is_higher = instrument.direction == "higher_is_worse"
    rise = _steps(instrument, last) - _steps(instrument, baseline)
    improvement = _points(instrument, -rise if worse_is_higher else rise)
    reliable = instrument.reliable_change
    return Change(
        improvement=improvement,
        reliable_improvement=None if reliable is None else improvement >= reliable,
        reliable_deterioration=None if reliable is None else improvement <= -reliable,
        response=_response(instrument, baseline, last) if worse_is_higher else None,
        remission=None if instrument.remission_below is None else last < instrument.remission_below,
        recovery=_recovery(instrument, baseline, last),
    )


class Outcome(msgspec.Struct, frozen=True):
    """A client's outcome by several symptom scales together, as the NHS counts it (F46, F41).

    `recovery`: a case on at least one scale at first, and on none at last. None if the client was a case on none at first.
    """

    recovery: bool | None
    reliable_improvement: bool
    reliable_deterioration: bool
    reliable_recovery: bool | None


def outcome(readings: Iterable[tuple[Instrument, float, float]]) -> Outcome | None:
    """From the first and the last valid total of each scale. None if no scale defines both caseness and reliable change.

    A client improved who improved reliably on one scale and deteriorated reliably on none. Deterioration is the reverse.
    """
    judged = [each for each in readings if each[0].judges_outcome]
    if not judged:
        return None
    changes = [change(scale, baseline, last) for scale, baseline, last in judged]
    better = any(each.reliable_improvement for each in changes)
    worse = any(each.reliable_deterioration for each in changes)
    was_case = any(baseline >= (scale.caseness or 0) for scale, baseline, _ in judged)
    recovery = all(last < (scale.caseness or 0) for scale, _, last in judged) if was_case else None
    improved = better and not worse
    return Outcome(
        recovery=recovery,
        reliable_improvement=improved,
        reliable_deterioration=worse and not better,
        reliable_recovery=None if recovery is None else recovery and improved,
    )


def _response(instrument: Instrument, baseline: float, last: float) -> bool | None:
    """Whether the total fell by `response_percent` of its distance above the floor (0 on PHQ-9 and GAD-7)."""
    first = _steps(instrument, baseline)
    above_floor = first - _steps(instrument, instrument.total_min)
    if above_floor == 0:
        return None
    return (first - _steps(instrument, last)) * 100 >= instrument.response_percent * above_floor


def _recovery(instrument: Instrument, baseline: float, last: float) -> bool | None:
    if instrument.caseness is None or baseline < instrument.caseness:
        return None
    return last < instrument.caseness


def faults_of(spec: InstrumentFile) -> list[Fault]:
    """Faults of an instrument file beyond its fields' types. A wrong range hides the faults that depend on it."""
    faults = _range_faults(spec) or [*_cut_faults(spec), *_risk_faults(spec), *_band_faults(spec)]
    if spec.item_texts and len(spec.item_texts) != spec.items:
        faults.append(
            Fault(
                "item_texts",
                f"must have {spec.items} texts (one an item) or none, not {len(spec.item_texts)}",
            )
        )
    return faults


def _range_faults(spec: InstrumentFile) -> list[Fault]:
    low, high = spec.items * spec.item_min, spec.items * spec.item_max
    if spec.item_min >= spec.item_max:
        return [Fault("item_max", f"must be above item_min ({spec.item_min}), not be {spec.item_max}")]
    if not low <= spec.total_min < spec.total_max <= high:
        wanted = f"must make, with total_min, a range within {low} to {high}, which the items allow"
        return [Fault("total_max", f"{wanted}, not {spec.total_min} to {spec.total_max}")]
    return []


def _cut_faults(spec: InstrumentFile) -> list[Fault]:
    faults = []
    for name, cut in (("caseness", spec.caseness), ("remission_below", spec.remission_below)):
        if cut is None:
            continue
        if spec.direction == "higher_is_better":
            faults.append(Fault(name, 'is defined only where direction is "higher_is_worse"'))
        elif not spec.total_min < cut <= spec.total_max:
            wanted = f"must lie from {spec.total_min + 1} to {spec.total_max}"
            faults.append(Fault(name, f"{wanted}, not be {cut}"))
    width = spec.total_max - spec.total_min
    if spec.reliable_change is not None and spec.reliable_change > width:
        faults.append(Fault("reliable_change", f"must be at most {width}, not {spec.reliable_change}"))
    return faults


def _risk_faults(spec: InstrumentFile) -> list[Fault]:
    if spec.risk_item is None:
        return []
    faults = []
    if spec.risk_item > spec.items:
        faults.append(Fault("risk_item", f"must lie from 1 to {spec.items}, not be {spec.risk_item}"))
    if not spec.item_min < spec.risk_threshold <= spec.item_max:
        wanted = f"must lie from {spec.item_min + 1} to {spec.item_max}"
        faults.append(Fault("risk_threshold", f"{wanted}, not be {spec.risk_threshold}"))
    if not spec.summed:
        faults.append(Fault("risk_item", "would never be read, since the total is not the sum of the answers: remove it"))
    return faults


def _band_faults(spec: InstrumentFile) -> list[Fault]:
    """Bands cover every total once. The fault names the first gap or overlap."""
    begins = spec.total_min
    for index, each in enumerate(spec.bands):
        if each.min != begins:
            wanted = f"must be {begins}, so that every total has one band"
            return [Fault(f"bands[{index}].min", f"{wanted}, not {each.min}")]
        begins = each.max + 1
    if spec.bands and begins != spec.total_max + 1:
        last = f"bands[{len(spec.bands) - 1}].max"
        return [Fault(last, f"must be total_max ({spec.total_max}), not {begins - 1}")]
    return []
