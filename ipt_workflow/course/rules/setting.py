"""Rules about how sessions are held and who takes part: couples, telephone, parents, engagement, supervision that steps up."""

from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal
from ipt_workflow.values.types import ATTENDED

PARENTS = frozenset({"parent", "guardian"})
ONWARD = frozenset({"alternative", "referral"})


def _held(case: Case) -> bool:
    return case.data["attendance"] in ATTENDED


@rule(source="domain 2 (couples)", soft=True, needs="participants")
def participants_present(case: Case) -> Refusal | None:
    """All participants whom the protocol requires take part in a session that is held."""
    wanted = case.protocol.participants.required if case.protocol.participants else ()
    present = case.data.get("participants", ["client"])
    missing = tuple(who for who in wanted if who not in present)
    if not missing or not _held(case):
        return None
    return case.refuses("participants_present", current=list(present), required=list(wanted), missing=missing)


@rule(source="domain 2 (telephone)", soft=True, needs="medium")
def medium_allowed(case: Case) -> Refusal | None:
    """A session is held by a medium that the protocol is made for."""
    allowed = case.protocol.medium.allowed if case.protocol.medium else ()
    medium = case.data.get("medium", "face_to_face")
    if medium in allowed or not _held(case):
        return None
    return case.refuses("medium_allowed", current=medium, required="one of " + ", ".join(allowed), allowed=tuple(allowed))


@rule(source="domain 2 (IPT-A), I30")
def parent_involved(case: Case) -> Refusal | None:
    """A parent or guardian has taken part in a session or a contact."""
    if PARENTS.intersection(case.course.met):
        return None
    return case.refuses(
        "parent_involved",
        current=list(case.course.met),
        required="parent or guardian among the participants of a session or a contact",
        remedies=("record_contact",),
    )


@rule(source="domain 2 (IPT-B)")
def engagement_met(case: Case) -> Refusal | None:
    """The engagement session was held. It is recorded as a contact, and never counts."""
    if case.course.contacted.get("engagement"):
        return None
    return case.refuses("engagement_met", current=0, required="a contact of kind engagement", remedies=("record_contact",))


@rule(source="domain 2 (IPC)")
def step_up_referred(case: Case) -> Refusal | None:
    """A client who is still a case by the last reading of symptoms is referred on to fuller care."""
    course, known = case.course, case.protocol.instruments
    cases = tuple(
        key
        for key in case.protocol.instruments_for("symptoms")
        if key in course.measures and _is_case(known[key].caseness, course.measures[key].last)
    )
    if not cases or course.referred_on or course.continuation in ONWARD:
        return None
    return case.refuses(
        "step_up_referred",
        current=course.continuation,
        required="a referral, or the decision for referral or alternative",
        remedies=("refer_on", "decide_continuation"),
        instruments=cases,
    )


def _is_case(caseness: int | None, reading: object) -> bool:
    total = getattr(reading, "total", None)
    return caseness is not None and total is not None and total >= caseness
