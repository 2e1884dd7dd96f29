"""Who had to do with a client, and what was disclosed of them: as JSON, CSV and AuditEvents, for whoever treats the client."""

import csv
import datetime as dt
import io
import json
import sqlite3
import zipfile
from contextlib import closing

import pytest
from support import databases, fhir_validators
from support.http_client import OPERATOR, START

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal
from ipt_workflow.journal.disclosures import six_years_before
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.tokens import NewToken

REPORT, ACCOUNTING, DISCLOSURES = "/v1/clients/access-report", "/v1/clients/accounting", "/v1/clients/disclosures"
COURT = {"recipient": "Family court, room 3", "address": "1 High Street", "what": "The letter of 3 March", "purpose": "HLEGAL"}


async def seen_client(api, ref="EHR-1") -> str:
    """A client whose course a therapist, a supervisor and an EHR read, and a stranger tried to."""
    course = (await api.open(ref))["id"]
    await api.walk(course, "record_consent", "start")
    for _ in range(2):
        await api.get(f"/v1/courses/{course}", "supervisor")
    await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "ehr")
    return course


async def posted(api, path, body, role="therapist", status=200):
    answer = await api.post(path, body, role)
    assert answer.status_code == status, answer.text
    return answer


def test_everybody_is_listed_with_why_they_might_how_often_first_and_last(api):
    async def test(api):
        course = await seen_client(api)
        report = (await posted(api, REPORT, {"client_ref": "EHR-1"})).json()
        assert (report["client_ref"], report["courses"]) == ("EHR-1", [course])
        found = {(each["person"], each["kind"], each["action"]): each for each in report["items"]}
        assert found["supervisor-1", "read", "course"] | {"first_at": "", "last_at": ""} == {
            "kind": "read",
            "action": "course",
            "person": "supervisor-1",
            "name": "supervisor-1",
            "role": "supervisor",
            "basis": "organisation",
            "purpose": "HQUALIMP",
            "rules": None,
            "times": 2,
            "first_at": "",
            "last_at": "",
        }
        assert found["therapist-1", "transition", None]["times"] == 3
        assert found["ehr-1", "read", "fhir read EpisodeOfCare"]["name"] == "ehr"
        again = (await posted(api, REPORT, {"course": course})).json()["items"]
        assert [each["times"] for each in again if each["action"] == "access report"] == [1]

    api(test)


def test_a_time_narrows_it_and_an_end_before_its_beginning_is_refused(api):
    async def test(api):
        await seen_client(api)
        api.clinic.clock.advance(dt.timedelta(days=2))
        later = (START + dt.timedelta(days=1)).isoformat()
        assert (await posted(api, REPORT, {"client_ref": "EHR-1", "from": later})).json()["items"] == []
        assert (await posted(api, REPORT, {"client_ref": "EHR-1", "to": later})).json()["items"] != []
        wrong = await posted(api, REPORT, {"client_ref": "EHR-1", "from": later, "to": START.isoformat()}, status=422)
        assert wrong.json()["errors"][0]["where"] == "to"
        assert [(await api.post(path, {}, "admin")).status_code for path in (REPORT, ACCOUNTING, DISCLOSURES)] == [403] * 3
        for body in ({}, {"client_ref": "EHR-1", "course": "x"}, {"client_ref": "EHR-1", "whom": "x"}):
            assert (await api.post(REPORT, body)).status_code == 422

    api(test, VirtualClock(START))


def test_the_report_of_one_client_says_nothing_of_another(api):
    async def test(api):
        course, other = await seen_client(api), await seen_client(api, "EHR-2")
        await api.get("/v1/courses", "supervisor")
        lines = (await posted(api, f"{REPORT}?format=fhir", {"client_ref": "EHR-1"})).text
        assert course in lines
        assert other not in lines
        events = [json.loads(line) for line in lines.splitlines()]
        assert {each["resourceType"] for each in events} == {"AuditEvent"}
        assert fhir_validators.faults(events) == [[]] * len(events)

    api(test)


def test_a_table_holds_no_formula(api):
    async def test(api):
        await seen_client(api)
        await posted(api, DISCLOSURES, {"client_ref": "EHR-1", **COURT, "recipient": "=cmd()"}, status=201)
        table = list(csv.DictReader(io.StringIO((await posted(api, f"{ACCOUNTING}?format=csv", {"client_ref": "EHR-1"})).text)))
        assert [(each["recipient"], each["what"], each["times"]) for each in table] == [("'=cmd()", "The letter of 3 March", "1")]
        report = list(csv.DictReader(io.StringIO((await posted(api, f"{REPORT}?format=csv", {"client_ref": "EHR-1"})).text)))
        assert ("supervisor-1", "course") in {(each["person"], each["action"]) for each in report}
        assert (await api.post(f"{REPORT}?format=pdf", {"client_ref": "EHR-1"})).status_code == 422

    api(test)


def test_an_accounting_has_what_the_rule_asks_for_and_on_request_everything(api):
    async def test(api):
        course = await seen_client(api)
        for days in (0, 2, 5):
            at = (START - dt.timedelta(days=days)).isoformat()
            await posted(api, DISCLOSURES, {"client_ref": "EHR-1", **COURT, "disclosed_at": at}, status=201)
        agreed = {"client_ref": "EHR-1", **COURT, "recipient": "Her employer", "authorised": True}
        await posted(api, DISCLOSURES, agreed, status=201)
        await posted(api, DISCLOSURES, {**agreed, "recipient": "Her doctor", "purpose": "TREAT", "authorised": False}, status=201)
        found = (await posted(api, ACCOUNTING, {"course": course})).json()
        (one,) = found["items"]
        assert one == {
            "recipient": COURT["recipient"],
            "address": COURT["address"],
            "what": [COURT["what"]],
            "purpose": "HLEGAL",
            "authorised": False,
            "way": "recorded",
            "times": 3,
            "first_at": "2025-12-31T09:00:00Z",
            "last_at": "2026-01-05T09:00:00Z",
        }
        every = (await posted(api, ACCOUNTING, {"course": course, "every": True})).json()["items"]
        assert {(each["recipient"], each["way"], each["purpose"]) for each in every} == {
            (COURT["recipient"], "recorded", "HLEGAL"),
            ("Her employer", "recorded", "HLEGAL"),
            ("Her doctor", "recorded", "TREAT"),
            ("ehr", "read", "TREAT"),
        }
        lines = (await posted(api, f"{ACCOUNTING}?format=fhir", {"course": course, "every": True})).text.splitlines()
        events = [json.loads(line) for line in lines]
        assert fhir_validators.faults(events) == [[]] * len(every)
        assert [each["period"]["start"] for each in events] == [each["first_at"] for each in every]

    api(test, VirtualClock(START))


def test_an_accounting_reaches_six_years_back(api):
    async def test(api):
        await seen_client(api)
        for years, times in ((7, 0), (5, 1)):
            at = START.replace(year=START.year - years).isoformat()
            await posted(api, DISCLOSURES, {"client_ref": "EHR-1", **COURT, "disclosed_at": at}, status=201)
            items = (await posted(api, ACCOUNTING, {"client_ref": "EHR-1"})).json()["items"]
            assert [each["times"] for each in items] == [1] * times
        all_of = (await posted(api, ACCOUNTING, {"client_ref": "EHR-1", "from": "2000-01-01T00:00:00Z"})).json()["items"]
        assert [each["times"] for each in all_of] == [2]
        assert six_years_before(dt.datetime(2024, 2, 29, tzinfo=dt.UTC)) == dt.datetime(2018, 2, 28, tzinfo=dt.UTC)

    api(test, VirtualClock(START))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"recipient": ""}, "recipient"),
        ({"what": "x" * 1001}, "what"),
        ({"purpose": "CURIOSITY"}, "purpose"),
        ({"disclosed_at": "2999-01-01T00:00:00Z"}, "disclosed_at"),
        ({"disclosed_at": "yesterday"}, "disclosed_at"),
    ],
)
def test_a_disclosure_that_is_not_whole_is_refused(api, change, where):
    async def test(api):
        await api.open()
        answer = await posted(api, DISCLOSURES, {"client_ref": "EHR-1", **COURT, **change}, status=422)
        assert [each["where"] for each in answer.json()["errors"]] == [where]

    api(test)


def test_what_was_disclosed_is_sealed_and_in_no_record(api, settings):
    async def test(api):
        course = await seen_client(api)
        await posted(api, DISCLOSURES, {"client_ref": "EHR-1", **COURT}, status=201)
        records = (await api.get(f"/v1/audit?course={course}&kind=access", "auditor")).json()["items"]
        assert [(each["action"], each["actor"]["person"]) for each in records] == [("disclosure recorded", "therapist-1")]
        assert "court" not in json.dumps(records).lower()
        with closing(sqlite3.connect(databases.path_of(settings))) as connection:
            connection.execute("UPDATE access_text SET salt = NULL, sealed = NULL")
            connection.commit()
        (one,) = (await posted(api, ACCOUNTING, {"course": course})).json()["items"]
        assert (one["recipient"], one["what"], one["purpose"], one["times"]) == (None, [], "HLEGAL", 1)

    api(test)


def test_who_sees_a_client_by_emergency_access_alone_reads_no_report_of_them(api):
    async def test(api):
        course = await seen_client(api)
        made = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="duty", subject="therapist-2"))
        api.tokens["duty"] = made.token
        assert (await api.post(REPORT, {"course": course}, "duty")).status_code == 404
        new = NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called.")
        await api.services.emergencies.start(Principal(person="therapist-2", role="therapist", via="cli"), lambda: new)
        assert (await api.post(REPORT, {"course": course}, "duty")).status_code == 403
        refused = (await api.get(f"/v1/audit?course={course}&kind=refusal", "auditor")).json()["items"]
        assert [each["rules"] for each in refused] == [["hidden"], ["role"]]

    api(test)


def test_an_export_is_sent_as_a_file_to_a_person_who_signed_in_and_to_no_token(api):
    async def test(api):
        await seen_client(api)
        asked = {"client_ref": "EHR-1", "ground": "gdpr-15"}
        assert (await api.post("/v1/clients/export", asked)).json()["type"] == "/problems/person-needed"
        sessions = api.services.sessions
        begun = await sessions.begin("therapist-1", ["therapist"], "oidc", authenticated_at=api.clinic.clock.now())
        api.tokens["session"] = (await sessions.open_access(begun.session)).access
        plan = (await posted(api, "/v1/clients/export?dry_run=true", asked, "session")).json()
        assert (plan["entries"], plan["ground"]) == (3, "gdpr-15")
        answer = await posted(api, "/v1/clients/export", asked, "session")
        assert (answer.headers["content-type"], answer.headers["content-disposition"]) == (
            "application/zip",
            'attachment; filename="client.zip"',
        )
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
        assert (await posted(api, "/v1/clients/export", {"client_ref": "EHR-1", "ground": "curiosity"}, "session", 422)).json()[
            "errors"
        ][0]["where"] == "ground"
        assert (await api.post("/v1/clients/export", {**asked, "client_ref": "EHR-9"}, "session")).status_code == 404

    api(test)
