"""What the audit log says of a transition beside its entry, of exports under way, and of what was refused to readers."""

import asyncio
import csv
import datetime as dt
import io
import json
from typing import Any

import pytest
from support import group_walk
from support.ehr_sender import Ehr, started, status
from support.http_client import OPERATOR, START, Api, running
from support.http_server import served, token
from support.raw_http import RawClient, exchange, request

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import LongRequestsFull, NotFound, Unauthenticated
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access import streams
from ipt_workflow.service.access.streams import RunningStream
from ipt_workflow.service.access.tokens import NewToken
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.store.audit import AuditFilters

NOTE = {"trigger": "note", "data": {"text": "x"}}
REFERRAL = {"client_ref": "EHR-7", "protocol": "ipt", "data": {"source": "x", "indication": "depression"}}
CONSENT = {"type": "consent.given", "timestamp": "2026-01-05T09:00:00Z", "data": {"client_ref": "EHR-1", "scope": "sharing"}}


async def log(api: Api, query: str = "") -> list[dict[str, Any]]:
    return (await api.get(f"/v1/audit?limit=200&{query}", "auditor")).json()["items"]


async def last_id(api: Api) -> str | None:
    return (await log(api, "kind=transition"))[-1]["request_id"]


# The request of a transition


def test_every_way_to_write_an_entry_names_its_request(api):
    async def test(api):
        opened = await api.client.post("/v1/courses", json=REFERRAL, headers=api.headers("therapist", X_Request_Id="r-open"))
        assert opened.status_code == 201, opened.text
        course = opened.json()["course"]["id"]
        path = f"/v1/courses/{course}/transitions"
        assert await last_id(api) == "r-open"
        assert (await api.post(path, NOTE, If_Match='"1"', X_Request_Id="r-fast")).status_code == 201
        assert await last_id(api) == "r-fast"
        assert (await api.post(f"{path}?dry_run=false", NOTE, If_Match='"2"', X_Request_Id="r-routed")).status_code == 201
        assert await last_id(api) == "r-routed"
        call = {"client_ref": "EHR-7", "together": [{"trigger": "record_contact", "data": {"kind": "crisis"}}]}
        assert (await api.post("/v1/courses/crisis-calls", call, X_Request_Id="r-crisis")).status_code == 201
        assert await last_id(api) == "r-crisis"
        await api.walk(course, "record_consent", "start", "record_evaluation")
        version = await api.version(course)
        waiver = {"trigger": "waive_sick_role", "reason": "Not wanted."}
        made = await api.post(f"/v1/courses/{course}/proposals", waiver, If_Match=f'"{version}"')
        cosigned = await api.post(f"/v1/proposals/{made.json()['id']}/cosign", None, "supervisor", X_Request_Id="r-cosign")
        assert cosigned.status_code == 201, cosigned.text
        assert await last_id(api) == "r-cosign"
        made_up = {each["request_id"] for each in await log(api, f"kind=transition&course={course}")}
        assert None not in made_up

    api(test)


def test_an_entry_that_a_notice_made_names_the_request_that_brought_it(api):
    async def test(api):
        await started(api)
        ehr = await Ehr.register(api)
        answer = await ehr.send(CONSENT, **{"x-request-id": "r-notice"})
        assert status(answer) == "applied"
        assert await last_id(api) == "r-notice"

    api(test, VirtualClock(START))


def test_entries_of_a_groups_session_name_its_request(tmp_path):
    async def test() -> None:
        async with running(group_walk.settings(tmp_path)) as api:
            course = (await api.open(protocol=group_walk.PROTOCOL))["id"]
            await api.walk(course, "record_consent", "start")
            made = await api.post("/v1/groups", {"protocol": group_walk.PROTOCOL, "label": "G-1"})
            path = made.headers["location"]
            assert (await api.post(f"{path}/members", {"course": course}, If_Match='"1"')).status_code == 201
            session = await api.post(f"{path}/sessions", {"attendance": {course: "5"}}, If_Match='"2"', X_Request_Id="r-group")
            assert session.json()["accepted"], session.text
            assert await last_id(api) == "r-group"
            signed = await api.post(f"{path}/sessions/{session.json()['session']['id']}/sign", {}, X_Request_Id="r-sign")
            assert signed.json()["signed"], signed.text
            assert await last_id(api) == "r-sign"

    asyncio.run(test())


# Overridden rules


def test_overridden_rules_are_in_the_log_and_in_every_export(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        for override in ({}, {"override": {"rules": ["overlaps_session"], "reason": "A second visit."}}):
            recorded = await api.fire(course, "record_session", {"attendance": "5"}, **override)
            assert recorded.status_code == 201, recorded.text
        overriding = [each["rules"] for each in await log(api, "kind=transition")]
        assert overriding == [[], [], [], [], ["overlaps_session"]]
        exported = {name: (await api.get(f"/v1/audit/export?format={name}", "auditor")).text for name in ("ndjson", "csv", "fhir")}
        lines = [json.loads(line) for line in exported["ndjson"].splitlines()]
        assert [each["rules"] for each in lines if each["kind"] == "transition"] == overriding
        rows = list(csv.DictReader(io.StringIO(exported["csv"])))
        assert [each["rules"] for each in rows if each["kind"] == "transition"] == ["", "", "", "", "overlaps_session"]
        events = [json.loads(line) for line in exported["fhir"].splitlines()]
        details = [detail for each in events for entity in each["entity"] for detail in entity.get("detail", ())]
        assert [each["valueString"] for each in details if each["type"] == "overridden"] == ["overlaps_session"]

    api(test)


# Exports under way


async def auditor(api: Api) -> tuple[Principal, str]:
    """An auditor by a token, and the token's id."""
    made = await api.services.tokens.create(OPERATOR, NewToken(role="auditor", name="a-2"))
    return (await api.front_desk.credentials.identify(made.token))[1], made.id


def few(settings: Any, **more: Any) -> Any:
    return settings.model_copy(update={"export_chunk": 1, **more})


@pytest.mark.parametrize("end", ("revoked", "not-revoked"))
def test_an_export_ends_when_its_token_is_revoked(settings, end):
    async def test() -> None:
        async with running(few(settings)) as api:
            await api.open()
            principal, token_id = await auditor(api)
            chunks = await AuditLog(api.clinic).export(principal, AuditFilters())
            assert len(await anext(chunks)) == 1
            if end == "not-revoked":
                assert len([chunk async for chunk in chunks]) > 3
                return
            await api.services.tokens.revoke(OPERATOR, token_id)
            with pytest.raises(Unauthenticated):
                await anext(chunks)
            assert api.clinic.installation.long_requests.running == 0

    asyncio.run(test())


def test_a_token_that_merely_expires_ends_no_export_for_an_hour(settings):
    async def test() -> None:
        clock = VirtualClock(START)
        async with running(few(settings), clock) as api:
            await api.open()
            principal, _ = await auditor(api)
            clock.advance(dt.timedelta(seconds=1))  # an export is of what was recorded before it
            chunks = await AuditLog(api.clinic).export(principal, AuditFilters())
            await anext(chunks)
            clock.advance(-dt.timedelta(seconds=1))
            for passed in (dt.timedelta(days=settings.token_days), streams.GRACE - dt.timedelta(seconds=1)):
                clock.advance(passed)
                assert len(await anext(chunks)) == 1
            clock.advance(dt.timedelta(seconds=1))
            with pytest.raises(Unauthenticated):
                await anext(chunks)

    asyncio.run(test())


def test_an_export_ends_when_its_organisation_is_suspended(settings):
    async def test() -> None:
        async with running(few(settings)) as api:
            await api.open()
            principal, _ = await auditor(api)
            chunks = await AuditLog(api.clinic).export(principal, AuditFilters())
            await anext(chunks)
            suspended = {"status": "suspended"}
            changed = await api.client.patch("/v1/organisations/default", json=suspended, headers=api.headers("operator"))
            assert changed.status_code == 200
            with pytest.raises(Unauthenticated, match="suspended"):
                await anext(chunks)

    asyncio.run(test())


def test_a_stream_about_a_course_ends_when_its_reader_sees_the_course_no_more(api):
    async def test(api):
        course = (await api.open())["id"]
        principal = Principal(person="therapist-1", role="therapist")
        stream = RunningStream(api.clinic, principal, [course])
        await stream.check()
        await api.fire(course, "transfer", {"therapist": "therapist-2", "handover": "Talked through."}, reason="Moved.")
        with pytest.raises(NotFound):
            await stream.check()

    api(test)


def test_an_export_at_the_command_line_has_no_token_that_could_end(settings):
    async def test() -> None:
        async with running(few(settings)) as api:
            await api.open()
            auditing = Principal(person="auditor-1", role="auditor", via="cli")
            assert len([chunk async for chunk in await AuditLog(api.clinic).export(auditing, AuditFilters())]) > 3

    asyncio.run(test())


def test_who_reads_an_export_that_ends_early_does_not_take_it_for_whole(settings, monkeypatch):
    """The connection ends without the last chunk."""
    settings = few(settings)
    bearer = token(settings, "auditor")
    checked = []

    async def check(self: RunningStream) -> None:
        checked.append(self.principal.token)
        if len(checked) > 1:
            raise Unauthenticated("The token has been revoked.")

    monkeypatch.setattr("ipt_workflow.service.access.streams.RunningStream.check", check)
    with served(settings) as url, RawClient(url) as client:
        client.send(request("GET", "/v1/audit/export", f"Authorization: Bearer {bearer}"))
        with pytest.raises(EOFError):
            client.answer()
        assert exchange(url, request("GET", "/health/live")).status == 200
    assert len(checked) == 2


def test_only_so_many_long_requests_run_at_once(settings):
    async def test() -> None:
        async with running(few(settings, long_requests_max=2)) as api:
            principal, _ = await auditor(api)
            running_ones = [await AuditLog(api.clinic).export(principal, AuditFilters()) for _ in range(2)]
            for path in ("/v1/audit/export", "/v1/audit/verify"):
                answer = await api.get(path, "auditor")
                assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
                assert int(answer.headers["retry-after"]) == LongRequestsFull.retry_seconds
            assert (await api.get("/v1/audit", "auditor")).status_code == 200
            await running_ones.pop().aclose()  # type: ignore[attr-defined]
            assert (await api.get("/v1/audit/verify", "auditor")).status_code == 200
            assert (await api.get("/v1/audit/export", "auditor")).status_code == 200
            assert api.clinic.installation.long_requests.running == 1

    asyncio.run(test())


def test_an_export_that_nobody_reads_any_more_leaves_its_place(settings):
    bearer = token(settings, "auditor")
    settings = few(settings, long_requests_max=1)
    export = request("GET", "/v1/audit/export", f"Authorization: Bearer {bearer}")
    with served(settings) as url:
        for _ in range(3):
            with RawClient(url) as client:
                client.send(export)
        for _ in range(200):
            answer = exchange(url, export)
            if answer.status == 200:
                break
        assert answer.status == 200


# What was refused to readers


def test_a_course_of_somebody_else_is_not_found_and_that_they_asked_is_recorded(api):
    async def test(api):
        course = (await api.open())["id"]
        api.tokens["foreign"] = (await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="t-2"))).token
        assert (await api.get(f"/v1/courses/{course}", "foreign")).status_code == 404
        assert (await api.get("/v1/courses/00000000-0000-7000-8000-000000000000", "foreign")).status_code == 404
        (found,) = await log(api, "kind=refusal")
        assert (found["actor"]["person"], found["action"], found["trigger"]) == ("t-2", "see a course", None)
        assert (found["courses"], found["rules"]) == ([course], ["hidden"])
        assert found["request_id"]
        events = (await api.get("/fhir/R4/AuditEvent?outcome=4", "auditor")).json()["entry"]
        (event,) = (each["resource"] for each in events)
        assert (event["action"], event["outcomeDesc"]) == ("R", "Refused: hidden")

    api(test)
