"""Reads measures: forms, Observations, and answers to declared scales inside any other resource. One resource may hold several scales."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.content import Ignored, NoticeContent
from ipt_workflow.ehr.notices.fhir.answers import MEASURES
from ipt_workflow.ehr.notices.fhir.findings import ERROR, Findings, nothing, unknown_code
from ipt_workflow.ehr.notices.fhir.references import lenient
from ipt_workflow.ehr.notices.fhir.resources import NAME, ReceivedReference, is_day
from ipt_workflow.ehr.notices.fhir.scores import Scored

INSIDE = "The answers came inside another resource. Look in the EHR whether they count, then retry or dismiss the notice."
CANCELLED = (
    "The Observation was cancelled, but it has an answer about self-harm. Assess that risk, then retry or dismiss the notice."
)
THEN = "retry or dismiss the notice."
DONE = {"completed", "amended", "stopped", "final", "corrected"}
EARLY = {"in-progress", "registered", "preliminary"}
STATUS_SETS = {"QuestionnaireResponse": "questionnaire-answers-status", "Observation": "observation-status"}
TIMES = ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "authored", "issued")


def contents(resource: Mapping[str, Any], found: list[Scored], findings: Findings) -> tuple[NoticeContent, ...]:
    """What a form or an Observation says: a measure for each scale."""
    kind, status = resource["resourceType"], resource.get("status")
    if not found and status == ERROR:  # senders empty what they withdraw
        return (findings.with_client(NoticeContent(type="", about="measure", void=True, refs=_refs(resource)), _subject(resource)),)
    if not found:
        return _nothing("scale", resource, findings)
    if kind == "Observation" and status != ERROR and all(each.empty for each in found):
        return _nothing("empty", resource, findings)  # a panel whose answers come as Observations of their own
    taken, day_only = _time(resource, kind, findings)
    measures = (_measure(each, resource, findings, taken, day_only=day_only) for each in found)
    read = (_by_status(each, kind, status) for each in measures)
    return tuple(each for each in read if each) or _nothing("status", resource, findings)


def _nothing(reason: Ignored, resource: Mapping[str, Any], findings: Findings) -> tuple[NoticeContent, ...]:
    return (findings.with_client(nothing(reason), _subject(resource)),)


def _subject(resource: Mapping[str, Any]) -> ReceivedReference | None:
    subject = resource.get("subject", resource.get("patient"))
    return lenient(subject) if isinstance(subject, dict) else None


def inside(resource: Mapping[str, Any], found: list[Scored], findings: Findings) -> tuple[NoticeContent, ...]:
    """The measures inside a resource of another kind. They wait."""
    full = [each for each in found if not each.empty]
    if not full:
        return ()
    holder = next((each for each in _held(resource) if each.get("resourceType") in MEASURES), {})
    taken, day_only = _time(
        {**resource, **{name: holder[name] for name in TIMES if name in holder}}, str(resource.get("resourceType")), findings
    )
    measures = (_measure(each, resource, findings, taken, day_only=day_only) for each in full)
    return tuple(msgspec.structs.replace(each, needs_person=each.needs_person or INSIDE) for each in measures)


def _held(resource: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    contained = resource.get("contained")
    return [each for each in contained if isinstance(each, dict)] if isinstance(contained, list) else []


def _by_status(measure: NoticeContent, kind: str, status: Any) -> NoticeContent | None:
    """The measure by its resource's status; None if it does not concern IPT yet. Risk concerns it always."""
    code = status if isinstance(status, str) else ""
    if code == ERROR:
        return msgspec.structs.replace(measure, void=True, risk=False, data={}, says=(), reason=None, faults=(), needs_person=None)
    if code in DONE:
        return measure
    if code in EARLY:
        return measure if measure.risk else None
    if code == "cancelled":
        return msgspec.structs.replace(measure, needs_person=CANCELLED) if measure.risk else None
    return unknown_code(measure, f"{kind}.status", STATUS_SETS[kind], status, THEN)


def _measure(
    scored: Scored, resource: Mapping[str, Any], findings: Findings, taken: dt.datetime | None, *, day_only: bool
) -> NoticeContent:
    refs = _refs(resource)
    people = findings.references.people([lenient(each) for each in _listed(resource.get("performer"))])
    times = {"taken_at": taken.isoformat()} if taken else {}
    measure = NoticeContent(
        type="",
        about="measure",
        part=f"scale {scored.scale}",
        trigger="record_measure",
        data={**scored.data, **times, **({"ref": refs[0]} if refs else {})},
        occurred_at=taken,
        day_only=day_only,
        reason=" ".join(scored.says) or None,
        performers=people,
        refs=refs,
        risk=scored.risk,
        needs_person=scored.needs_person,
        faults=scored.faults,
        unread=scored.unread,
        says=scored.says,
    )
    return findings.with_client(measure, _subject(resource))


def _refs(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the measure: what it was derived from, then its own."""
    own = f"{resource.get('resourceType')}/{resource.get('id')}"
    named = (lenient(each) for each in _listed(resource.get("derivedFrom")))
    names = [*(each.name for each in named if each and each.name), own]
    return tuple(each for each in names if NAME.fullmatch(each))


def _time(resource: Mapping[str, Any], kind: str, findings: Findings) -> tuple[dt.datetime | None, bool]:
    """When the measure was taken, and whether that is a date without a time."""
    for name in TIMES:
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("end") or value.get("start")
        if value is not None:
            return findings.time(f"{kind}.{name}", value), isinstance(value, str) and is_day(value)
    meta = resource.get("meta")
    changed = meta.get("lastUpdated") if kind == "QuestionnaireResponse" and isinstance(meta, dict) else None
    field = "authored" if kind == "QuestionnaireResponse" else "effectiveDateTime"
    return findings.time(f"{kind}.{field}", changed, required=True), False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if isinstance(value, dict) else []
