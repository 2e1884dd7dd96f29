"""The requirements for leaving the present phase."""

import datetime as dt
from collections.abc import Mapping

from ipt_workflow.course import triggers
from ipt_workflow.course.context import Context
from ipt_workflow.course.course import Course
from ipt_workflow.course.rules.bound import Bound
from ipt_workflow.course.rules.case import Case
from ipt_workflow.errors import Refusal
from ipt_workflow.protocols.definition import Protocol


def requirements(
    protocol: Protocol,
    bound: Mapping[str, tuple[Bound, ...]],
    course: Course,
    at: dt.datetime,
    context: Context,
    *,
    worded: bool = False,
) -> tuple[str | None, tuple[tuple[Bound, Refusal | None], ...]]:
    """The trigger that leaves the present phase, and each of its rules with its refusal, if any. The refusals have a `message` only if they are `worded`.

    `bound` maps each trigger to its rules; the protocol's machine holds it.
    """
    phase = course.phase
    if phase is None or not course.open:
        return None, ()
    after = protocol.next_phase(phase)
    name = triggers.BEGIN_PREFIX + after.id if after else "complete"
    case = Case(protocol=protocol, course=course, trigger=name, data={}, at=at, context=context, worded=worded)
    return name, tuple((each, each.ask_unless_attested(case)) for each in bound[name])
