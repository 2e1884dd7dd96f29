"""Reads referrals (ServiceRequest, EpisodeOfCare), and of a Patient its merges and death."""

import msgspec

from ipt_workflow.ehr.notices.content import Ignored, NoticeContent
from ipt_workflow.ehr.notices.fhir.findings import ERROR, Findings, nothing, unknown_code
from ipt_workflow.ehr.notices.fhir.resources import (
    ReceivedEpisodeOfCare,
    ReceivedPatient,
    ReceivedReference,
    ReceivedServiceRequest,
    many,
)
from ipt_workflow.ehr.notices.fhir.visits import of_ipt
from ipt_workflow.ehr.notices.types import FhirCodes

MERGED = "The EHR merged two client records. Check that they are one client, then retry or dismiss the notice."
DECEASED = "The EHR reports that the client has died. End the course by correcting the notice, or dismiss it."
DISMISS = "correct its content, or dismiss the notice."
ORDERS = {"order", "original-order", "reflex-order", "filler-order", "instance-order", "directive"}
NO_ORDERS = {"proposal", "plan", "option"}


def service_request(request: ReceivedServiceRequest, codes: FhirCodes, findings: Findings) -> tuple[NoticeContent, ...]:
    at = findings.time("ServiceRequest.authoredOn", request.authoredOn)
    referral = _referral(request.subject, request.requester, many(request.performer), findings)
    referral = msgspec.structs.replace(referral, occurred_at=at, of_ipt=of_ipt(codes, (request.code,), ()))
    if request.status in {ERROR, "revoked"}:
        return (msgspec.structs.replace(referral, void=True),)
    if not referral.of_ipt:
        return _nothing("service", referral)
    if request.doNotPerform or request.intent in NO_ORDERS:
        return _nothing("intent", referral)
    if request.status in {"draft", "completed"}:
        return _nothing("status", referral)
    if request.status not in {"active", "on-hold"}:
        return (unknown_code(referral, "ServiceRequest.status", "request-status", request.status, DISMISS),)
    if request.intent not in ORDERS:
        return (unknown_code(referral, "ServiceRequest.intent", "request-intent", request.intent, DISMISS),)
    return (referral,)


def episode(found: ReceivedEpisodeOfCare, codes: FhirCodes, findings: Findings) -> tuple[NoticeContent, ...]:
    at = findings.time("EpisodeOfCare.period.start", found.period.start)
    referral = _referral(found.patient, None, (found.careManager,), findings)
    refs = tuple(each.name for each in many(found.referralRequest) if each.name)
    referral = msgspec.structs.replace(referral, occurred_at=at, refs=refs, of_ipt=of_ipt(codes, many(found.type), ()))
    if found.status in {ERROR, "cancelled"}:
        return (msgspec.structs.replace(referral, void=True),)
    if not referral.of_ipt:
        return _nothing("service", referral)
    if found.status in {"onhold", "finished"}:
        return _nothing("status", referral)
    if found.status not in {"planned", "waitlist", "active"}:
        return (unknown_code(referral, "EpisodeOfCare.status", "episode-of-care-status", found.status, DISMISS),)
    return (referral,)


def _nothing(reason: Ignored, referral: NoticeContent) -> tuple[NoticeContent, ...]:
    return (msgspec.structs.replace(nothing(reason), client_ref=referral.client_ref),)


def _referral(
    client: ReceivedReference | None,
    by: ReceivedReference | None,
    performers: tuple[ReceivedReference | None, ...],
    findings: Findings,
) -> NoticeContent:
    source = (by.display or by.name if by else None) or "The EHR"
    people = findings.references.people(performers)
    referral = NoticeContent(
        type="",
        about="referral",
        trigger="refer",
        data={"source": source[:200]},
        performers=people,
        therapist=next(iter(people), None),
    )
    return findings.with_client(referral, client)


def patient(found: ReceivedPatient, findings: Findings) -> tuple[NoticeContent, ...]:
    """Each merge, and the death. Other changes of a Patient do not concern IPT."""
    this = found.own
    contents: dict[str, NoticeContent] = {}
    for link in found.link:
        other = findings.references.target(link.other)
        if link.type in {"replaced-by", "replaces"}:
            old, new = (this, link.other) if link.type == "replaced-by" else (link.other, this)
            into, faults = findings.client(findings.references.target(new))
            data = {"kind": "merge", "client_ref": into}
            merge = NoticeContent(type="", about="person", trigger="relink_client", data=data, needs_person=MERGED, faults=faults)
            content = findings.with_client(merge, old)
        elif link.type in {"refer", "seealso"}:
            continue
        else:
            linked = findings.with_client(NoticeContent(type="", about="person"), this)
            content = unknown_code(linked, "Patient.link.type", "link-type", link.type, DISMISS)
        part = f"merged {other.name}"
        contents[part] = msgspec.structs.replace(content, part=part)
    if found.deceasedBoolean or found.deceasedDateTime:
        ended = {"end_code": "49"}
        died = NoticeContent(type="", about="person", part="deceased", trigger="end_early", data=ended, needs_person=DECEASED)
        contents["deceased"] = findings.with_client(died, this)
    return tuple(contents.values()) or (findings.with_client(nothing("person"), this),)
