"""Course: one client's run of a protocol, folded from its accepted triggers.

Everything here is structural, without free text and clinical content. So the fold never needs data that may have been erased.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import cache, cached_property

import msgspec

from ipt_workflow.values.types import ATTENDED, CANCELLED, MISSED_BY_CLIENT, OF_CARE, WAITED_FOR


class DefaultText(msgspec.Struct, frozen=True, kw_only=True):
    """A struct with a text among its defaults. `omit_defaults` leaves out the default object alone: it takes the place of an equal text."""

    def __post_init__(self) -> None:
        for name, default in _default_texts(type(self)):
            if getattr(self, name) == default:
                msgspec.structs.force_setattr(self, name, default)


@cache
def _default_texts(kind: type[DefaultText]) -> tuple[tuple[str, str], ...]:
    """The fields of a struct whose defaults are texts, each with its default."""
    defaults = zip(reversed(kind.__struct_fields__), reversed(kind.__struct_defaults__), strict=False)
    return tuple((name, default) for name, default in defaults if isinstance(default, str))


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session, held or not. `seq` is the seq of its entry, and names the session everywhere. `phase` is the phase it falls in.

    `ref` is the EHR's latest name for it. `day_only`: it took place at some time of the local day of `at`.
    """

    seq: int
    phase: str | None  # None if the course was only referred then
    at: dt.datetime
    attendance: str
    kind: str
    given_by: str | None
    ref: str | None = None
    earlier_refs: tuple[str, ...] = ()
    minutes: int | None = None
    day_only: bool = False
    scheduled_for: dt.datetime | None = None
    late_notice: bool = False
    excused: bool = False
    focus: str | None = None
    signed: bool = False
    acknowledged: bool = False
    group_session: str | None = None
    group_held: bool = False  # for a group's session: whether any member attended

    @property
    def attended(self) -> bool:
        return self.attendance in ATTENDED

    @property
    def held(self) -> bool:
        """Whether it took place, with or without this client: the group held it, or the therapist was there and waited."""
        return self.attended or (self.group_held if self.group_session else self.attendance in WAITED_FOR)

    @property
    def refs(self) -> tuple[str, ...]:
        """All the EHR's names for it, the latest last."""
        return (*self.earlier_refs, self.ref) if self.ref else ()

    def named(self, ref: str | None) -> bool:
        """Whether the EHR has this name for it."""
        return ref is not None and (self.ref == ref or ref in self.earlier_refs)

    @property
    def called_off(self) -> bool:
        """Whether it was cancelled in time, so that its time was free for another session."""
        too_late = self.attendance == "2" and self.late_notice and not self.excused
        return self.attendance in CANCELLED and not too_late and not self.group_held

    @property
    def counts(self) -> bool:
        """Whether it took place and belongs to the contract."""
        return self.attended and self.kind == "session"

    @property
    def deviates(self) -> bool:
        """Whether it was held beyond a cap and no supervisor has acknowledged it yet."""
        return self.kind == "additional" and self.attended and not self.acknowledged

    @property
    def chargeable(self) -> bool:
        """Whether a contract may count it as a miss: codes 3 and 7, and 2 if the client cancelled late.

        An excused miss never counts, nor does a cancellation by the provider (4).
        """
        if self.excused or self.kind != "session" or self.attendance not in MISSED_BY_CLIENT:
            return False
        return self.attendance != "2" or self.late_notice

    @property
    def begins_weeks(self) -> bool:
        """Whether the course's weeks may begin with it: the client attended, or the group of a started course held it."""
        return self.counts or (self.group_held and self.kind == "session" and self.phase is not None)


class Tally(msgspec.Struct):
    """Sessions of one phase: counted, missed, over a cap, held without the client, and misses that a contract may count."""

    counted: int = 0
    missed: int = 0
    over: int = 0
    held_without: int = 0
    chargeable: int = 0


def _tallied(sessions: Iterable[Session]) -> dict[str | None, Tally]:
    tallies: dict[str | None, Tally] = {}
    for session in sessions:
        tally = tallies.setdefault(session.phase, Tally())
        if session.counts:
            tally.counted += 1
        elif session.attended:
            tally.over += 1
        else:
            tally.missed += 1
            tally.held_without += session.kind == "session" and session.held
            tally.chargeable += session.chargeable
    return tallies


class Booking(DefaultText, frozen=True, kw_only=True, omit_defaults=True):
    scheduled_for: dt.datetime
    kind: str = "session"
    ref: str | None = None


class Interruption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pause, or an absence that was told afterwards. `until` is None while it lasts."""

    since: dt.datetime
    planned_return: dt.date
    until: dt.datetime | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    deceased: bool


class Inventory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The union of all recorded versions."""

    sections: tuple[str, ...] = ()
    people: tuple[Person, ...] = ()


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The latest version: the parts that were recorded, and those that could not be obtained."""

    given: tuple[str, ...] = ()
    not_obtained: tuple[str, ...] = ()


class Formulation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The latest version and the client's response. `parts` are the recorded parts of the triad."""

    version: int
    parts: tuple[str, ...] = ()
    response: str | None = None
    accepted_version: int | None = None  # the last version that the client accepted, in whole or in part


class RhythmWeek(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A week of the social rhythm: `hits` among the qualifying `activities`, and how many of the `aimed` times were `met`."""

    seq: int
    week_of: dt.date
    instrument: str
    hits: int
    activities: int
    met: int = 0
    aimed: int = 0


class RhythmAim(msgspec.Struct, frozen=True, kw_only=True):
    activity: str
    time: str
    within_minutes: int


class Rhythm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The number of recorded weeks, the latest of them in order, and the targets in force."""

    count: int = 0
    weeks: tuple[RhythmWeek, ...] = ()
    targets: tuple[RhythmAim, ...] = ()


class SickRole(DefaultText, frozen=True, kw_only=True, omit_defaults=True):
    """`status`: pending, assigned_full, assigned_limited, declined, waived or relinquished."""

    status: str = "pending"
    response: str | None = None


class Focus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    primary: str
    secondary: str | None = None
    further: tuple[str, ...] = ()
    stage: str | None = None  # of a role dispute
    formulation: int | None = None  # the version on which it rests: accepted when it was chosen or the phase began
    changes: int = 0

    @property
    def areas(self) -> tuple[str, ...]:
        return tuple(area for area in (self.primary, self.secondary, *self.further) if area)


class Contract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What client and therapist agreed.

    `from_joining`: it counts from when the client joined their group, and leaves out what the group had held before.
    """

    sessions: int
    weeks: int
    cadence_days: int = 7
    missed_count: bool = False
    pause_stops_clock: bool = False
    from_joining: bool = False
    amendments: int = 0


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measurement: its entry, when it was taken, and its total (None if items were missing).

    Taken more than `baseline_days` before the start, it is no baseline; None: it may be, however old.
    """

    seq: int
    at: dt.datetime
    total: int | float | None = None  # a whole number stays one in a snapshot
    baseline_days: int | None = None


class Track(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All readings of one instrument: their number, the first that may be the baseline, and the last that has a total.

    `early` are those with a total before the start, which decides how old a baseline may be. `partial_at` is when the latest reading
    without a total was taken. Readings taken after the course's ending stand apart, in `after`.
    """

    count: int = 0
    baseline: Reading | None = None
    last: Reading | None = None
    early: tuple[Reading, ...] = ()
    partial_at: dt.datetime | None = None
    not_obtained: tuple[str, ...] = ()  # the phases in which it could not be obtained
    phases: tuple[str, ...] = ()  # the phases in which there is a valid reading
    after: "Track | None" = None  # None while the course is open

    @property
    def latest_at(self) -> dt.datetime | None:
        """When the latest reading was taken, with or without a total, before the ending or after."""
        taken = [self.partial_at, self.last.at if self.last else None, self.after.latest_at if self.after else None]
        return max((each for each in taken if each), default=None)


class SeenRisk(DefaultText, frozen=True, kw_only=True, omit_defaults=True):
    """Evidence of risk: when the risk was seen, when that was recorded, and the level to which somebody raised it."""

    at: dt.datetime
    recorded_at: dt.datetime
    level: str = "none"


class Risk(DefaultText, frozen=True, kw_only=True, omit_defaults=True):
    """`seen` is the evidence that nobody has reviewed yet, and `open_since` is when the oldest of it was seen."""

    level: str = "none"
    open_since: dt.datetime | None = None
    seen: tuple[SeenRisk, ...] = ()


class Discussion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The course was discussed in supervision, at the entry `seq`. The records of one meeting share its `meeting`."""

    seq: int
    at: dt.datetime
    supervisor: str
    supervisees: tuple[str, ...]
    kind: str
    minutes: int
    meeting: str | None = None
    next_on: dt.date | None = None


class Ending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    at: dt.datetime
    recorded_at: dt.datetime
    left: str  # the state the course was in
    end_code: str
    outcome: str | None = None


class HeldBefore(msgspec.Struct, frozen=True, kw_only=True):
    """What the client's group had held before the client joined: the sessions, and when the first of them was."""

    sessions: int
    since: dt.datetime


class Adopted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A supervisor's attestation of a course that began elsewhere. The course keeps it for ever."""

    at: dt.datetime
    attended: dict[str, int] = {}
    first_session_on: dt.date | None = None
    paused_days: int = 0  # days of breaks before


class Course(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """The fold. `version` is the seq of the last entry. `phase` is the current phase, or the last one reached."""

    id: str
    version: int
    state: str
    phase: str | None = None
    client: str  # opaque id of the client record, never the EHR's reference
    therapist: str | None = None
    handed_over_at: dt.datetime | None = (
        None  # a transfer that the new therapist has not taken up: they have recorded nothing since
    )
    supervisor: str | None = None
    protocol: str
    protocol_version: int
    protocol_digest: str
    acute: bool
    linked_from: str | None = None  # the completed course this one follows
    followed_by: tuple[str, ...] = ()  # the courses that follow this one, in the order in which they were opened
    indication: str | None = None
    age_band: str | None = None
    opened_at: dt.datetime
    started_at: dt.datetime | None = None
    last_occurred_at: dt.datetime
    last_recorded_at: dt.datetime
    consents: tuple[str, ...] = ()
    consenting: tuple[str, ...] = ()  # who consents to what, as `treatment:guardian`
    withdrawing: tuple[str, ...] = ()  # who has withdrawn which consent and not given it again, as `treatment:guardian`
    withdrawn: tuple[str, ...] = ()  # the scopes of these
    sessions: tuple[Session, ...] = ()
    bookings: tuple[Booking, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
    extended: tuple[str, ...] = ()
    evaluated: bool = False
    history: History | None = None
    inventory: Inventory | None = None
    timeline: bool = False
    formulation: Formulation | None = None
    formulations: int = 0
    sick_role: SickRole = SickRole()
    focus: Focus | None = None
    contract: Contract | None = None
    measures: dict[str, Track] = {}
    risk: Risk = Risk()
    ending_announced_at: dt.datetime | None = None
    gains: bool = False
    independence: bool = False
    recurrence_planned: bool = False
    continuation: str | None = None
    referred_on: bool = False
    contacts: int = 0
    contacted: dict[str, int] = {}  # contacts by kind
    met: tuple[str, ...] = ()  # everybody but the client who took part in a session or a contact
    rhythm: Rhythm = Rhythm()
    prescriber_reviewed: bool = False
    reviewed_at: dt.datetime | None = None
    discussions: tuple[Discussion, ...] = ()  # in the order in which they were held
    ending: Ending | None = None
    adopted: Adopted | None = None
    held_before: HeldBefore | None = None  # None unless the client joined a group late
    attested: tuple[str, ...] = ()  # artefacts attested at adoption
    contradicted: tuple[int, ...] = ()  # entries that a later entry contradicts
    deviations: int = 0
    overrides: int = 0

    @property
    def open(self) -> bool:
        return self.ending is None

    @property
    def shared(self) -> bool:
        """Whether this course may be shown to systems that take part in the care: until the consent to share is withdrawn."""
        return self.shared_for("TREAT")

    def shared_for(self, purpose: str) -> bool:
        """Whether this course may be shown to others for a purpose. What does not serve care needs a consent that names it."""
        if {"sharing", f"sharing/{purpose}"} & {*self.withdrawn}:
            return False
        return purpose in OF_CARE or f"sharing/{purpose}" in self.consents

    @cached_property
    def tallies(self) -> Mapping[str | None, Tally]:
        """Its sessions by phase. They are counted once, since a course never changes."""
        return _tallied(self.sessions)

    @cached_property
    def begun_at(self) -> dt.datetime | None:
        """When the first session was from which weeks are counted, not regarding sessions before an adoption."""
        return min((session.at for session in self.sessions if session.begins_weeks), default=None)

    def session(self, seq: int) -> Session | None:
        return next((session for session in self.sessions if session.seq == seq), None)

    @property
    def unsigned(self) -> tuple[Session, ...]:
        return tuple(session for session in self.sessions if session.attended and not session.signed)

    @property
    def open_deviations(self) -> tuple[Session, ...]:
        return tuple(session for session in self.sessions if session.deviates)
