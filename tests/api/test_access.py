"""Who may do what: every route and method under every role, every trigger under every role.

A route without a row here fails. Rows give the status that each column's caller is answered. Every cell has a course of its own.
"""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from support import checkpoints, group_walk, marks
from support.http_client import OPERATOR, START, Api
from support.smart import JWKS

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.api.app import litestar_app
from ipt_workflow.api.fhir_outcomes import CODES
from ipt_workflow.api.problems import PROBLEM_JSON
from ipt_workflow.ehr.notices.sources import NewSource, Sources
from ipt_workflow.ehr.smart.systems import NewSystem, Systems
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.people import NewPerson, People
from ipt_workflow.service.access.tokens import NewToken

COLUMNS = (
    "therapist",
    "foreign",
    "supervisor",
    "auditor",
    "ehr",
    "admin",
    "operator",
)  # `foreign`: a therapist, but not the course's
OPEN = {
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/schema"),
    ("GET", "/schema/openapi.json"),
    ("GET", "/fhir/R4/metadata"),
    ("GET", "/log/{organisation}/checkpoint"),  # of a signed log (tests/api/test_log.py)
    ("GET", "/log/{organisation}/tile/{level}/{place}"),
    ("GET", "/v1/notices/types"),
    ("GET", "/log/ipt_verify.py"),
    ("GET", "/.well-known/smart-configuration"),
    ("GET", "/fhir/R4/.well-known/smart-configuration"),
}
SIGNED = {  # by their source's key, and by no token (tests/ehr/test_authentic.py, tests/ehr/smart/test_access_tokens.py)
    ("POST", "/oauth/token"),
    ("POST", "/v1/ehr/notices/{source}"),
    ("POST", "/v1/ehr/fhir/{source}"),
    ("POST", "/v1/ehr/fhir/{source}/{kind}"),
    ("POST", "/v1/ehr/fhir/{source}/{kind}/{its_id}"),
    ("PUT", "/v1/ehr/fhir/{source}/{kind}/{its_id}"),
    ("DELETE", "/v1/ehr/fhir/{source}/{kind}/{its_id}"),
}
OPENS = ("refer", "adopt")
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a protocol for groups."""
    return group_walk.settings(tmp_path)


class Row(msgspec.Struct, frozen=True):
    """`statuses` in the order of COLUMNS. `body` is posted; `needs` names what must exist first.

    Where no status is given for the operator, who sees no course, they may what an administrator may not either.
    """

    statuses: str
    body: Any = None
    needs: str = "course"


NOTE = {"trigger": "note", "data": {"text": "x"}}
WAIVER = {"trigger": "waive_sick_role", "reason": "Not wanted."}  # a therapist needs a supervisor for it
REFERRAL = {"client_ref": "EHR-new", "protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}
CRISIS_CALL = {"client_ref": "EHR-1", "together": [{"trigger": "record_contact", "data": {"kind": "crisis"}}]}
EMERGENCY = {"client_ref": "EHR-1", "code": "ETREAT", "reason": "She called."}
GROUP = {"protocol": group_walk.PROTOCOL, "label": "G-1", "facilitators": ["therapist-1", "therapist-2"]}
COVER = {
    "therapist": "therapist-1",
    "colleague": "therapist-3",
    "client_told": True,
    "reason": "Annual leave",
}
SUPERVISION = {
    "supervisor": "supervisor-1",
    "supervisees": ["therapist-1"],
    "kind": "individual",
    "minutes": 50,
    "courses": [{"course": "{course_id}", "actions": ["Bring a tape."]}],
}
POLICY = {
    "name": "mine",
    "kind": "record",
    "jurisdiction": "DE",
    "bound": "floor",
    "period": "P10Y",
    "anchor": "last_contact",
    "citation": "BGB 630f",
}
RESTRICTION = {"people": ["supervisor-1"], "reason": "The client works here."}
LABEL = {"label": "Ms A."}
CLIENT = {"course": "{course_id}"}
DISCLOSURE = {**CLIENT, "recipient": "The family court", "what": "The letter of 3 March", "purpose": "HLEGAL"}
GROUP_WRITE = "201 404 201 403 403 404"
ALL_READ = "200 200 200 200 200 200"
ADMIN = "403 403 403 403 403 {}"
URL = "https://ehr.example/hooks"
OPERATOR_ONLY = "403 403 403 403 403 403 {}"
COURSE_READ = "200 404 200 200 200 404"
FHIR_READ = "200 404 200 200 200 403"
TABLE: dict[tuple[str, str], Row] = {
    ("POST", "/fhir/R4"): Row(f"{ALL_READ} 200", {"resourceType": "Bundle", "type": "batch"}),  # each entry is asked for itself
    ("GET", "/fhir/R4/{kind}"): Row("200 200 200 200 200 403"),
    ("GET", "/fhir/R4/{kind}/_history"): Row("200 200 200 200 200 403"),
    ("GET", "/fhir/R4/{kind}/{resource_id}/{member}"): Row(FHIR_READ, needs="client"),
    ("GET", "/fhir/R4/{kind}/{resource_id}/$everything"): Row(FHIR_READ, needs="client"),
    ("POST", "/fhir/R4/{kind}/_search"): Row("200 200 200 200 200 403"),
    ("GET", "/fhir/R4/{kind}/{resource_id}"): Row(FHIR_READ),
    ("GET", "/fhir/R4/{kind}/{resource_id}/_history"): Row(FHIR_READ),
    ("GET", "/fhir/R4/{kind}/{resource_id}/_history/{version}"): Row(FHIR_READ, needs="first phase"),
    ("GET", "/metrics"): Row("403 403 403 200 403 200 200"),
    ("GET", "/v1/audit"): Row("403 403 200 200 403 403"),
    ("POST", "/v1/audit/search"): Row("403 403 200 200 403 403", {}),
    ("GET", "/v1/audit/export"): Row("403 403 403 200 403 403"),
    ("GET", "/v1/audit/verify"): Row("403 403 200 200 403 403"),
    ("GET", "/v1/audit/checkpoint"): Row("403 403 200 200 403 403", needs="checkpoint"),
    ("GET", "/v1/audit/consistency?from=1"): Row("403 403 200 200 403 403", needs="checkpoint"),
    ("GET", "/v1/audit/proof?course={course_id}"): Row("403 403 200 200 403 403", needs="checkpoint"),
    ("GET", "/log/{organisation}/tile/entries/{place}"): Row("403 403 403 200 403 403", needs="checkpoint"),
    ("GET", "/v1/courses"): Row("200 200 200 200 200 403"),
    ("POST", "/v1/courses"): Row("201 201 201 403 201 201", REFERRAL),
    ("POST", "/v1/courses/crisis-calls"): Row("201 201 201 403 403 403", CRISIS_CALL),
    ("POST", "/v1/emergency-access"): Row("403 403 403 403 403 403", EMERGENCY),  # it takes a person who signed in, and no token
    ("GET", "/v1/emergency-access"): Row("200 200 200 200 403 403"),
    ("GET", "/v1/emergency-access/{access_id}"): Row("200 404 200 200 404 404", needs="emergency"),
    ("POST", "/v1/emergency-access/{access_id}/end"): Row("403 404 200 403 404 404", needs="emergency"),
    ("POST", "/v1/emergency-access/{access_id}/review"): Row("403 404 201 403 404 404", {"verdict": "justified"}, "emergency"),
    # It takes a person who signed in, and no token (tests/service/privacy/test_erasures.py).
    ("POST", "/v1/erasures"): Row("403 403 403 403 403 403", {"client_ref": "EHR-1", "ground": "consent_withdrawn"}),
    ("POST", "/v1/erasures/again"): Row("403 403 403 403 403 403", {}),
    ("GET", "/v1/erasures"): Row("403 403 200 200 403 200"),
    ("GET", "/v1/erasures/{erasure_id}"): Row("403 403 200 200 403 200", needs="erasure"),
    # A person marks a client's record, and no fixed token.
    ("POST", "/v1/clients/marks"): Row("403 403 403 403 403 403", {"kind": "hold", "client_ref": "EHR-1", "ground": "litigation"}),
    ("GET", "/v1/clients/marks"): Row("403 403 200 200 403 200"),
    ("GET", "/v1/clients/marks/{mark_id}"): Row("403 403 200 200 403 200", needs="mark"),
    ("POST", "/v1/clients/marks/{mark_id}/end"): Row("403 403 403 403 403 403", {}, "mark"),
    ("POST", "/v1/unmasking"): Row("403 403 403 201 403 403", {"course": "{course_id}", "reason": "A complaint."}, "masked"),
    ("GET", "/v1/unmasking"): Row("403 403 200 200 403 403"),
    ("POST", "/v1/courses/search"): Row("200 200 200 200 200 403", {"client_ref": "EHR-1"}),
    ("GET", "/v1/courses/{course_id}"): Row(COURSE_READ),
    ("GET", "/v1/courses/{course_id}/options"): Row(COURSE_READ),
    ("GET", "/v1/courses/{course_id}/readers"): Row("200 404 200 200 403 404"),
    ("GET", "/v1/courses/{course_id}/transitions"): Row(COURSE_READ),
    ("GET", "/v1/courses/{course_id}/transitions/{seq}"): Row(COURSE_READ),
    ("POST", "/v1/courses/{course_id}/transitions"): Row("201 404 201 403 403 404", NOTE),
    ("POST", "/v1/courses/{course_id}/transitions?dry_run=true"): Row("200 404 200 403 403 404", NOTE),
    # A supervisor may propose, but needs no other supervisor for this.
    ("POST", "/v1/courses/{course_id}/proposals"): Row("201 404 422 403 403 404", WAIVER, "first phase"),
    ("GET", "/v1/courses/{course_id}/restriction"): Row("403 404 200 200 403 200 404", needs="restriction"),
    ("PUT", "/v1/courses/{course_id}/restriction"): Row("403 404 200 403 403 200 404", RESTRICTION),
    ("DELETE", "/v1/courses/{course_id}/restriction"): Row("403 404 204 403 403 204 404", needs="restriction"),
    ("GET", "/v1/courses/{course_id}/client-label"): Row(COURSE_READ, needs="label"),
    ("PUT", "/v1/courses/{course_id}/client-label"): Row("200 404 200 403 200 404", LABEL),
    ("DELETE", "/v1/courses/{course_id}/client-label"): Row("204 404 204 403 204 404", needs="label"),
    ("POST", "/v1/clients/access-report"): Row("200 404 200 200 403 403", CLIENT),
    ("POST", "/v1/clients/accounting"): Row("200 404 200 200 403 403", CLIENT),
    # A person who has just signed in takes a client's data away, and no fixed token (tests/ehr/test_client_exports.py).
    ("POST", "/v1/clients/export"): Row("403 403 403 403 403 403", {**CLIENT, "ground": "gdpr-15"}),
    ("POST", "/v1/clients/disclosures"): Row("201 404 201 403 403 403", DISCLOSURE),
    # A therapist arranges cover for their own courses: the other one is told so.
    ("POST", "/v1/cover"): Row("201 422 201 403 403 201", COVER),
    ("GET", "/v1/cover"): Row("200 200 200 200 403 200"),
    ("GET", "/v1/cover/{cover_id}"): Row("200 404 200 200 403 200", needs="cover"),
    ("POST", "/v1/cover/{cover_id}/end"): Row("200 404 200 403 403 200", needs="cover"),
    ("GET", "/v1/proposals"): Row("200 200 200 200 403 403"),
    ("GET", "/v1/proposals/{proposal_id}"): Row("200 404 200 200 403 404", needs="proposal"),
    ("POST", "/v1/proposals/{proposal_id}/cosign"): Row("403 404 201 403 403 404", needs="proposal"),
    ("POST", "/v1/proposals/{proposal_id}/decline"): Row("403 404 200 403 403 404", needs="proposal"),
    ("POST", "/v1/proposals/{proposal_id}/return"): Row("403 404 200 403 403 404", {"comment": "Say why."}, "proposal"),
    ("GET", "/v1/supervision"): Row("200 200 200 200 403 403"),
    ("GET", "/v1/supervision/agenda"): Row("200 200 200 200 403 403"),
    ("GET", "/v1/retention/decisions"): Row("403 403 403 200 403 200"),
    ("POST", "/v1/retention/decisions"): Row(
        ADMIN.format(403), {"decision": "erase", "clients": [{"client": NOBODY}]}
    ),  # by a person
    ("GET", "/v1/retention/examples"): Row("403 403 403 200 403 200"),
    ("GET", "/v1/retention/months"): Row("403 403 403 200 403 200"),
    ("POST", "/v1/retention/months"): Row(ADMIN.format(403), {"kind": "access_log", "month": "2023-01"}),
    ("GET", "/v1/retention/policies"): Row("403 403 403 200 403 200"),
    ("POST", "/v1/retention/policies"): Row(ADMIN.format(403), POLICY),
    ("POST", "/v1/retention/policies/{policy}/end"): Row(ADMIN.format(403)),
    ("GET", "/v1/retention/records"): Row("403 403 403 200 403 200"),
    ("POST", "/v1/supervision"): Row("201 404 201 403 403 403", SUPERVISION),
    ("GET", "/v1/notices"): Row("200 200 200 200 403 403"),
    ("GET", "/v1/notices/{notice_id}"): Row("200 404 200 200 403 404", needs="notice"),
    ("POST", "/v1/notices/{notice_id}/resolve"): Row("200 404 200 403 403 404", {"action": "retry"}, "notice"),
    ("GET", "/v1/ehr/messages"): Row("403 403 403 403 200 403", needs="bound"),
    ("GET", "/v1/sessions"): Row(f"{ALL_READ} 200"),  # one's own
    ("DELETE", "/v1/sessions/{session_id}"): Row("404 404 404 404 404 404"),
    ("GET", "/v1/sources"): Row(ADMIN.format(200)),
    ("POST", "/v1/sources"): Row(ADMIN.format(201), {"id": "south"}),
    ("GET", "/v1/sources/{source_id}"): Row(ADMIN.format(200), needs="source"),
    ("PATCH", "/v1/sources/{source_id}"): Row(ADMIN.format(200), {"other_visits": "ignore"}, "source"),
    ("POST", "/v1/sources/{source_id}/rotate"): Row(ADMIN.format(201), {}, "source"),
    ("POST", "/v1/sources/{source_id}/disable"): Row(ADMIN.format(200), needs="source"),
    ("POST", "/v1/sources/{source_id}/enable"): Row(ADMIN.format(200), needs="source"),
    ("GET", "/v1/systems"): Row(ADMIN.format(200)),
    # A person registers and changes systems, and no fixed token.
    ("POST", "/v1/systems"): Row(ADMIN.format(403), {"id": "south", "scopes": ["system/*.rs"], "jwks": JWKS}),
    ("GET", "/v1/systems/{system_id}"): Row(ADMIN.format(200), needs="system"),
    ("PATCH", "/v1/systems/{system_id}"): Row(ADMIN.format(403), {"name": "The EHR of the south"}, "system"),
    ("POST", "/v1/systems/{system_id}/revoke"): Row(ADMIN.format(200), needs="system"),
    ("GET", "/v1/people"): Row(ADMIN.format(200)),
    ("POST", "/v1/people"): Row(ADMIN.format(201), {"id": "somebody", "name": "Some Body", "roles": ["therapist"]}),
    ("GET", "/v1/people/{person_id}"): Row(ADMIN.format(200), needs="person"),
    ("PATCH", "/v1/people/{person_id}"): Row(ADMIN.format(200), {"roles": ["auditor"]}, "person"),
    ("POST", "/v1/people/{person_id}/leave"): Row(ADMIN.format(200), needs="person"),
    ("POST", "/v1/people/{person_id}/return"): Row(ADMIN.format(200), needs="one who left"),
    # What gives or takes a way in needs an administrator who has just signed in (tests/service/access/test_enrolment.py).
    ("POST", "/v1/people/{person_id}/enrolment-link"): Row(ADMIN.format(403), needs="person"),
    ("GET", "/v1/people/{person_id}/credentials"): Row(ADMIN.format(200), needs="person"),
    ("DELETE", "/v1/people/{person_id}/credentials"): Row(ADMIN.format(403), needs="person"),
    ("GET", "/v1/sessions-to-attest"): Row("403 403 200 403 403 403"),
    ("GET", "/v1/groups"): Row("200 200 200 200 403 403"),
    ("POST", "/v1/groups"): Row("201 201 201 403 403 403", GROUP),
    ("GET", "/v1/groups/{group_id}"): Row("200 404 200 200 403 404", needs="group"),
    ("POST", "/v1/groups/{group_id}/members"): Row(GROUP_WRITE, {"course": "{other_id}"}, "group"),
    ("POST", "/v1/groups/{group_id}/members/{course_id}/leave"): Row(GROUP_WRITE, {"reason": "moved"}, "group"),
    ("POST", "/v1/groups/{group_id}/facilitators"): Row(GROUP_WRITE, {"facilitators": ["therapist-1", "therapist-3"]}, "group"),
    # A therapist records the sessions that they held.
    ("POST", "/v1/groups/{group_id}/sessions"): Row("201 404 403 403 403 404", {"attendance": {"{course_id}": "3"}}, "group"),
    ("POST", "/v1/groups/{group_id}/sessions/{session_id}/sign"): Row("200 404 403 403 403 404", {}, "group"),
    ("POST", "/v1/groups/{group_id}/sign"): Row("200 404 403 403 403 404", {"sessions": {"{session_id}": {}}}, "group"),
    ("GET", "/v1/organisations"): Row(OPERATOR_ONLY.format(200)),
    ("POST", "/v1/organisations"): Row(OPERATOR_ONLY.format(201), {"id": "south", "title": "South"}),
    ("GET", "/v1/organisations/{organisation}"): Row(OPERATOR_ONLY.format(200)),
    ("PATCH", "/v1/organisations/{organisation}"): Row(OPERATOR_ONLY.format(200), {"title": "South"}),
    ("GET", "/v1/protocols"): Row(ALL_READ),
    ("GET", "/v1/protocols/{protocol_id}"): Row(ALL_READ),
    ("GET", "/v1/protocols/{protocol_id}/diagram"): Row(ALL_READ),
    ("GET", "/v1/protocols/{protocol_id}/{version}"): Row(ALL_READ),
    ("GET", "/v1/protocols/{protocol_id}/{version}/diagram"): Row(ALL_READ),
    ("GET", "/v1/triggers"): Row(ALL_READ),
    ("GET", "/v1/events"): Row("403 403 200 200 200 403"),
    ("GET", "/v1/courses/{course_id}/snapshot"): Row(COURSE_READ),
    ("GET", "/v1/subscriptions"): Row(ADMIN.format(200)),
    ("POST", "/v1/subscriptions"): Row(ADMIN.format(201), {"url": URL}),
    ("GET", "/v1/subscriptions/{subscription_id}"): Row(ADMIN.format(200), needs="subscription"),
    ("PATCH", "/v1/subscriptions/{subscription_id}"): Row(ADMIN.format(200), {"url": URL}, "subscription"),
    ("DELETE", "/v1/subscriptions/{subscription_id}"): Row(ADMIN.format(204), needs="subscription"),
    ("POST", "/v1/subscriptions/{subscription_id}/rotate"): Row(ADMIN.format(201), {}, "subscription"),
    ("POST", "/v1/subscriptions/{subscription_id}/ping"): Row(ADMIN.format(202), needs="subscription"),
    ("POST", "/v1/subscriptions/{subscription_id}/pause"): Row(ADMIN.format(200), needs="subscription"),
    ("POST", "/v1/subscriptions/{subscription_id}/resume"): Row(ADMIN.format(200), needs="subscription"),
    ("POST", "/v1/subscriptions/{subscription_id}/replay"): Row(
        ADMIN.format(202), {"since": "2999-01-01T00:00:00Z"}, "subscription"
    ),
    ("GET", "/v1/subscriptions/{subscription_id}/deliveries"): Row("403 403 403 200 403 200", needs="subscription"),
    ("POST", "/v1/deliveries/{delivery_id}/replay"): Row(ADMIN.format(202), needs="subscription"),
}
# They are posted and write nothing of a course; and everybody ends their own sessions.
LOOKING = {
    *("/v1/audit/search", "/v1/courses/search", "/fhir/R4", "/fhir/R4/{kind}/_search"),
    *("/v1/sessions/{session_id}", "/v1/unmasking"),
    *("/v1/clients/access-report", "/v1/clients/accounting", "/v1/clients/export"),
}
WRITES = [key for key in TABLE if key[0] != "GET" and key[1] not in LOOKING]
OF_NO_COURSE = (
    "/v1/organisations",
    "/v1/cover",
    "/v1/people",
    "/v1/subscriptions",
    "/v1/deliveries",
    "/v1/sources",
    "/v1/systems",
    "/v1/clients",
    "/v1/courses/crisis-calls",
    "/v1/retention",
)
MAKES = (
    "/v1/courses",
    "/v1/groups",
    "/v1/emergency-access",
    "/v1/supervision",
    "/v1/clients/disclosures",
    "/v1/erasures",
    "/v1/erasures/again",
)
SERVED = {
    (method, route.path_format)
    for route in litestar_app(configuration.load({})).routes
    for method in route.methods - {"OPTIONS", "HEAD"}
}


def status(row: Row, column: str) -> int:
    cells = row.statuses.split()
    if column == "operator" and len(cells) < len(COLUMNS):
        return max(int(cells[-1]), 403)
    return int(cells[COLUMNS.index(column)])


def is_problem(answer: httpx.Response, slug: str) -> None:
    if answer.url.path.startswith("/fhir"):
        assert answer.headers["content-type"] == "application/fhir+json"
        assert answer.json()["issue"][0]["code"] == CODES[slug]
        return
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.json()["type"] == f"/problems/{slug}"
    assert answer.json()["status"] == answer.status_code


async def with_foreigner(api: Api) -> None:
    api.tokens["foreign"] = (await token(api, "therapist", "therapist-2")).token


async def token(api: Api, role: Any, subject: str, **more: Any) -> Any:
    return await api.services.tokens.create(OPERATOR, NewToken(role=role, name=subject, **more))


async def prepared(api: Api, row: Row, ref: str = "EHR-1") -> dict[str, str]:
    """A course of therapist-1 with what the row needs, as names for the path."""
    course = (await api.open(ref, **({"protocol": group_walk.PROTOCOL} if row.needs == "group" else {})))["id"]
    names = {
        "kind": "EpisodeOfCare",
        "resource_id": course,
        "course_id": course,
        "seq": "1",
        "protocol_id": "ipt",
        "version": "2",
        "proposal_id": NOBODY,
        "notice_id": NOBODY,
        "session_id": "0" * 16,
        "policy": "none",
        "organisation": "default",
    }
    if row.needs == "subscription":
        answer = await api.post("/v1/subscriptions", {"url": f"{URL}?{ref}"}, "admin")
        names["subscription_id"] = answer.json()["subscription"]["id"]
        await api.walk(course, "record_consent")
        await api.get("/v1/events", "auditor")
        listed = await api.get(f"/v1/subscriptions/{names['subscription_id']}/deliveries", "auditor")
        names["delivery_id"] = listed.json()["items"][0]["id"]
    elif row.needs in {"source", "bound", "system"}:
        names["source_id"] = names["system_id"] = ref.lower()
        await ehr_or_system(api, row.needs, ref.lower())
    elif row.needs in {"cover", "restriction", "person", "one who left"}:
        names |= await of_staff(api, course, row.needs, ref.lower())
    elif row.needs != "course":
        await api.walk(course, "record_consent", "start")
    if row.needs == "client":
        episode = (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "supervisor")).json()
        names |= {"kind": "Patient", "resource_id": episode["patient"]["reference"].partition("/")[2], "member": "Encounter"}
    if row.needs == "group":
        names |= await group(api, course, ref)
    if row.needs in MADE:
        names |= await MADE[row.needs](api, ref)
    if row.needs == "proposal":
        answer = await api.post(f"/v1/courses/{course}/proposals", WAIVER, If_Match='"3"')
        assert answer.status_code == 201, answer.text
        names["proposal_id"] = answer.json()["id"]
    return names


async def of_staff(api: Api, course: str, needs: str, name: str) -> dict[str, str]:
    """A person; or cover of therapist-1, and a restriction of the course."""
    if needs in {"person", "one who left"}:
        return {"person_id": await person(api, name, has_left=needs == "one who left")}
    headers = api.headers("admin")
    assert (await api.client.put(f"/v1/courses/{course}/restriction", json=RESTRICTION, headers=headers)).status_code == 200
    made = await api.post("/v1/cover", a_week_of(COVER, api))
    assert made.status_code == 201, made.text
    return {"cover_id": made.json()["id"]}


def a_week_of(cover: dict[str, Any], api: Api) -> dict[str, Any]:
    return {**cover, "until": (api.clinic.clock.now() + dt.timedelta(days=7)).isoformat()}


async def ehr_or_system(api: Api, needs: str, name: str) -> None:
    """A source, perhaps with a token bound to it, or a system."""
    if needs == "system":
        await Systems(api.clinic).add(OPERATOR, lambda: NewSystem(id=name, scopes=("system/*.rs",), jwks=JWKS))
        return
    await Sources(api.clinic).add(OPERATOR, lambda: NewSource(id=name))
    if needs == "bound":
        api.tokens["ehr"] = (await token(api, "ehr", "ehr-1", source=name)).token


async def person(api: Api, name: str, *, has_left: bool) -> str:
    """A person of the staff, who perhaps has left."""
    people = People(api.clinic)
    await people.add(OPERATOR, lambda: NewPerson(id=name, name=name, roles=("therapist",)))
    if has_left:
        await people.leave(OPERATOR, name)
    return name


async def emergency(api: Api, ref: str) -> dict[str, str]:
    """An emergency access of somebody else to the client's course."""
    new = msgspec.convert({**EMERGENCY, "client_ref": ref}, NewEmergencyAccess)
    taken = await api.services.emergencies.start(Principal(person="therapist-3", role="therapist", via="cli"), lambda: new)
    return {"access_id": taken.id}


async def masked(api: Api, _ref: str) -> dict[str, str]:
    """An organisation whose auditors must unmask sealed text."""
    api.clinic.access_rules = AccessRules(auditor_text="unmask")
    return {}


async def group(api: Api, course: str, ref: str) -> dict[str, str]:
    """A group of therapist-1 with this course, with a recorded session, and another course that may join."""
    made = await api.post("/v1/groups", {"protocol": group_walk.PROTOCOL, "label": "G-1"})
    path = made.headers["location"]
    assert (await api.post(f"{path}/members", {"course": course}, If_Match='"1"')).status_code == 201
    recorded = await api.post(f"{path}/sessions", {"attendance": {course: "3"}}, If_Match='"2"')
    assert recorded.status_code == 201, recorded.text
    other = await api.open(f"{ref}-other", protocol=group_walk.PROTOCOL)
    return {"group_id": made.json()["group"]["id"], "session_id": recorded.json()["session"]["id"], "other_id": other["id"]}


async def waiting(api: Api, ref: str) -> dict[str, str]:
    """A notice about a client's course, which waits: nobody says who cancelled."""
    name = ref.lower()
    made = await Sources(api.clinic).add(OPERATOR, lambda: NewSource(id=name, kind="bearer"))
    visit = {"resourceType": "Encounter", "id": "1", "status": "cancelled", "subject": {"reference": f"Patient/{ref}"}}
    headers = {"accept": "application/json", "Authorization": f"Bearer {made.secret}"}
    answer = await api.client.post(f"/v1/ehr/fhir/{name}", json=visit, headers=headers)
    assert answer.json()["status"] == "waiting", answer.text
    return {"notice_id": answer.json()["id"]}


async def label(api: Api, ref: str) -> dict[str, str]:
    """A label of the client."""
    course = (await api.post("/v1/courses/search", {"client_ref": ref})).json()["items"][0]["id"]
    answer = await api.client.put(f"/v1/courses/{course}/client-label", json=LABEL, headers=api.headers("therapist"))
    assert answer.status_code == 200, answer.text
    return {}


async def erased(api: Api, ref: str) -> dict[str, str]:
    """An erasure of another client."""
    await api.open(f"{ref}-erased")
    new = NewErasure(client_ref=f"{ref}-erased", ground="objection")
    done = await api.services.rights.erasures.erase(OPERATOR, lambda: new)
    return {"erasure_id": done.id or ""}


async def a_mark(api: Api, ref: str) -> dict[str, str]:
    """A hold on the client's record."""
    return {"mark_id": (await marks.mark(api.clinic, ref=ref)).id}


async def checkpoint(api: Api, _ref: str) -> dict[str, str]:
    """A signed log."""
    await refusals(api)  # which is a record
    await checkpoints.sign(api.clinic)
    return {"place": "000.p/1"}


MADE = {
    "checkpoint": checkpoint,
    "mark": a_mark,
    "emergency": emergency,
    "erasure": erased,
    "label": label,
    "masked": masked,
    "notice": waiting,
}


async def call(api: Api, key: tuple[str, str], row: Row, names: dict[str, str], **headers: str) -> httpx.Response:
    method, path = key
    body = json.dumps(row.body)
    for name, value in names.items():
        body = body.replace(f"{{{name}}}", value)
    if "{group_id}" in path:
        headers["If-Match"] = (await api.get(f"/v1/groups/{names['group_id']}", "supervisor")).headers["etag"]
    elif path == "/v1/cover" and method == "POST":
        body = json.dumps(a_week_of(json.loads(body), api))
    elif method == "POST" and "{course_id}" in path:
        headers["If-Match"] = f'"{await api.version(names["course_id"])}"'
    return await api.client.request(method, path.format(**names), json=json.loads(body), headers=headers)


async def refusals(api: Api, **sought: str) -> list[dict[str, Any]]:
    answer = await api.post("/v1/audit/search", {"kind": "refusal", "limit": 200, **sought}, "supervisor")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_every_route_and_method_has_a_row():
    tested = {(method, path.partition("?")[0]) for method, path in TABLE}
    assert tested | OPEN | SIGNED == SERVED
    assert not tested & (OPEN | SIGNED)


@pytest.mark.matrix(8)
@pytest.mark.parametrize("key", TABLE, ids=" ".join)
def test_each_role_is_answered_as_its_cell_says(api, key):
    row = TABLE[key]

    async def test(api):
        await with_foreigner(api)
        for column in COLUMNS:
            names = await prepared(api, row, f"EHR-{column}")
            refs = {"/v1/courses": f"EHR-{column}-new", "/v1/courses/crisis-calls": f"EHR-{column}"}
            body = {**row.body, "client_ref": refs[key[1]]} if key[0] == "POST" and key[1] in refs else row.body
            answer = await call(api, key, Row(row.statuses, body), names, **api.headers(column))
            assert answer.status_code == status(row, column), (column, answer.text)
            if answer.status_code == 404:
                is_problem(answer, "not-found")
            if answer.status_code == 403 and key[1].startswith("/fhir"):
                is_problem(answer, "forbidden")
            elif answer.status_code == 403:
                assert answer.headers["content-type"] == PROBLEM_JSON
                assert answer.json()["type"] in {
                    "/problems/forbidden",
                    "/problems/person-needed",
                    "/problems/trigger-not-permitted",
                }
            assert bool(await refused_to(api, column)) == is_recorded(answer, key, row), (column, answer.text)

    api(test)


async def refused_to(api: Api, column: str) -> list[dict[str, Any]]:
    return [
        each
        for each in await refusals(api, actor="therapist-2" if column == "foreign" else f"{column}-1")
        if each["rules"] in (["role"], ["hidden"], ["sign_in"])
    ]


def is_recorded(answer: httpx.Response, key: tuple[str, str], row: Row) -> bool:
    """Whether the caller asked for what exists and is not for them. A preview that their role may not see records nothing."""
    exists = status(row, "supervisor") != 404
    forbidden = answer.status_code == 403 and "dry_run" not in key[1] and "bound to no source" not in answer.text
    return forbidden or (answer.status_code == 404 and exists)


@pytest.mark.parametrize("key", sorted(OPEN), ids=" ".join)
def test_what_is_open_to_all_needs_no_token(api, key):
    async def test(api):
        names = {"organisation": "default", "level": "0", **await checkpoint(api, "")}
        assert (await api.client.request(key[0], key[1].format(**names))).status_code == 200

    api(test)


@pytest.mark.matrix(8)
@pytest.mark.parametrize("key", TABLE, ids=" ".join)
def test_without_a_valid_token_everything_else_is_401(api, key):
    row, clock = TABLE[key], VirtualClock(START)

    async def test(api):
        names = await prepared(api, row)
        revoked, expiring = await token(api, "supervisor", "s-2"), await token(api, "supervisor", "s-3", days=1)
        good = (await token(api, "supervisor", "s-4", days=3)).token
        await api.services.tokens.revoke(OPERATOR, revoked.id)
        clock.advance(dt.timedelta(days=1))
        headers = (
            None,
            "",
            good,
            "Bearer",
            f"Basic {good}",
            f"Bearer {good}x",
            f"Bearer {good[:-1]}{'a' if good[-1] != 'a' else 'b'}",
            f"Bearer {revoked.token}",
            f"Bearer {expiring.token}",
        )
        for text in headers:
            answer = await call(api, key, row, names, **({} if text is None else {"Authorization": text}))
            assert answer.status_code == 401, (headers.index(text), answer.text)
            is_problem(answer, "unauthenticated")
            assert answer.headers["www-authenticate"] == 'Bearer realm="ipt"'
            assert good not in answer.text
        assert (await call(api, key, row, names, Authorization=f"bearer {good}")).status_code != 401

    api(test, clock)


@pytest.mark.parametrize("key", WRITES, ids=" ".join)
def test_an_auditor_never_writes_and_that_they_tried_is_recorded(api, key):
    row = TABLE[key]

    async def test(api):
        names = await prepared(api, row)
        before = await api.version(names["course_id"])
        answer = await call(api, key, row, names, **api.headers("auditor", X_Request_Id="tried"))
        assert answer.status_code == 403
        assert await api.version(names["course_id"]) == before
        recorded = await refusals(api, actor="auditor-1")
        if "dry_run" in key[1]:
            assert recorded == []  # a dry run would have written nothing
            return
        assert [(each["request_id"], each["rules"]) for each in recorded] == [("tried", ["role"])]
        assert recorded[0]["actor"] == {"person": "auditor-1", "role": "auditor", "via": "api"}
        assert recorded[0]["courses"] == ([] if key[1] in MAKES or key[1].startswith(OF_NO_COURSE) else [names["course_id"]])

    api(test, VirtualClock(START))


def test_an_auditor_may_not_write_even_what_no_paperwork_blocks(api):
    async def test(api):
        course = (await api.open())["id"]
        for trigger in ("note", "record_contact", "raise_risk", "end_early"):
            answer = await api.post(f"/v1/courses/{course}/transitions", {"trigger": trigger}, "auditor")
            assert answer.status_code == 403
            is_problem(answer, "forbidden")
        assert await api.version(course) == 1

    api(test)


def test_a_course_of_somebody_else_is_answered_like_one_that_never_was(api):
    async def test(api):
        await with_foreigner(api)
        names = await prepared(api, Row("", needs="first phase"))
        never = {**names, "course_id": NOBODY}
        for key in (key for key in TABLE if key[1].startswith("/v1/courses/{course_id}")):
            answers = []
            for each in (names, never):
                answer = await api.client.request(
                    key[0], key[1].format(**each), json=TABLE[key].body, headers=api.headers("foreign", If_Match='"3"')
                )
                assert answer.status_code == 404, key
                answers.append({**answer.json(), "instance": None})
            assert answers[0] == answers[1]

    api(test)


def test_a_group_of_somebody_else_is_answered_like_one_that_never_was(api):
    async def test(api):
        await with_foreigner(api)
        names = await prepared(api, Row("", needs="group"))
        never = {**names, "group_id": NOBODY}
        for method, path in (key for key in TABLE if "{group_id}" in key[1]):
            answers = []
            for each in (names, never):
                answer = await api.client.request(
                    method, path.format(**each), json=TABLE[method, path].body, headers=api.headers("foreign", If_Match='"3"')
                )
                assert answer.status_code == 404, path
                answers.append({**answer.json(), "instance": None})
            assert answers[0] == answers[1]

    api(test)


def test_what_a_therapist_may_not_see_is_in_no_list(api):
    async def test(api):
        await with_foreigner(api)
        own = await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-2"}, "foreign")
        names = await prepared(api, Row("", needs="proposal"))
        seen = (await api.get("/v1/courses", "foreign")).json()["items"]
        assert [course["id"] for course in seen] == [own.json()["course"]["id"]]
        assert (await api.get("/v1/courses?therapist=therapist-1", "foreign")).json()["items"] == []
        assert (await api.post("/v1/courses/search", {"client_ref": "EHR-1"}, "foreign")).json()["items"] == []
        assert (await api.get("/v1/proposals", "foreign")).json()["items"] == []
        for role in ("therapist", "supervisor", "auditor", "ehr"):
            found = (await api.post("/v1/courses/search", {"client_ref": "EHR-1"}, role)).json()["items"]
            assert [course["id"] for course in found] == [names["course_id"]]
        for role in ("therapist", "supervisor", "auditor"):
            assert [each["id"] for each in (await api.get("/v1/proposals", role)).json()["items"]] == [names["proposal_id"]]

    api(test)


def test_a_transfer_takes_the_course_from_one_therapist_and_gives_it_to_the_other(api):
    async def test(api):
        await with_foreigner(api)
        course = (await api.open())["id"]
        answer = await api.fire(course, "transfer", {"therapist": "therapist-2", "handover": "Talked through."}, reason="Moved.")
        assert answer.status_code == 201
        assert (await api.get(f"/v1/courses/{course}")).status_code == 404
        assert (await api.fire(course, "note", {"text": "x"})).status_code == 404
        assert (await api.get(f"/v1/courses/{course}", "foreign")).status_code == 200
        assert (await api.fire(course, "note", {"text": "x"}, role="foreign")).status_code == 201

    api(test)


# Triggers


async def trigger_rows(api: Api) -> list[dict[str, Any]]:
    return (await api.get("/v1/triggers")).json()["items"]


async def attempt(api: Api, course: str, row: dict[str, Any], role: str, **query: str) -> httpx.Response:
    """Fires the trigger table's example; what opens a course opens one."""
    name = row["trigger"]
    body = {"trigger": name, "data": row["data_schema"]["examples"][0], "reason": "Agreed."}
    if name in OPENS:
        return await api.post("/v1/courses", {**body, "client_ref": f"EHR-{name}-{role}", "protocol": "ipt"}, role)
    version = await api.version(course)
    return await api.client.post(
        f"/v1/courses/{course}/transitions", params=query, json=body, headers=api.headers(role, If_Match=f'"{version}"')
    )


@pytest.mark.parametrize("role", ("therapist", "supervisor", "ehr", "admin", "auditor"))
def test_a_role_that_may_never_fire_a_trigger_is_told_so_and_recorded(api, role):
    async def test(api):
        course = (await api.open())["id"]
        sees_courses, writes = role != "admin", role != "auditor"
        for row in await trigger_rows(api):
            if role in row["roles"]:
                continue
            trigger = row["trigger"]
            answer = await attempt(api, course, row, role)
            if not sees_courses and trigger not in OPENS:
                is_problem(answer, "not-found")
                continue
            assert answer.status_code == 403, (trigger, answer.text)
            is_problem(answer, "trigger-not-permitted" if writes else "forbidden")
            if not writes:
                continue
            assert answer.json()["trigger"] == trigger
            assert answer.json()["roles"] == row["roles"]
            (recorded,) = await refusals(api, trigger=trigger)
            assert (recorded["actor"]["person"], recorded["rules"]) == (f"{role}-1", ["role"])
            assert recorded["courses"] == ([] if trigger in OPENS else [course])
        assert await api.version(course) == 1

    api(test)


@pytest.mark.parametrize("role", ("therapist", "supervisor", "ehr", "admin"))
def test_a_role_that_may_fire_a_trigger_is_judged_by_the_rules_and_not_by_its_role(api, role):
    async def test(api):
        course = (await api.open())["id"]
        for row in await trigger_rows(api):
            if role in row["roles"]:
                answer = await attempt(api, course, row, role, dry_run="true")
                assert answer.status_code in {200, 201, 409, 422}, (row["trigger"], answer.text)

    api(test)


@pytest.mark.parametrize("role", ("therapist", "supervisor", "ehr", "auditor"))
def test_options_offer_exactly_what_the_role_may_ever_fire(api, role):
    async def test(api):
        course = (await api.open())["id"]
        mine = [row["trigger"] for row in await trigger_rows(api) if role in row["roles"] and row["trigger"] not in OPENS]
        assert list(await api.options(course, role)) == mine

    api(test)


def test_together_is_not_permitted_where_one_of_its_triggers_is_not(api):
    async def test(api):
        course = (await api.open())["id"]
        both = {"together": [{"trigger": "record_consent", "data": {"scope": "treatment"}}, NOTE]}
        answer = await api.post(f"/v1/courses/{course}/transitions", both, "ehr", If_Match='"1"')
        assert answer.status_code == 403
        is_problem(answer, "trigger-not-permitted")
        assert answer.json()["trigger"] == "note"
        assert await api.version(course) == 1

    api(test)
