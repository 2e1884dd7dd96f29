"""Notices of our own types: each is applied or waits, has one effect however often it comes, and none is lost."""

import asyncio
import datetime as dt
import json
from pathlib import Path

import pytest
from support.ehr_sender import Ehr, course, inbox, journal, resolve, settled, started, status

from ipt_workflow.ehr.notices import relevance
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.ehr.notices.sources import VerifiedSender
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.store import sources as stored_sources

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)


def at(days: float = 0, **more) -> str:
    return (START + dt.timedelta(days=days, **more)).isoformat()


@pytest.fixture
def with_ehr(api):
    """Runs a test with a started course of EHR-1 and an EHR that sends notices, on a clock that does not move by itself."""

    def run(test, **source):
        async def inside(api):
            ehr = await Ehr.register(api, **source)
            return await test(api, ehr, await started(api))

        return api(inside, VirtualClock(START))

    return run


# Each type, applied


def test_a_referral_opens_a_course(with_ehr):
    async def test(api, ehr, _course):
        answer = await ehr.notify(
            "referral.received", {"client_ref": "EHR-2", "source": "GP", "indication": "depression", "ref": "SR/1"}
        )
        assert status(answer) == "applied"
        (made,) = (await api.get("/v1/courses?state=referred", "supervisor")).json()["items"]
        assert (made["client_ref"], made["therapist"], made["attention"]) == ("EHR-2", None, ["unassigned"])
        (entry,) = await journal(api, made["id"])
        assert entry["actor"] == {"person": "ehr:north", "role": "ehr", "via": "ehr"}

    with_ehr(test)


def test_an_appointment_is_booked_moved_and_held_as_one_session(with_ehr):
    async def test(api, ehr, course_id):
        for day in (15, 16):
            answer = await ehr.notify("appointment.booked", {"client_ref": "EHR-1", "ref": "A/1", "start": at(day)})
            assert status(answer) == "applied"
            api.clinic.clock.advance(dt.timedelta(hours=1))
        api.clinic.clock.advance(dt.timedelta(days=3))
        held = {"client_ref": "EHR-1", "ref": "A/1", "start": at(16), "attendance": "6", "minutes": 40}
        assert status(await ehr.notify("appointment.fulfilled", held)) == "applied"
        found = await course(api, course_id)
        assert [(s["attendance"], s["ref"], s["given_by"]) for s in found["sessions"]] == [("6", "A/1", "therapist-1")]
        assert [entry["trigger"] for entry in await journal(api, course_id)][-3:] == [
            "book_session",
            "book_session",
            "record_session",
        ]

    with_ehr(test)


@pytest.mark.parametrize(
    ("kind", "attendance"), (("missed", "3"), ("missed", "7"), ("cancelled", "2"), ("cancelled", "4"), ("fulfilled", "5"))
)
def test_what_became_of_an_appointment_keeps_its_code(with_ehr, kind, attendance):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7), "attendance": attendance}
        assert status(await ehr.notify(f"appointment.{kind}", data)) == "applied"
        assert [s["attendance"] for s in (await course(api, course_id))["sessions"]] == [attendance]

    with_ehr(test)


def test_a_measure_is_recorded_with_its_risk_and_blocks_signing_until_it_is_reviewed(with_ehr):
    async def test(api, ehr, course_id):
        form = {"client_ref": "EHR-1", "instrument": "phq9", "items": [1] * 8 + [2], "taken_at": at(7), "ref": "F/1"}
        assert status(await ehr.notify("measure.completed", form)) == "applied"
        assert status(await ehr.notify("appointment.fulfilled", {"client_ref": "EHR-1", "ref": "A/1", "start": at(8)})) == "applied"
        found = await course(api, course_id)
        assert found["measures"]["phq9@1"]["last"]["total"] == 10
        assert "risk" in found["attention"]
        seq = found["sessions"][0]["seq"]
        refused = await api.fire(course_id, "sign_session", {"session": seq})
        assert {each["rule"] for each in refused.json()["refusals"]} == {"risk_reviewed"}
        assert (await api.fire(course_id, "review_risk", {"level": "monitored"})).status_code == 201
        assert (await api.fire(course_id, "sign_session", {"session": seq})).status_code == 201

    with_ehr(test)


def test_a_total_is_recorded_as_well_as_answers(with_ehr):
    async def test(api, ehr, course_id):
        form = {"client_ref": "EHR-1", "instrument": "gad7", "total": 9, "taken_at": at(7), "ref": "F/1"}
        assert status(await ehr.notify("measure.completed", form)) == "applied"
        assert (await course(api, course_id))["measures"]["gad7@1"]["last"]["total"] == 9

    with_ehr(test)


def test_consent_is_given_and_withdrawn_in_every_course_of_the_client(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.notify("consent.given", {"client_ref": "EHR-1", "scope": "sharing"})) == "applied"
        assert "sharing" in (await course(api, course_id))["consents"]
        assert status(await ehr.notify("consent.withdrawn", {"client_ref": "EHR-1", "scope": "sharing"})) == "applied"
        assert "sharing" not in (await course(api, course_id))["consents"]

    with_ehr(test)


# Each type, waiting

WAITING = {
    "referral.received": {"client_ref": "EHR-1", "source": "GP"},  # refused, since the client has an open course
    "appointment.booked": {"client_ref": "EHR-9", "ref": "A/1", "start": at(20)},
    "appointment.fulfilled": {"client_ref": "EHR-1", "ref": "A/1", "start": at(-9)},  # before the course was opened
    "appointment.missed": {"client_ref": "EHR-9", "ref": "A/1", "start": at(8)},
    "appointment.cancelled": {"client_ref": "EHR-1", "course": "0197", "ref": "A/1", "start": at(8), "attendance": "2"},
    "measure.completed": {"client_ref": "EHR-1", "instrument": "phq9", "items": [3], "taken_at": at(8), "ref": "F/1"},
    "consent.given": {"client_ref": "EHR-9", "scope": "treatment"},
    "consent.withdrawn": {"client_ref": "EHR-9", "scope": "sharing"},
    "client.deceased": {"client_ref": "EHR-1", "died_on": "2026-01-18"},
    "client.merged": {"client_ref": "EHR-1", "merged_into": "EHR-3"},
    "clinician.changed": {"client_ref": "EHR-1", "therapist": "therapist-9"},
}


@pytest.mark.parametrize("kind", WAITING)
def test_what_cannot_be_applied_waits_and_says_why(with_ehr, kind):
    async def test(api, ehr, course_id):
        before = await course(api, course_id)
        assert status(await ehr.notify(kind, WAITING[kind])) == "waiting"
        (waits,) = await inbox(api)
        assert (waits["type"], waits["status"], waits["content"]["data"]) == (kind, "waiting", WAITING[kind])
        assert waits["why"]
        after = await course(api, course_id)
        assert after["version"] == before["version"]
        about_it = WAITING[kind]["client_ref"] == "EHR-1"
        assert ("notices" in after["attention"]) == about_it
        listed = (await api.get("/v1/courses?attention=notices", "therapist")).json()["items"]
        assert [each["id"] for each in listed] == ([course_id] if about_it else [])

    with_ehr(test)


def test_a_refused_notice_keeps_the_refusals_of_the_machine(with_ehr):
    async def test(api, ehr, course_id):
        for day in (1, 2, 3, 4):
            answer = await ehr.notify("appointment.fulfilled", {"client_ref": "EHR-1", "ref": f"A/{day}", "start": at(day)})
        assert status(answer) == "waiting"
        (waits,) = await inbox(api, "therapist")
        assert [each["rule"] for each in waits["refusals"]] == ["phase_session_cap"]
        assert waits["course"] == course_id

    with_ehr(test)


# Once


def test_a_notice_has_one_effect_however_often_it_comes(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        first = await ehr.notify("appointment.fulfilled", data, key="msg_1")
        assert status(first) == "applied"
        version = (await course(api, course_id))["version"]
        for _ in range(3):
            again = await ehr.notify("appointment.fulfilled", data, key="msg_1")
            assert again.json() == first.json()
        assert (await course(api, course_id))["version"] == version

    with_ehr(test)


def test_a_notice_has_one_effect_however_many_come_at_once(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        answers = await asyncio.gather(*(ehr.notify("appointment.fulfilled", data, key="msg_1") for _ in range(12)))
        assert {answer.text for answer in answers} == {answers[0].text}
        assert status(answers[0]) == "applied"
        assert len((await course(api, course_id))["sessions"]) == 1

    with_ehr(test)


def test_a_notice_that_another_process_stores_at_the_same_time_is_found(with_ehr, settings):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        other = await open_clinic(settings, api.clinic.clock)
        try:
            sender = VerifiedSender(await other.read(stored_sources.find, "north"), "standard-webhooks", "msg_1")
            body = json.dumps({"type": "appointment.fulfilled", "timestamp": at(14), "data": data}).encode()
            taken = [notices.receive(sender, body, None, None) for notices in (Notices(other), Notices(api.clinic))]
            first, second = await asyncio.gather(*taken)
            assert first == second
        finally:
            await other.installation.close()
        assert len((await course(api, course_id))["sessions"]) == 1

    with_ehr(test)


def test_one_visit_sent_under_many_ids_at_once_is_one_session(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        answers = await asyncio.gather(*(ehr.notify("appointment.fulfilled", data) for _ in range(8)))
        assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
        assert [status(answer) for answer in answers] == ["applied"] * 8
        assert len((await course(api, course_id))["sessions"]) == 1

    with_ehr(test)


def test_the_same_id_with_another_body_is_refused_and_audited(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        assert status(await ehr.notify("appointment.fulfilled", data, key="msg_1")) == "applied"
        other = await ehr.notify("appointment.missed", data, key="msg_1")
        assert (other.status_code, other.json()["type"]) == (409, "/problems/notice-reused")
        assert len((await course(api, course_id))["sessions"]) == 1
        log = (await api.get("/v1/audit?kind=notice", "auditor")).json()["items"]
        assert [each["action"] for each in log] == [
            "appointment.fulfilled applied",
            "appointment.missed waiting",
        ]
        (kept,) = await inbox(api)
        assert (kept["type"], kept["content"]["data"]) == ("appointment.missed", data)
        again = await ehr.notify("appointment.missed", data, key="msg_1")
        assert (again.status_code, len(await inbox(api))) == (409, 1)
        assert (await resolve(api, kept["id"], action="retry")).json()["status"] == "waiting"  # entry 4 says that it was held

    with_ehr(test)


def test_ids_of_one_source_are_not_those_of_another(with_ehr):
    async def test(api, ehr, course_id):
        south = await Ehr.register(api, "south")
        data = {"client_ref": "EHR-1", "scope": "recording"}
        for source in (ehr, south):
            assert status(await source.notify("consent.given", data, key="msg_1")) == "applied"

    with_ehr(test)


def test_a_notice_that_meets_an_error_of_the_service_waits(with_ehr, monkeypatch):
    async def test(api, ehr, course_id):
        async def fails(*_args):
            raise RuntimeError("a fault of ours")

        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        with monkeypatch.context() as patched:
            patched.setattr(api.services.notices.handler, "decide", fails)
            assert status(await ehr.notify("appointment.fulfilled", data, key="msg_1")) == "waiting"
        (kept,) = await inbox(api)
        assert kept["why"].startswith("The service met an error")
        assert (await resolve(api, kept["id"], action="retry")).json()["status"] == "applied"
        assert len((await course(api, course_id))["sessions"]) == 1

    with_ehr(test)


# Order


def test_a_newer_version_corrects_the_sources_own_unsigned_entry(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        assert status(await ehr.notify("appointment.missed", data, at=START)) == "applied"
        assert status(await ehr.notify("appointment.fulfilled", data, at=START + dt.timedelta(hours=1))) == "applied"
        found = await course(api, course_id)
        assert [s["attendance"] for s in found["sessions"]] == ["5"]
        last = (await journal(api, course_id))[-1]
        assert (last["trigger"], last["actor"]["person"], last["reason"]) == ("amend", "ehr:north", "The EHR sent a newer version.")

    with_ehr(test)


def test_an_older_version_that_comes_late_is_only_acknowledged(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        assert status(await ehr.notify("appointment.fulfilled", data, at=START + dt.timedelta(hours=1))) == "applied"
        version = (await course(api, course_id))["version"]
        assert status(await ehr.notify("appointment.booked", data, at=START)) == "ignored"
        assert status(await ehr.notify("appointment.missed", data, at=START)) == "ignored"
        assert (await course(api, course_id))["version"] == version

    with_ehr(test)


def test_once_signed_an_entry_is_a_persons_to_change(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)}
        assert status(await ehr.notify("appointment.fulfilled", data)) == "applied"
        seq = (await course(api, course_id))["sessions"][0]["seq"]
        assert (await api.fire(course_id, "sign_session", {"session": seq})).status_code == 201
        api.clinic.clock.advance(dt.timedelta(hours=1))
        assert status(await ehr.notify("appointment.missed", data)) == "waiting"
        (waits,) = await inbox(api)
        assert [each["rule"] for each in waits["refusals"]] == ["amendment_agreed"]

    with_ehr(test)


def test_late_notices_are_placed_where_they_happened(with_ehr):
    async def test(api, ehr, course_id):
        for day in (9, 2, 5):
            assert (
                status(await ehr.notify("appointment.fulfilled", {"client_ref": "EHR-1", "ref": f"A/{day}", "start": at(day)}))
                == "applied"
            )
        assert [s["ref"] for s in (await course(api, course_id))["sessions"]] == ["A/2", "A/5", "A/9"]

    with_ehr(test)


# One visit, one session; one form, one measure


def test_the_therapists_own_entry_of_the_visit_is_linked_and_not_doubled(with_ehr):
    async def test(api, ehr, course_id):
        assert (
            await api.fire(course_id, "record_session", {"attendance": "5", "minutes": 50}, occurred_at=at(7, minutes=5))
        ).status_code == 201
        held = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7), "end": at(7, minutes=50)}
        assert status(await ehr.notify("appointment.fulfilled", held)) == "applied"
        assert [s["ref"] for s in (await course(api, course_id))["sessions"]] == ["A/1"]
        assert (await journal(api, course_id))[-1]["trigger"] == "link_session"
        api.clinic.clock.advance(dt.timedelta(hours=1))
        assert status(await ehr.notify("appointment.fulfilled", held)) == "ignored"

    with_ehr(test)


def test_what_contradicts_the_therapists_entry_waits(with_ehr):
    async def test(api, ehr, course_id):
        assert (await api.fire(course_id, "record_session", {"attendance": "5"}, occurred_at=at(7))).status_code == 201
        assert status(await ehr.notify("appointment.missed", {"client_ref": "EHR-1", "ref": "A/1", "start": at(7)})) == "waiting"

    with_ehr(test)


def test_two_appointments_on_one_day_are_two_sessions(with_ehr):
    async def test(api, ehr, course_id):
        for ref, hour in (("A/1", 0), ("A/2", 2)):
            answer = await ehr.notify("appointment.fulfilled", {"client_ref": "EHR-1", "ref": ref, "start": at(7, hours=hour)})
            assert status(answer) == "applied"
        assert len((await course(api, course_id))["sessions"]) == 2

    with_ehr(test)


def test_a_form_the_therapist_entered_is_not_doubled(with_ehr):
    async def test(api, ehr, course_id):
        items = [1, 1, 1, 1, 1, 1, 1, 1, 0]
        entered = {"instrument": "phq9", "items": items, "taken_at": at(7)}
        assert (await api.fire(course_id, "record_measure", entered)).status_code == 201
        form = {"client_ref": "EHR-1", "instrument": "phq9", "items": items, "taken_at": at(7, hours=3), "ref": "F/1"}
        assert status(await ehr.notify("measure.completed", form)) == "ignored"
        other = {**form, "items": [2, *items[1:]], "ref": "F/2"}
        assert status(await ehr.notify("measure.completed", other)) == "applied"
        assert (await course(api, course_id))["measures"]["phq9@1"]["count"] == 2

    with_ehr(test)


# Risk


def test_risk_asks_for_attention_at_once_also_while_its_notice_waits(with_ehr):
    async def test(api, ehr, course_id):
        wrong = {"client_ref": "EHR-1", "instrument": "phq9", "items": [9] * 8 + [1], "taken_at": at(7), "ref": "F/1"}
        assert status(await ehr.notify("measure.completed", wrong)) == "waiting"
        found = await course(api, course_id)
        assert {"notices", "risk"} <= set(found["attention"])
        assert [each["id"] for each in (await api.get("/v1/courses?attention=risk")).json()["items"]] == [course_id]
        (waits,) = await inbox(api, query="&risk=true")
        done = await resolve(api, waits["id"], action="dismiss", reason="A test form.")
        assert done.json()["status"] == "dismissed"
        assert not {"notices", "risk"} & set((await course(api, course_id))["attention"])

    with_ehr(test)


def test_risk_of_a_client_nobody_knows_waits_marked_as_risk_and_shows_once_they_are_referred(with_ehr):
    async def test(api, ehr, _course_id):
        form = {"client_ref": "EHR-9", "instrument": "phq9", "items": [0] * 8 + [1], "taken_at": at(13), "ref": "F/1"}
        assert status(await ehr.notify("measure.completed", form)) == "waiting"
        (waits,) = await inbox(api, query="&risk=true")
        assert (waits["client_ref"], waits["course"], waits["risk"]) == ("EHR-9", None, True)
        metrics = (await api.get("/metrics", "auditor")).text
        assert 'ipt_notices_waiting{risk="yes",source="north"} 1.0' in metrics
        assert (
            status(await ehr.notify("referral.received", {"client_ref": "EHR-9", "source": "GP", "received_at": at(10)}))
            == "applied"
        )
        await settled(api)
        (due,) = (await api.get("/v1/courses?attention=risk", "supervisor")).json()["items"]
        assert (due["client_ref"], set(due["attention"])) == ("EHR-9", {"risk", "unassigned"})
        made = (await journal(api, due["id"]))[-1]
        assert (made["trigger"], made["reason"]) == ("record_measure", "The EHR sent this before the course was opened.")

    with_ehr(test)


# Persons


def test_a_trusted_source_says_who_held_a_session(with_ehr):
    async def test(api, ehr, course_id):
        held = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7), "person": "therapist-9"}
        assert status(await ehr.notify("appointment.fulfilled", held)) == "applied"
        assert (await course(api, course_id))["sessions"][0]["given_by"] == "therapist-9"
        assert (await journal(api, course_id))[-1]["actor"] == {"person": "therapist-9", "role": "ehr", "via": "ehr"}
        api.clinic.clock.advance(dt.timedelta(hours=1))
        assert status(await ehr.notify("appointment.missed", {**held, "person": "therapist-8"})) == "applied"

    with_ehr(test, names_persons=True)


def test_whom_another_source_names_is_not_used(with_ehr):
    async def test(api, ehr, course_id):
        held = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7), "person": "therapist-9"}
        assert status(await ehr.notify("appointment.fulfilled", held)) == "applied"
        assert (await course(api, course_id))["sessions"][0]["given_by"] == "therapist-1"
        assert (await journal(api, course_id))[-1]["actor"]["person"] == "ehr:north"
        referral = {"client_ref": "EHR-2", "source": "GP", "therapist": "therapist-1"}
        assert status(await ehr.notify("referral.received", referral)) == "applied"
        assert [c["therapist"] for c in (await api.get("/v1/courses?state=referred", "supervisor")).json()["items"]] == [None]

    with_ehr(test)


def test_every_reason_to_ignore_a_notice_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "ehr.md").read_text(encoding="utf-8")
    assert [code for code in relevance.REASONS if f"| `{code}` |" not in page] == []
