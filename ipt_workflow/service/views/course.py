"""What callers see of a course."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from ipt_workflow.course import Course, Rhythm, Track, counters, outcome
from ipt_workflow.course.counters import Counters, WeekClock
from ipt_workflow.course.course import Reading
from ipt_workflow.course.rules import Context
from ipt_workflow.course.rules.requirements import requirements
from ipt_workflow.errors import Remedy
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.instruments import Outcome
from ipt_workflow.protocols.rhythm import Regularity

View = TypeVar("View")


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """A rule for leaving the present phase, and whether it is met."""

    rule: str
    says: str
    met: bool
    severity: str
    current: Any
    required: Any
    remedies: tuple[Remedy, ...]


class ReadingView(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: dt.datetime
    total: float
    band: str | None


class FollowUpReadings(msgspec.Struct, frozen=True, kw_only=True):
    """Readings taken after the ending. `change` is that from the course's baseline to the last of them."""

    count: int
    first: ReadingView | None
    last: ReadingView | None
    change: instruments.Change | None


class MeasureView(msgspec.Struct, frozen=True, kw_only=True):
    """Readings of one scale. Those taken after the ending are in `follow_up`, and change nothing else here."""

    aim: str
    count: int
    baseline: ReadingView | None
    last: ReadingView | None
    change: instruments.Change | None
    not_obtained: tuple[str, ...]
    follow_up: FollowUpReadings | None


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """`held` says that the session took place, with this client or without. `group_session` is its id if a group held it.

    `refs` are all the EHR's names for it, and `ref` is the latest. `day_only`: only the day of `at` is known.
    """

    seq: int
    phase: str | None
    at: dt.datetime
    attendance: str
    kind: str
    given_by: str | None
    ref: str | None
    refs: tuple[str, ...]
    minutes: int | None
    day_only: bool
    focus: str | None
    signed: bool
    acknowledged: bool
    group_session: str | None
    held: bool


class SickRoleView(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is pending, assigned_full, assigned_limited, declined, waived or relinquished."""

    status: str
    response: str | None


class FocusView(msgspec.Struct, frozen=True, kw_only=True):
    primary: str
    secondary: str | None
    further: tuple[str, ...]
    stage: str | None
    formulation: int | None
    changes: int


class RhythmWeekView(msgspec.Struct, frozen=True, kw_only=True):
    """`score` is hits over activities, from 0 to 7, rounded to hundredths. It is None if no activity was done often enough."""

    seq: int
    week_of: dt.date
    instrument: str
    hits: int
    activities: int
    score: float | None
    met: int
    aimed: int


class RhythmAimView(msgspec.Struct, frozen=True, kw_only=True):
    activity: str
    time: str
    within_minutes: int


class RhythmView(msgspec.Struct, frozen=True, kw_only=True):
    """Regularity over time, and the targets in force. `count` counts all weeks; `weeks` lists the latest."""

    count: int
    weeks: tuple[RhythmWeekView, ...]
    targets: tuple[RhythmAimView, ...]


class ContractView(msgspec.Struct, frozen=True, kw_only=True):
    """`from_joining` says that it leaves out what the client's group had held before the client joined."""

    sessions: int
    weeks: int
    cadence_days: int
    missed_count: bool
    pause_stops_clock: bool
    from_joining: bool
    amendments: int


class InterruptionView(msgspec.Struct, frozen=True, kw_only=True):
    since: dt.datetime
    planned_return: dt.date
    until: dt.datetime | None


class RiskView(msgspec.Struct, frozen=True, kw_only=True):
    """`open_since` is when the oldest risk without a review was recorded."""

    level: str
    open_since: dt.datetime | None


class EndingView(msgspec.Struct, frozen=True, kw_only=True):
    """`outcome` is that which the therapist gave. `owed`: what an ending that was agreed early still lacks of `outcome`, `gains`, `end_measures`."""

    at: dt.datetime
    recorded_at: dt.datetime
    left: str
    end_code: str
    outcome: str | None
    owed: tuple[str, ...]


class AdoptedView(msgspec.Struct, frozen=True, kw_only=True):
    at: dt.datetime
    attended: dict[str, int]
    artefacts: tuple[str, ...]


class HeldBeforeView(msgspec.Struct, frozen=True, kw_only=True):
    """What the client's group had held before the client joined: the sessions, and when the first of them was."""

    sessions: int
    since: dt.datetime


class CourseView(msgspec.Struct, frozen=True, kw_only=True):
    """A course. `progress` reads `session n of N, week w of W`, up to the ending. `next` is the trigger that leaves the present phase.

    `outcome` is that by the scales, up to the ending.
    """

    id: str
    client_ref: str | None
    therapist: str | None
    supervisor: str | None
    protocol: str
    protocol_version: int
    protocol_digest: str
    state: str
    phase: str | None
    version: int
    head: str
    progress: str
    counters: Counters
    clock: WeekClock | None
    consents: tuple[str, ...]
    sick_role: SickRoleView
    focus: FocusView | None
    contract: ContractView | None
    formulation_version: int | None
    sessions: tuple[SessionView, ...]
    interruptions: tuple[InterruptionView, ...]
    measures: dict[str, MeasureView]
    outcome: Outcome | None
    rhythm: RhythmView | None
    reviewed_at: dt.datetime | None
    risk: RiskView
    next: str | None
    requirements: tuple[Requirement, ...]
    attention: tuple[str, ...]
    ending: EndingView | None
    adopted: AdoptedView | None
    held_before: HeldBeforeView | None
    linked_from: str | None
    followed_by: tuple[str, ...]
    indication: str | None
    age_band: str | None
    contradicted: tuple[int, ...]
    deviations: int
    overrides: int
    opened_at: dt.datetime
    started_at: dt.datetime | None
    last_recorded_at: dt.datetime


def course_view(
    machine: CourseMachine, course: Course, context: Context, *, head: str, client_ref: str | None, attention: Iterable[str]
) -> CourseView:
    """The view of a course at the context's `now`."""
    protocol = machine.protocol
    clock = counters.clock(course, context.now, context.zone)
    counted = counters.counters(protocol, course)
    leaves, required = requirements(machine.protocol, machine.bound, course, context.now, context)
    return CourseView(
        id=course.id,
        client_ref=client_ref,
        therapist=course.therapist,
        supervisor=course.supervisor,
        protocol=course.protocol,
        protocol_version=course.protocol_version,
        protocol_digest=course.protocol_digest,
        state=course.state,
        phase=course.phase,
        version=course.version,
        head=head,
        progress=_progress(counted, clock),
        counters=counted,
        clock=clock,
        consents=course.consents,
        sick_role=_whole(course.sick_role, SickRoleView),
        focus=_whole(course.focus, FocusView) if course.focus else None,
        contract=_whole(course.contract, ContractView) if course.contract else None,
        formulation_version=course.formulation.version if course.formulation else None,
        sessions=tuple(_whole(session, SessionView) for session in course.sessions),
        interruptions=tuple(_whole(pause, InterruptionView) for pause in course.interruptions),
        measures={key: _measure(protocol, key, track) for key, track in course.measures.items() if key in protocol.instruments},
        outcome=outcome.by_scales(protocol, course),
        rhythm=_rhythm(course.rhythm) if course.rhythm.count or course.rhythm.targets else None,
        reviewed_at=course.reviewed_at,
        risk=_whole(course.risk, RiskView),
        next=leaves,
        requirements=tuple(
            Requirement(
                rule=bound.rule.name,
                says=bound.rule.says,
                met=refusal is None,
                severity=refusal.severity if refusal else bound.severity,
                current=refusal.current if refusal else None,
                required=refusal.required if refusal else None,
                remedies=refusal.remedies if refusal else (),
            )
            for bound, refusal in required
        ),
        attention=tuple(attention),
        ending=EndingView(**msgspec.structs.asdict(course.ending), owed=outcome.owed(protocol, course)) if course.ending else None,
        adopted=AdoptedView(at=course.adopted.at, attended=course.adopted.attended, artefacts=course.attested)
        if course.adopted
        else None,
        held_before=_whole(course.held_before, HeldBeforeView) if course.held_before else None,
        linked_from=course.linked_from,
        followed_by=course.followed_by,
        indication=course.indication,
        age_band=course.age_band,
        contradicted=course.contradicted,
        deviations=course.deviations,
        overrides=course.overrides,
        opened_at=course.opened_at,
        started_at=course.started_at,
        last_recorded_at=course.last_recorded_at,
    )


def _whole(part: Any, view: type[View]) -> View:
    """A part of the course with every field. The snapshot omits defaults, which a caller does not know."""
    return msgspec.convert(part, view, from_attributes=True)


def _progress(counted: Counters, clock: WeekClock | None) -> str:
    sessions = f"session {counted.session}" + (f" of {counted.contracted}" if counted.contracted else "")
    if clock is None:
        return sessions
    return f"{sessions}, week {clock.week}" + (f" of {clock.weeks}" if clock.weeks else "")


def _rhythm(rhythm: Rhythm) -> RhythmView:
    weeks = tuple(
        RhythmWeekView(**msgspec.structs.asdict(week), score=_score(Regularity(week.hits, week.activities)))
        for week in rhythm.weeks
    )
    return RhythmView(count=rhythm.count, weeks=weeks, targets=tuple(_whole(aim, RhythmAimView) for aim in rhythm.targets))


def _score(found: Regularity) -> float | None:
    return None if found.score is None else round(float(found.score), 2)


def _measure(protocol: Protocol, key: str, track: Track) -> MeasureView:
    instrument = protocol.instruments[key]

    def view(reading: Reading | None) -> ReadingView | None:
        if reading is None or reading.total is None:  # `baseline` and `last` always have a total
            return None
        return ReadingView(seq=reading.seq, at=reading.at, total=reading.total, band=instruments.band(instrument, reading.total))

    def change(last: ReadingView | None) -> instruments.Change | None:
        since = baseline if last and baseline and baseline.seq != last.seq else None
        return instruments.change(instrument, since.total, last.total) if since and last else None

    baseline, last, after = view(track.baseline), view(track.last), track.after
    last_after = view(after.last) if after else None
    return MeasureView(
        aim=instrument.aim,
        count=track.count,
        baseline=baseline,
        last=last,
        change=change(last),
        not_obtained=track.not_obtained,
        follow_up=FollowUpReadings(count=after.count, first=view(after.baseline), last=last_after, change=change(last_after))
        if after
        else None,
    )
