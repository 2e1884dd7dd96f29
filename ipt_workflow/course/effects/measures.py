"""Effects of measures and of the social rhythm."""

import datetime as dt

import msgspec
from msgspec.structs import replace

from ipt_workflow.course.course import (
    Course,
    Reading,
    RhythmAim,
    RhythmWeek,
    Track,
)
from ipt_workflow.course.facts import Fact

RHYTHM_WEEKS_MAX = 60
EARLY_MAX = 20  # readings before the start that a track keeps


def record_measure(course: Course, fact: Fact) -> Course:
    data = fact.data
    key = data["instrument"]
    track = course.measures.get(key, Track())
    stage = course.phase or course.state
    if data.get("not_obtained"):
        track = replace(track, not_obtained=tuple(sorted({*track.not_obtained, stage})))
    else:
        reading = Reading(
            seq=fact.seq,
            at=msgspec.convert(data["taken_at"], dt.datetime),
            total=data.get("total"),
            baseline_days=data.get("baseline_days"),
        )
        track = _taken(course, track, reading, stage)
    risk = course.risk
    if data.get("risk"):
        seen = msgspec.convert(data["taken_at"], dt.datetime)
        risk = replace(risk, open_since=min(risk.open_since or seen, seen))
    return replace(course, measures={**course.measures, key: track}, risk=risk)


def _taken(course: Course, track: Track, reading: Reading, stage: str) -> Track:
    track = replace(track, count=track.count + 1)
    if reading.total is None:
        return replace(track, partial_at=max(track.partial_at or reading.at, reading.at))
    earliest = track.baseline is None or reading.at < track.baseline.at
    latest = track.last is None or reading.at >= track.last.at
    early = () if course.started_at else tuple(sorted((*track.early, reading), key=lambda each: each.at))[-EARLY_MAX:]
    return replace(
        track,
        baseline=reading if earliest and _may_be_baseline(course, reading) else track.baseline,
        last=reading if latest else track.last,
        early=early,
        phases=tuple(sorted({*track.phases, stage})),
    )


def started(course: Course) -> Course:
    """The course with its baselines chosen again at its start: each is the first reading that is not too old for one."""
    measures = {
        key: replace(track, baseline=next((each for each in track.early if _may_be_baseline(course, each)), None), early=())
        for key, track in course.measures.items()
    }
    return replace(course, measures=measures)


def _may_be_baseline(course: Course, reading: Reading) -> bool:
    """Whether a reading is not too old, by days of UTC. An adopted course began with its first session, if that is known."""
    start = course.started_at.date() if course.started_at else None
    if course.adopted:
        start = course.adopted.first_session_on
    if start is None or reading.baseline_days is None:
        return True
    return reading.at.date() >= start - dt.timedelta(days=reading.baseline_days)


def record_rhythm(course: Course, fact: Fact) -> Course:
    """Keeps the latest weeks, in order. A week that is recorded again replaces the earlier record."""
    data = fact.data
    week = RhythmWeek(
        seq=fact.seq,
        week_of=dt.date.fromisoformat(data["week_of"]),
        instrument=data["instrument"],
        hits=data["hits"],
        activities=data["activities"],
        met=data.get("met", 0),
        aimed=data.get("aimed", 0),
    )
    rhythm = course.rhythm
    others = [each for each in rhythm.weeks if each.week_of != week.week_of]
    weeks = tuple(sorted((*others, week), key=lambda each: each.week_of))[-RHYTHM_WEEKS_MAX:]
    return replace(course, rhythm=replace(rhythm, count=rhythm.count + (len(others) == len(rhythm.weeks)), weeks=weeks))


def set_rhythm_target(course: Course, fact: Fact) -> Course:
    targets = tuple(msgspec.convert({"within_minutes": 45, **each}, RhythmAim) for each in fact.data["targets"])
    return replace(course, rhythm=replace(course.rhythm, targets=targets))
