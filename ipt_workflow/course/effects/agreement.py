"""Effects of focus and contract."""

import msgspec
from msgspec.structs import replace

from ipt_workflow.course.course import Contract, Course, Focus
from ipt_workflow.course.effects.sessions import joined_late
from ipt_workflow.course.facts import Fact


def set_focus(course: Course, fact: Fact) -> Course:
    data = fact.data
    accepted = course.formulation.accepted_version if course.formulation else None
    changes = (course.focus.changes if course.focus else 0) + (fact.trigger == "change_focus")
    focus = Focus(
        primary=data["primary"],
        secondary=data.get("secondary"),
        further=tuple(data.get("further", ())),
        stage=data.get("stage"),
        formulation=accepted,
        changes=changes,
    )
    return replace(course, focus=focus)


def set_dispute_stage(course: Course, fact: Fact) -> Course:
    return replace(course, focus=replace(course.focus, stage=fact.data["stage"]) if course.focus else None)


def set_contract(course: Course, fact: Fact) -> Course:
    """`terms` is the whole contract as agreed then, also if an amendment named only the changes."""
    course = joined_late(course, fact.data)
    amendments = (course.contract.amendments if course.contract else 0) + (fact.trigger == "amend_contract")
    return replace(course, contract=msgspec.convert({**fact.data["terms"], "amendments": amendments}, Contract))
