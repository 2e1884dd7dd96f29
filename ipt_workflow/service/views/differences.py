"""What differs between two views of a course: such as before a correction and after it."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from ipt_workflow.service.views.course import CourseView

What = Literal[
    "state", "progress", "attended", "missed", "sick_role", "problem_area", "formulation", "contract", "risk", "risk_open",
    "next_appointment", "score", "ending", "attention", "consents", "therapist", "deviations",
]  # fmt: skip


class ViewDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs. `of` says of which scale or phase, where there are several."""

    what: What
    of: str
    before: Any
    after: Any


_PARTS: dict[What, Callable[[CourseView], dict[str, Any]]] = {
    "state": lambda view: {"": view.state},
    "progress": lambda view: {"": _progress(view)},
    "attended": lambda view: {"": sum(each.held for each in view.sessions)},
    "missed": lambda view: {"": sum(not each.held for each in view.sessions)},
    "sick_role": lambda view: {"": view.sick_role.status},
    "problem_area": lambda view: {"": view.focus.primary if view.focus else None},
    "formulation": lambda view: {"": view.formulation_version},
    "contract": lambda view: {"": (view.contract.sessions, view.contract.weeks) if view.contract else None},
    "risk": lambda view: {"": view.risk.level},
    "risk_open": lambda view: {"": view.risk.open_since},
    "next_appointment": lambda view: {"": view.next_appointment},
    "score": lambda view: {key: each.last.total if each.last else None for key, each in view.measures.items()},
    "ending": lambda view: {"": view.ending.at if view.ending else None},
    "attention": lambda view: {"": view.attention},
    "consents": lambda view: {"": view.consents},
    "therapist": lambda view: {"": view.therapist},
    "deviations": lambda view: {"": view.deviations},
}


def _progress(view: CourseView) -> tuple[int | None, ...]:
    """The session, of how many, the week, and of how many."""
    clock = view.clock
    return (view.counters.session, view.counters.contracted, clock.week if clock else None, clock.weeks if clock else None)


def differences(before: CourseView, after: CourseView) -> tuple[ViewDifference, ...]:
    """What differs, in the order of the page of a course."""
    parts = [(what, part(before), part(after)) for what, part in _PARTS.items()]
    return tuple(
        ViewDifference(what=what, of=of, before=then.get(of), after=now.get(of))
        for what, then, now in parts
        for of in dict.fromkeys([*then, *now])
        if then.get(of) != now.get(of)
    )
