"""Effects of a change of protocol: the new protocol is pinned, phases are renamed, and invalid facts are dropped."""

from collections.abc import Callable
from typing import Any

import msgspec

from ipt_workflow.course.course import Course, SickRole, Track

replace = msgspec.structs.replace


def repinned(course: Course, data: dict[str, Any]) -> Course:
    """The course under the protocol that a `change_protocol` or `migrate_protocol` names.

    `data` is the entry's structural data. Its `phase` is the first phase's new name, and `invalid` names the facts to drop.
    """
    if course.phase and "phase" in data:
        course = _renamed(course, course.phase, data["phase"])
    for name in data.get("invalid", ()):
        course = DROPPED.get(name, _kept)(course)
    return replace(
        course,
        protocol=data["protocol"],
        protocol_version=data["protocol_version"],
        protocol_digest=data["protocol_digest"],
        acute=data["acute"],
    )


def _renamed(course: Course, old: str, new: str) -> Course:
    """The course with one phase renamed throughout."""
    if old == new:
        return course
    adopted = course.adopted
    return replace(
        course,
        phase=new,
        state=new if course.state == old else course.state,
        sessions=tuple(replace(each, phase=new) if each.phase == old else each for each in course.sessions),
        extended=_names(course.extended, old, new),
        measures={key: _track(track, old, new) for key, track in course.measures.items()},
        adopted=replace(adopted, attended={new if name == old else name: count for name, count in adopted.attended.items()})
        if adopted
        else None,
    )


def _track(track: Track, old: str, new: str) -> Track:
    return replace(track, phases=_names(track.phases, old, new), not_obtained=_names(track.not_obtained, old, new))


def _names(names: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if name == old else name for name in names)


def _without(artefact: str, **changes: Any) -> Callable[[Course], Course]:
    """Drops a fact, also if it was only attested at adoption."""
    return lambda course: replace(course, attested=tuple(each for each in course.attested if each != artefact), **changes)


def _one_area(course: Course) -> Course:
    return replace(course, focus=replace(course.focus, secondary=None, further=()) if course.focus else None)


def _kept(course: Course) -> Course:
    return course


# How each invalid fact is dropped. Invalid facts that are not named here stay.
DROPPED: dict[str, Callable[[Course], Course]] = {
    "focus": _without("focus", focus=None),
    "further_areas": _one_area,
    "contract": _without("contract", contract=None),
    "sick_role": _without("sick_role", sick_role=SickRole()),
}
