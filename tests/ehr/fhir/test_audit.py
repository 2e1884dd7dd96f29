"""AuditEvents: every kind of record of the audit log, on the profile that fits it."""

import base64
import datetime as dt
import json

import msgspec
import pytest
from support import fhir_validators

from ipt_workflow.ehr.fhir.audit_events import audit_event
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.journal import EntryActor
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.store.schema import tables

SITE = Site(
    canonical="urn:ipt-workflow", patient_system="urn:ipt-workflow:client-ref", organisation="default", base="http://ipt/fhir/R4"
)
AT = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
ONE, TWO = "0197c8f2-0000-7000-8000-000000000001", "0197c8f2-0000-7000-8000-000000000002"
CLIENTS = {ONE: SITE.client("EHR-1", "c1"), TWO: SITE.client("EHR-2", "c2")}


def record(kind="read", action="course", courses=(ONE,), **more) -> AuditRecord:
    fields = {
        "id": "0197c8f2-0000-7000-8000-00000000000a",
        "kind": kind,
        "recorded_at": AT,
        "actor": EntryActor("therapist-1", "therapist", "api"),
        "cosigned_by": None,
        "action": action,
        "trigger": None,
        "from_": None,
        "to": None,
        "courses": courses,
        "seq": None,
        "hash": None,
        "rules": (),
        "request_id": "req-1",
    }
    return AuditRecord(**{**fields, **more})


def event(record: AuditRecord) -> dict:
    return msgspec.json.decode(msgspec.json.encode(audit_event(record, CLIENTS, SITE)))


RECORDS = {
    "a referral": (record("transition", "refer", seq=1), "PatientCreate"),
    "a course taken over": (record("transition", "adopt", seq=1, cosigned_by="supervisor-1"), "PatientCreate"),
    "a transition": (record("transition", "record_session", seq=4), "PatientUpdate"),
    "one for a colleague": (
        record("transition", "sign_session", seq=5, basis="cover", purpose="TREAT", on_behalf_of="therapist-2"),
        "PatientUpdate",
    ),
    "a cosigned transition": (record("transition", "extend_phase", seq=5, cosigned_by="supervisor-1"), "PatientUpdate"),
    "one by an EHR": (record("transition", "record_measure", seq=6, actor=EntryActor("ehr-1", "ehr", "api")), "PatientUpdate"),
    "a course read": (record(action="course"), "PatientRead"),
    "options read": (record(action="options"), "PatientRead"),
    "a history read": (record(action="history"), "PatientRead"),
    "an entry read": (record(action="entry"), "PatientRead"),
    "a preview": (record(action="preview"), "PatientRead"),
    "a course verified": (record(action="verify"), "PatientRead"),
    "a FHIR read": (record(action="fhir read Encounter"), "PatientRead"),
    "a FHIR version read": (record(action="fhir vread EpisodeOfCare"), "PatientRead"),
    "a FHIR history read": (record(action="fhir history EpisodeOfCare"), "PatientRead"),
    "a FHIR search that showed two": (record(action="fhir search Encounter", courses=(ONE, TWO)), "Query"),
    "a FHIR search that showed one": (record(action="fhir search Encounter"), "PatientQuery"),
    "everything of a client read": (record(action="fhir everything Patient"), None),
    "an AuditEvent read": (record(action="fhir read AuditEvent"), "PatientQuery"),
    "a caseload of two": (record(action="caseload", courses=(ONE, TWO), basis="cover", purpose="TREAT"), "Query"),
    "a caseload of one": (record(action="caseload"), "PatientQuery"),
    "an empty caseload": (record(action="caseload", courses=()), "Query"),
    "the audit log read": (record(action="audit", courses=(ONE, TWO)), "Query"),
    "proposals read": (record(action="proposals"), "PatientQuery"),
    "everything verified": (record(action="verify", courses=()), "Query"),
    "an export": (record("export", "audit", ()), "Query"),
    "an export of one course": (record("export", "audit"), "PatientQuery"),
    "a proposal": (record("proposal", "proposed"), "PatientUpdate"),
    "a proposal declined": (record("proposal", "declined"), "PatientUpdate"),
    "a token created": (record("config", "token 0123456789abcdef created", ()), "Create"),
    "a token revoked": (record("config", "token 0123456789abcdef revoked", ()), "Update"),
    "a refusal": (record("refusal", "begin_middle", rules=("sick_role_resolved", "no_acute_risk")), None),
    "a refused referral": (record("refusal", "refer", ()), None),
    "a role refused": (record("refusal", "change a course", rules=("role",)), None),
    "a role refused to open": (record("refusal", "open a course", (), rules=("role",)), None),
    "a delivery": (record("delivery", "delivered evt_0197c8f3-10aa-7b02-b1c4-3d9e5a7f6c55", (ONE,)), None),
    "deliveries replayed": (record("delivery", "subscription 0197c8f2-9b1c-7f44-8a2d-0a4d6f1e2b33 replayed", ()), None),
    "a notice": (record("notice", "applied", (ONE,)), None),
    "a feed of one course": (record(action="events", courses=(ONE,)), "PatientQuery"),
    "a subscription made": (record("config", "subscription 0197c8f2-9b1c-7f44-8a2d-0a4d6f1e2b33 created", ()), "Create"),
    "a restricted course": (record("access", "course restricted", (ONE,), basis="organisation", purpose="HQUALIMP"), None),
    "emergency access": (record("access", "emergency access started", (ONE,), basis="emergency", purpose="ETREAT"), None),
    "emergency access ended": (record("access", "emergency access ended", (ONE,), basis="emergency", purpose="ETREAT"), None),
    "a review of emergency access": (record("access", "emergency access reviewed", (ONE, TWO)), None),
    "a sign-in": (record("sign_in", "signed in", ()), None),
    "a course whose client is not known": (record(action="course", courses=("0197c8f2-0000-7000-8000-000000000009",)), "Read"),
    "a kind that nobody has thought of": (record("something", "else", (ONE, TWO)), None),
}


@pytest.fixture(scope="module")
def events():
    return {name: event(record) for name, (record, _) in RECORDS.items()}


def test_every_kind_of_record_is_among_them():
    assert {record.kind for record, _ in RECORDS.values()} >= {"transition", *tables.AUDIT_KINDS}


def test_every_kind_of_record_is_valid_and_on_its_profile(events):
    found = fhir_validators.faults(list(events.values()))
    assert {name: faults for name, faults in zip(events, found, strict=True) if faults} == {}
    claimed = {name: each["meta"].get("profile", [""])[0].rpartition(".")[2] or None for name, each in events.items()}
    assert claimed == {name: profile for name, (_, profile) in RECORDS.items()}


def test_emergency_access_is_a_security_alert_and_says_that_the_glass_was_broken(events):
    for name, code in (("emergency access", "110127"), ("emergency access ended", "110138")):
        each = events[name]
        assert (each["type"]["code"], [coding["code"] for coding in each["subtype"]]) == ("110113", [code])
        assert [purpose["coding"][0]["code"] for purpose in each["purposeOfEvent"]] == ["ETREAT", "BTG"]
        assert f"EpisodeOfCare/{ONE}" in {entity["what"].get("reference") for entity in each["entity"] if "what" in entity}
    assert events["a review of emergency access"]["type"]["code"] == "rest"


def test_a_refusal_has_the_shape_of_what_was_tried_but_for_its_outcome(events):
    for name, profile in {"a refusal": "PatientUpdate", "a role refused": "PatientUpdate", "a refused referral": "Create"}.items():
        url = f"https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.{profile}"
        claiming = {**events[name], "meta": {"profile": [url]}}
        assert any("outcome" in fault for fault in fhir_validators.by_validator(claiming)["medplum"])
        assert fhir_validators.faults([{**claiming, "outcome": "0"}]) == [[]]


def test_a_refusal_says_which_rules_stood_against_it(events):
    assert events["a refusal"]["outcome"] == "4"
    assert events["a refusal"]["outcomeDesc"] == "Refused: sick_role_resolved, no_acute_risk"


def test_a_transition_names_the_version_it_made_and_who_cosigned(events):
    transition = events["a cosigned transition"]
    assert transition["entity"][0]["what"]["reference"] == f"EpisodeOfCare/{ONE}/_history/5"
    assert transition["agent"][2]["who"]["identifier"]["value"] == "therapist-1"
    assert {"type": "cosigned_by", "valueString": "supervisor-1"} in transition["entity"][0]["detail"]


def test_a_read_of_several_courses_names_every_course_and_every_client(events):
    entities = events["a caseload of two"]["entity"]
    assert [each["what"]["reference"] for each in entities if each["type"]["code"] == "4"] == [
        f"EpisodeOfCare/{ONE}",
        f"EpisodeOfCare/{TWO}",
    ]
    assert [each["what"]["identifier"]["value"] for each in entities if each["type"]["code"] == "1"] == ["EHR-1", "EHR-2"]


def test_the_basis_of_a_query_is_an_entity_of_its_own(events):
    (basis,) = [each for each in events["a caseload of two"]["entity"] if each["type"]["code"] == "basis"]
    assert basis["what"]["identifier"]["value"] == "cover"
    assert not any(each["type"]["code"] == "basis" for each in events["a caseload of one"]["entity"])


def test_a_query_holds_the_name_of_what_was_asked_and_nothing_of_the_request(events):
    query = next(each for each in events["a FHIR search that showed two"]["entity"] if "query" in each)
    assert base64.b64decode(query["query"]) == b"read fhir search Encounter"


def test_the_request_is_named_by_its_id(events):
    transaction = next(each for each in events["a course read"]["entity"] if each["type"]["code"] == "XrequestId")
    assert transaction["what"]["identifier"]["value"] == "req-1"


def test_an_ehr_is_a_device_and_a_therapist_a_practitioner(events):
    assert events["one by an EHR"]["agent"][2]["who"]["type"] == "Device"
    assert events["a transition"]["agent"][2]["who"]["type"] == "Practitioner"


# Over HTTP


def test_reading_as_fhir_is_itself_an_audit_event(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.get(f"/fhir/R4/EpisodeOfCare/{course}")
        found = (await api.get(f"/fhir/R4/AuditEvent?entity=EpisodeOfCare/{course}&action=R", "auditor")).json()
        (read,) = [entry["resource"] for entry in found["entry"]]
        details = {each["type"]: each["valueString"] for each in read["entity"][0]["detail"]}
        assert details == {"action": "fhir read EpisodeOfCare", "basis": "own"}
        assert read["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
        assert read["agent"][2]["who"]["identifier"]["value"] == "therapist-1"
        one = (await api.get(f"/fhir/R4/AuditEvent/{read['id']}", "auditor")).json()
        assert one == read

    api(test)


WANTED = [
    ("action=C", ["C"]),
    ("action=U", ["U", "U"]),
    ("outcome=4", ["U"]),
    ("outcome=0&action=C,U", ["C", "U"]),
    ("subtype=http://hl7.org/fhir/restful-interaction|update", ["U", "U"]),
    ("subtype=create", ["C"]),
    ("type=rest&action=C", ["C"]),
    ("type=110114", []),
    ("agent:identifier=urn:ipt-workflow:person|therapist-1&action=U", ["U", "U"]),
    ("agent:identifier=somebody", []),
    ("date=ge2100-01-01", []),
    ("date=lt2100-01-01&action=C", ["C"]),
    ("date=ge2020&date=le2100&action=C", ["C"]),
    ("entity-role=24&outcome=4", []),
]


def test_audit_events_are_searched(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        refused = await api.fire(course, "begin_middle")
        assert refused.status_code == 409
        actions = {}
        for query, _ in WANTED:
            found = (await api.get(f"/fhir/R4/AuditEvent?entity=EpisodeOfCare/{course}&{query}", "auditor")).json()
            actions[query] = [entry["resource"]["action"] for entry in found.get("entry", ())]
        assert actions == dict(WANTED)

    api(test)


def test_audit_events_are_searched_by_client_in_a_body(api):
    async def test(api):
        await api.open("EHR-1")
        await api.open("EHR-2")

        async def found(ref: str) -> list[str]:
            answer = await api.client.post(
                "/fhir/R4/AuditEvent/_search", data={"patient:identifier": ref, "action": "C"}, headers=api.headers("auditor")
            )
            assert answer.status_code == 200, answer.text
            return [entry["resource"]["entity"][1]["what"]["identifier"]["value"] for entry in answer.json().get("entry", ())]

        assert await found("EHR-2") == ["EHR-2"]
        assert await found("urn:ipt-workflow:client-ref|EHR-1") == ["EHR-1"]
        assert await found("urn:elsewhere|EHR-1") == []
        assert await found("EHR-3") == []

    api(test)


def test_pages_of_audit_events_hold_each_once(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_session")
        path, seen = f"/fhir/R4/AuditEvent?action=U&entity=EpisodeOfCare/{course}&_count=2", []
        pages = 0
        while path:
            found = (await api.get(path, "auditor")).json()
            seen += [entry["resource"]["id"] for entry in found.get("entry", ())]
            path, pages = next((link["url"] for link in found["link"] if link["relation"] == "next"), ""), pages + 1
        assert len(seen) == len(set(seen)) == 3
        assert pages == 2
        counted = (await api.get(f"/fhir/R4/AuditEvent?action=U&entity=EpisodeOfCare/{course}&_summary=count", "auditor")).json()
        assert counted["total"] == 3

    api(test)


@pytest.mark.parametrize("role", ["therapist", "ehr", "admin"])
def test_who_may_not_read_the_audit_log_is_told_so(api, role):
    async def test(api):
        answer = await api.get("/fhir/R4/AuditEvent", role)
        assert answer.status_code == 403
        assert answer.json()["issue"][0]["code"] == "forbidden"

    api(test)


def test_the_export_as_fhir_is_one_audit_event_a_line_and_is_recorded(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        answer = await api.get("/v1/audit/export?format=fhir", "auditor", Accept="application/fhir+ndjson")
        assert answer.headers["content-type"] == "application/fhir+ndjson"
        exported = [json.loads(line) for line in answer.text.splitlines()]
        assert {each["resourceType"] for each in exported} == {"AuditEvent"}
        assert [each["action"] for each in exported if each["action"] in "CU" and each["entity"][0]["what"].get("reference")] == [
            "C",
            "U",
        ]
        narrowed = await api.get("/v1/audit/export?format=fhir&kind=export", "auditor")
        assert len(narrowed.text.splitlines()) == 1  # up to the moment it was asked for
        assert (await api.get("/v1/audit/export?format=fhir", "therapist")).status_code == 403

    api(test)
