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


def record_measure(course: Course, fact: Fact) -> Course:
    data = fact.data
    key = data["instrument"]
    track = course.measures.get(key, Track())
    stage = course.phase or course.state
    if data.get("not_obtained"):
        track = replace(track, not_obtained=tuple(sorted({*track.not_obtained, stage})))
    else:
        track = _taken(
            track, Reading(seq=fact.seq, at=msgspec.convert(data["taken_at"], dt.datetime), total=data.get("total")), stage
        )
    return replace(course, measures={**course.measures, key: track})


def _taken(track: Track, reading: Reading, stage: str) -> Track:
    track = replace(track, count=track.count + 1)
    if reading.total is None:
        return replace(track, partial_at=max(track.partial_at or reading.at, reading.at))
    earliest = track.baseline is None or reading.at < track.baseline.at
    latest = track.last is None or reading.at >= track.last.at
    return replace(
        track,
        baseline=reading if earliest else track.baseline,
        last=reading if latest else track.last,
        phases=tuple(sorted({*track.phases, stage})),
    )


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
