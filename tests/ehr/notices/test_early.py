"""Notices that came before their client's course was opened: once it is, they are applied by themselves, in the order they came."""

import asyncio
import datetime as dt
import json

import msgspec
import pytest
from faults.service import environment
from support import forks
from support.ehr_sender import Ehr, course, inbox, journal, settled, started, status
from support.fhir_bodies import IPT, START, appointment, at, encounter, form
from support.http_client import running

from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store import notices as stored

CAME_EARLY = "The EHR sent this before the course was opened."
SOON = {"IPT_ATTENTION_SCAN_SECONDS": "1"}


@pytest.fixture
def with_ehr(database_url):
    """Runs a test with a source of FHIR, on both databases, without a course of EHR-9."""

    def run(test, **source):
        async def inside():
            found = configuration.load({"IPT_DATABASE_URL": database_url, "IPT_RELAY": "false", **SOON})
            clock = VirtualClock(START)
            async with running(found, clock) as api:
                ehr = await Ehr.register(api, kind="bearer", **source)
                clock.advance(dt.timedelta(days=14))
                return await test(api, ehr)

        return asyncio.run(inside())

    return run


def of_nine(resource: dict) -> dict:
    return {**resource, "subject": {"reference": "Patient/EHR-9"}}


def referral() -> dict:
    order = {"resourceType": "ServiceRequest", "id": "S1", "status": "active", "intent": "order", "code": IPT}
    return of_nine({**order, "authoredOn": at(5), "meta": {"lastUpdated": at(13)}})


async def send_early(ehr) -> list[str]:
    """A form with risk, its correction, a booking, and a visit of shortly before the course."""
    nine = [{"actor": {"reference": "Patient/EHR-9"}}]
    sent = [
        of_nine(form([1] * 8 + [0], "Q1")),
        of_nine(form([2] * 8 + [1], "Q2", authored=at(8))),
        of_nine(form([1] * 7 + [2, 0], "Q1", version=2)),
        appointment("A1", participant=nine, start=at(20), end=at(20, minutes=50)),
        of_nine(encounter("E1", period={"start": at(3), "end": at(3, minutes=50)})),
    ]
    return [status(await ehr.fhir(each)) for each in sent]


async def check(api, opened: str) -> None:
    await settled(api)
    entries = await journal(api, opened)
    made = [
        (each["trigger"], each["data"].get("ref")) for each in entries if each["actor"]["person"] == "ehr:north" and each["seq"] > 1
    ]
    assert made == [
        ("record_measure", "QuestionnaireResponse/Q2"),
        ("record_measure", "QuestionnaireResponse/Q1"),
        ("book_session", "Appointment/A1"),
    ]
    assert {each["reason"] for each in entries if each["seq"] > 1} == {CAME_EARLY}
    found = await course(api, opened)
    assert (found["measures"]["phq9@1"]["count"], "risk" in found["attention"]) == (2, True)
    assert [(each["resource"], each["course"]) for each in await inbox(api)] == [("Encounter/E1", opened)]  # before the course


def test_they_are_applied_when_the_course_is_opened_over_http(with_ehr):
    async def test(api, ehr):
        assert await send_early(ehr) == ["waiting"] * 5
        assert {each["course"] for each in await inbox(api)} == {None}
        await check(api, (await api.open("EHR-9", occurred_at=at(5)))["id"])

    with_ehr(test)


def test_they_are_applied_when_the_course_is_opened_by_a_referral(with_ehr):
    async def test(api, ehr):
        await send_early(ehr)
        assert status(await ehr.fhir(referral())) == "applied"
        (opened,) = (await api.get("/v1/courses", "supervisor")).json()["items"]
        await check(api, opened["id"])

    with_ehr(test)


def test_they_are_applied_when_another_process_imports_the_course(with_ehr, database_url, tmp_path):
    line = {"course": "X", "trigger": "refer", "client_ref": "EHR-9", "therapist": "therapist-1", "occurred_at": at(5)}
    line["data"] = {"source": "General practitioner", "indication": "depression"}
    (tmp_path / "courses.ndjson").write_text(json.dumps(line) + "\n", encoding="utf-8")

    async def test(api, ehr):
        await send_early(ehr)
        done = await asyncio.to_thread(forks.run, "import", str(tmp_path / "courses.ndjson"), env=environment(database_url))
        assert done.returncode == 0, done.stderr
        while not (found := (await api.get("/v1/courses", "supervisor")).json()["items"]):
            await asyncio.sleep(0.05)
        await check(api, found[0]["id"])

    with_ehr(test)


def test_they_wait_for_their_own_client_alone(with_ehr):
    async def test(api, ehr):
        await send_early(ehr)
        await started(api)
        await settled(api)
        assert len(await inbox(api)) == 4

    with_ehr(test)


def test_one_that_the_machine_refuses_then_waits_for_a_person(with_ehr):
    async def test(api, ehr):
        assert status(await ehr.fhir(of_nine(encounter()))) == "waiting"
        opened = (await api.open("EHR-9", occurred_at=at(5)))["id"]
        await settled(api)
        (waits,) = await inbox(api)
        assert (waits["course"], bool(waits["refusals"] or waits["why"])) == (opened, True)
        assert "no course" not in waits["why"]

    with_ehr(test)


def test_one_that_nobody_can_read_any_more_waits_and_holds_up_no_other(with_ehr):
    async def test(api, ehr):
        await send_early(ehr)
        await api.clinic.write(spoil)
        opened = (await api.open("EHR-9", occurred_at=at(5)))["id"]
        await settled(api)
        assert [each["resource"] for each in await inbox(api)] == ["QuestionnaireResponse/Q1", "Encounter/E1"]
        assert (await course(api, opened))["measures"]["phq9@1"]["count"] == 1

    with_ehr(test)


def spoil(connection, organisation: str) -> None:
    statement = "UPDATE notice SET body = '[]' WHERE resource = 'QuestionnaireResponse/Q1' AND status = 'waiting'"
    connection.exec_driver_sql(
        statement.replace("'[]'", "'\\x5b5d'::bytea") if connection.dialect.name == "postgresql" else statement
    )


@pytest.mark.parametrize("visits", ({}, {"all_visits": True}), ids=("coded", "all"))
def test_a_visit_that_nothing_marks_of_a_client_without_a_course_is_not_kept_unless_all_are_ours(with_ehr, visits):
    async def test(api, ehr):
        visit = of_nine(encounter())
        del visit["type"]
        answer = (await ehr.fhir(visit)).json()
        assert (answer["status"], answer.get("reason")) == (("waiting", None) if visits else ("ignored", "client"))

    with_ehr(test, **visits)


def test_an_error_in_one_holds_up_no_other(with_ehr, monkeypatch):
    async def test(api, ehr):
        notices = api.services.notices
        content_of = notices.content_of

        def broken(source, notice, body):
            if notice.resource == "QuestionnaireResponse/Q2":
                raise RuntimeError("unexpected")
            return content_of(source, notice, body)

        await send_early(ehr)
        monkeypatch.setattr(notices, "content_of", broken)
        opened = (await api.open("EHR-9", occurred_at=at(5)))["id"]
        async with asyncio.timeout(10):
            while await refs(api, opened) != ["QuestionnaireResponse/Q1", "Appointment/A1"]:
                await asyncio.sleep(0.05)
        monkeypatch.undo()
        await settled(api)
        assert (await refs(api, opened))[-1] == "QuestionnaireResponse/Q2"

    with_ehr(test)


async def refs(api, opened: str) -> list[str]:
    return [
        each["data"]["ref"] for each in await journal(api, opened) if each["actor"]["person"] == "ehr:north" and each["seq"] > 1
    ]


def test_one_that_a_newer_version_marks_meanwhile_is_not_applied(with_ehr, monkeypatch):
    async def test(api, ehr):
        assert status(await ehr.fhir(of_nine(form([1] * 8 + [3])))) == "waiting"
        assert status(await ehr.fhir(of_nine(form([1] * 8 + [0], version=2)))) == "waiting"
        read = stored.awaiting_course

        def before(*sent):
            return [msgspec.structs.replace(each, detail=None) for each in read(*sent)]

        monkeypatch.setattr(stored, "awaiting_course", before)
        opened = (await api.open("EHR-9", occurred_at=at(5)))["id"]
        await settled(api)
        assert [each["data"]["items"][8] for each in await journal(api, opened) if each["trigger"] == "record_measure"] == [0]
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["course"]) == (True, opened)

    with_ehr(test)
