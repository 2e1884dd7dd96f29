"""Reads visits: Encounters and Appointments. A visit of several clients says one thing for each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir.findings import ERROR, Findings, nothing, unknown_code
from ipt_workflow.ehr.notices.fhir.references import Target
from ipt_workflow.ehr.notices.fhir.resources import (
    ReceivedAppointment,
    ReceivedConcept,
    ReceivedEncounter,
    ReceivedReference,
    is_day,
    many,
)
from ipt_workflow.ehr.notices.types import FhirCodes
from ipt_workflow.errors import Fault

CANCELLED_BY = "it does not say by whom. Correct the notice with `attendance`: 2 by or for the client, 4 by the provider."
ATTENDANCE = "correct the notice with `attendance`, or dismiss it."
GROUP_UNKNOWN = "The group of this visit is not known here. Correct the notice with the client's reference, or dismiss it."
GROUP_EMPTY = "The group of this visit has no Patient as a member. Correct the notice with the client's reference, or dismiss it."
DECLINED = "The client declined this appointment. Look in the EHR, then correct the notice with `attendance`, or dismiss it."
CLASS_UNKNOWN = "The class of the Encounter is not known here, so the session has no medium."
MINUTES_MAX = 600
UNDER_WAY = {"arrived", "triaged", "in-progress", "onleave", "on-hold"}  # the last is R5's name of onleave
NOT_AGREED = {"proposed", "pending", "arrived", "checked-in", "waitlist"}


Visit = tuple[Target, NoticeContent]


def encounter(found: ReceivedEncounter, codes: FhirCodes, findings: Findings) -> tuple[NoticeContent, ...]:
    of_r5 = found.actualPeriod.start or found.plannedStartDate
    where = "Encounter.period.start" if found.period.start or not of_r5 else "Encounter.actualPeriod.start"
    end = found.period.end or found.actualPeriod.end or found.plannedEndDate
    who = tuple(each.who for each in found.participant)
    refs = _named((*many(found.appointment), ReceivedReference(reference=f"Encounter/{found.id}")))
    classes = {coding.code for each in many(found.class_) for coding in each.codings}
    ours = of_ipt(codes, (*many(found.type), *many(found.serviceType)), (*many(found.reasonCode), *many(found.reason)))
    visit = msgspec.structs.replace(
        _visit(findings, where, found.period.start or of_r5, end, who, refs),
        part_of=_named((*many(found.episodeOfCare), *many(found.basedOn))),
        of_ipt=False if ours is None and classes.intersection(codes.other_classes) else ours,
    )
    visits = _of_clients(visit, findings, (found.subject or ReceivedReference(), *who))
    if found.status in UNDER_WAY:
        return _nothing(visits)
    return tuple(_encounter_of(each, found.status, classes, codes, where) for _, each in visits)


def _encounter_of(visit: NoticeContent, status: str, classes: set[str], codes: FhirCodes, where: str) -> NoticeContent:
    """The Encounter as one client's visit."""
    if status == ERROR:
        return msgspec.structs.replace(visit, void=True)
    if status == "planned":
        return _booked(visit, where)
    if status == "finished":
        media = [medium for code, medium in codes.media.items() if code in classes]
        known = not classes or classes.intersection((*codes.media, *codes.other_classes))
        held = _held(visit, "5", where, {"medium": media[0]} if media else {})
        return held if known else msgspec.structs.replace(held, says=(CLASS_UNKNOWN,))
    if status == "cancelled":
        return _waiting(visit, f"The encounter was cancelled, but {CANCELLED_BY}")
    return unknown_code(visit, "Encounter.status", "encounter-status", status, ATTENDANCE)


def appointment(found: ReceivedAppointment, codes: FhirCodes, findings: Findings) -> tuple[NoticeContent, ...]:
    who = tuple(each.who for each in found.participant)
    refs = _named((ReceivedReference(reference=f"Appointment/{found.id}"),))
    visit = msgspec.structs.replace(
        _visit(findings, "Appointment.start", found.start, found.end, who, refs),
        part_of=_named(many(found.basedOn)),
        of_ipt=of_ipt(codes, many(found.serviceType), (*many(found.reasonCode), *many(found.reason))),
    )
    visits = _of_clients(visit, findings, (*who, *many(found.subject)), typed=True)
    if found.status in NOT_AGREED:
        return _nothing(visits)
    by = _cancelled(codes, (found.cancelationReason, found.cancellationReason))
    declined = {findings.references.target(each.who).name for each in found.participant if each.status == "declined"}
    return tuple(_appointment_of(each, found.status, by, declined=target.name in declined) for target, each in visits)


def _appointment_of(visit: NoticeContent, status: str, by: str | None, *, declined: bool) -> NoticeContent:
    """The Appointment as one client's visit. `by` is the attendance code of its cancellation."""
    if status == ERROR:
        return msgspec.structs.replace(visit, void=True)
    if declined and status in {"booked", "fulfilled"}:
        return _waiting(visit, DECLINED)
    if status == "booked":
        return _booked(visit, "Appointment.start")
    if status in {"fulfilled", "noshow"}:
        return _held(visit, "5" if status == "fulfilled" else "3", "Appointment.start")
    if status == "cancelled" and by is None:
        return _waiting(visit, f"The appointment was cancelled, but {CANCELLED_BY}")
    if status == "cancelled" and by is not None:
        return _held(visit, by, "Appointment.start")
    return unknown_code(visit, "Appointment.status", "appointmentstatus", status, ATTENDANCE)


def of_ipt(codes: FhirCodes, kinds: Iterable[ReceivedConcept], reasons: Iterable[ReceivedConcept]) -> bool | None:
    """Whether the codes name IPT; None if there is no code of a kind. Other reasons do not count against IPT."""
    own = [coding.key for kind in kinds for coding in kind.codings]
    if set(codes.codes).intersection([*own, *(coding.key for reason in reasons for coding in reason.codings)]):
        return True
    return False if own else None


def _visit(
    findings: Findings, where: str, start: str | None, end: str | None, who: Iterable[ReceivedReference], refs: tuple[str, ...]
) -> NoticeContent:
    """The visit without its clients. A date without a time is no end."""
    people = findings.references.people(who)
    begins, ends = findings.time(where, start), findings.time(where.replace("start", "end"), end)
    return NoticeContent(
        type="",
        about="session",
        performers=people,
        person=next(iter(people), None),
        occurred_at=begins,
        until=None if is_day(start) or is_day(end) else ends,
        day_only=is_day(start),
        refs=refs,
    )


def _of_clients(
    visit: NoticeContent, findings: Findings, references: Sequence[ReceivedReference], *, typed: bool = False
) -> list[Visit]:
    """The visit of each client. `typed`: only references to Patients name clients, since the others may be of any kind."""
    targets = findings.references.clients(references)
    groups = any(findings.references.target(each).kind == "Group" for each in references)
    if not targets:
        target = Target() if typed and not groups else findings.references.target(references[0])
        if target.kind == "Group":
            return [(target, _waiting(visit, GROUP_EMPTY))]
        targets = [target]
    parted = len(targets) > 1 or (groups and targets[0].kind != "Group")
    found = []
    for target in targets:
        part = f"client {target.name}" if parted else ""
        if target.kind == "Group":
            content = msgspec.structs.replace(_waiting(visit, GROUP_UNKNOWN), group=target.name, part=part)
        else:
            ref, faults = findings.client(target)
            content = msgspec.structs.replace(visit, client_ref=ref, part=part, faults=faults)
        found.append((target, content))
    return found


def _nothing(visits: Sequence[Visit]) -> tuple[NoticeContent, ...]:
    """What does not concern IPT yet: not agreed, or under way."""
    only = visits[0][1].client_ref if len(visits) == 1 else None
    return (msgspec.structs.replace(nothing("status"), client_ref=only),)


def _waiting(visit: NoticeContent, why: str) -> NoticeContent:
    return msgspec.structs.replace(visit, needs_person=why)


def _booked(visit: NoticeContent, where: str) -> NoticeContent:
    if visit.occurred_at is None:
        return msgspec.structs.replace(visit, faults=(*visit.faults, Fault(where, "is required")))
    data = {"scheduled_for": visit.occurred_at.isoformat(), **ref_of(visit)}
    return msgspec.structs.replace(visit, about="booking", trigger="book_session", data=data, occurred_at=None)


def _held(visit: NoticeContent, attendance: str, where: str, more: Mapping[str, Any] | None = None) -> NoticeContent:
    minutes = int((visit.until - visit.occurred_at).total_seconds() // 60) if visit.until and visit.occurred_at else 0
    length = {"minutes": minutes} if attendance == "5" and 0 < minutes <= MINUTES_MAX else {}
    missing = (Fault(where, "is required"),) if visit.occurred_at is None else ()
    return msgspec.structs.replace(
        visit,
        trigger="record_session",
        data={"attendance": attendance, **(more or {}), **length, **ref_of(visit)},
        faults=(*visit.faults, *missing),
    )


def _cancelled(codes: FhirCodes, reasons: Iterable[ReceivedConcept]) -> str | None:
    for coding in (coding for reason in reasons for coding in reason.codings):
        for known in (coding.code, coding.code.partition("-")[0]):
            if known in codes.cancelled:
                return codes.cancelled[known]
    return None


def _named(references: Iterable[ReceivedReference]) -> tuple[str, ...]:
    return tuple(each.name for each in references if each.name)


def ref_of(content: NoticeContent) -> dict[str, Any]:
    """The EHR's first name for it, as data of a command."""
    return {"ref": content.refs[0]} if content.refs else {}
