"""The inbox: who sees which notice, and what a person's retry, correction or dismissal does."""

import datetime as dt

import pytest
from support.ehr_sender import Ehr, course, inbox, journal, resolve, started, status
from support.pages import erase

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal
from ipt_workflow.runtime.clock import VirtualClock

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)


def at(days: float = 0, **more) -> str:
    return (START + dt.timedelta(days=days, **more)).isoformat()


def held(ref: str, day: float, **more) -> dict:
    return {"client_ref": "EHR-1", "ref": ref, "start": at(day), **more}


@pytest.fixture
def with_ehr(api):
    def run(test, **source):
        async def inside(api):
            ehr = await Ehr.register(api, **source)
            return await test(api, ehr, await started(api))

        return api(inside, VirtualClock(START))

    return run


async def waiting(api, ehr, kind: str, data: dict) -> str:
    answer = await ehr.notify(kind, data)
    assert status(answer) == "waiting"
    return answer.json()["id"]


def test_after_the_course_was_changed_a_retry_fires_it_as_the_ehr(with_ehr):
    async def test(api, ehr, course_id):
        for day in (1, 2, 3):
            assert status(await ehr.notify("appointment.fulfilled", held(f"A/{day}", day))) == "applied"
        notice = await waiting(api, ehr, "appointment.fulfilled", held("A/4", 4))
        again = (await resolve(api, notice, "therapist", action="retry")).json()
        assert (again["status"], [r["rule"] for r in again["refusals"]]) == ("waiting", ["phase_session_cap"])
        extended = await api.fire(
            course_id, "extend_phase", {}, role="supervisor", reason="One more is needed.", occurred_at=at(3, hours=1)
        )
        assert extended.status_code == 201
        done = (await resolve(api, notice, "therapist", action="retry")).json()
        assert (done["status"], done["decided_by"], done["content"], done["refusals"]) == ("applied", "therapist-1", None, [])
        assert (await journal(api, course_id))[-1]["actor"] == {"person": "ehr:north", "role": "ehr", "via": "ehr"}
        assert (await journal(api, course_id))[-1]["seq"] == done["seq"]

    with_ehr(test)


def test_a_correction_is_fired_as_the_person(with_ehr):
    async def test(api, ehr, course_id):
        notice = await waiting(
            api,
            ehr,
            "measure.completed",
            {"client_ref": "EHR-1", "instrument": "phq9", "items": [1, 2], "taken_at": at(3), "ref": "F/1"},
        )
        bad = await resolve(api, notice, "therapist", action="correct", reason="By the paper form.", data={"items": "none"})
        assert (bad.status_code, bad.json()["errors"][0]["where"]) == (422, "data.items")
        data = {"items": [1, 2, 1, 1, 1, 0, 0, 0, 0]}
        done = await resolve(api, notice, "therapist", action="correct", reason="By the paper form.", data=data)
        assert done.json()["status"] == "applied", done.text
        entry = (await journal(api, course_id))[-1]
        assert (entry["actor"]["person"], entry["reason"], entry["data"]["items"]) == (
            "therapist-1",
            "By the paper form.",
            data["items"],
        )

    with_ehr(test)


def test_a_mistyped_client_is_corrected(with_ehr):
    async def test(api, ehr, course_id):
        notice = await waiting(api, ehr, "consent.given", {"client_ref": "EHR-I", "scope": "recording"})
        assert (await resolve(api, notice, "therapist", action="retry")).status_code == 404  # about nobody: not a therapist's
        refused = await resolve(api, notice, action="correct", reason="Mistyped.", data={"client_ref": "EHR-1"})
        assert refused.json()["status"] == "waiting"  # a supervisor never records consent
        assert "record_consent" in refused.json()["why"]
        done = await resolve(api, notice, "supervisor", action="dismiss", reason="Sent again under the right number.")
        assert (done.json()["status"], done.json()["why"]) == ("dismissed", "Sent again under the right number.")

    with_ehr(test)


def test_a_correction_records_no_more_on_a_course_seen_by_emergency_access_than_that_allows(with_ehr):
    async def test(api, ehr, course_id):
        body = {"client_ref": "EHR-2", "protocol": "ipt", "therapist": "therapist-2", "data": {"source": "General practitioner"}}
        theirs = (await api.post("/v1/courses", body, "supervisor")).json()["course"]["id"]
        duty = Principal(person="therapist-1", role="therapist", via="cli")
        taken = NewEmergencyAccess(client_ref="EHR-2", code="ETREAT", reason="She called.")
        await api.services.emergencies.start(duty, lambda: taken)
        assert (await api.get(f"/v1/courses/{theirs}")).status_code == 200
        told = {"client_ref": "EHR-1", "instrument": "phq9", "items": [1, 2], "taken_at": at(3), "ref": "F/1"}
        notice = await waiting(api, ehr, "measure.completed", told)
        data = {"client_ref": "EHR-2", "items": [1, 2, 1, 1, 1, 0, 0, 0, 0]}
        done = await resolve(api, notice, "therapist", action="correct", reason="Mistyped.", data=data)
        assert done.json()["status"] == "waiting", done.text
        assert [each["trigger"] for each in await journal(api, theirs)] == ["refer"]

    with_ehr(test)


def test_the_therapist_ends_the_course_of_a_client_who_died(with_ehr):
    async def test(api, ehr, course_id):
        notice = await waiting(api, ehr, "client.deceased", {"client_ref": "EHR-1", "died_on": "2026-01-18"})
        incomplete = (await resolve(api, notice, "therapist", action="retry", reason="Her daughter rang.")).json()
        assert (incomplete["status"], [f["where"] for f in incomplete["faults"]]) == ("waiting", ["data.last_contact"])
        done = await resolve(
            api,
            notice,
            "therapist",
            action="correct",
            reason="Her daughter rang.",
            data={"last_contact": "2026-01-12", "attempts": 1},
        )
        assert done.json()["status"] == "applied", done.text
        found = await course(api, course_id)
        assert (found["state"], found["ending"]["end_code"]) == ("ended_early", "49")

    with_ehr(test)


def test_a_supervisor_hands_the_course_over_and_says_what_was_handed_over(with_ehr):
    async def test(api, ehr, course_id):
        notice = await waiting(api, ehr, "clinician.changed", {"client_ref": "EHR-1", "therapist": "therapist-9"})
        data = {"handover": "Formulation and goals were talked through."}
        done = await resolve(api, notice, action="correct", reason="Leave.", data=data)
        assert done.json()["status"] == "applied", done.text
        assert (await course(api, course_id))["therapist"] == "therapist-9"

    with_ehr(test)


@pytest.mark.parametrize(
    ("resolution", "where"),
    (
        ({"action": "dismiss"}, {"reason"}),
        ({"action": "correct"}, {"reason", "data"}),
        ({"action": "correct", "reason": "x"}, {"data"}),
        ({"action": "retry", "data": {}}, {"data"}),
        ({"action": "burn"}, {"action"}),
        ({"action": "retry", "more": 1}, {"more"}),
    ),
)
def test_a_resolution_without_what_it_needs_is_refused(with_ehr, resolution, where):
    async def test(api, ehr, course_id):
        notice = await waiting(api, ehr, "client.deceased", {"client_ref": "EHR-1"})
        answer = await resolve(api, notice, **resolution)
        assert (answer.status_code, {fault["where"] for fault in answer.json()["errors"]}) == (422, where)

    with_ehr(test)


def test_what_is_resolved_is_resolved_once(with_ehr):
    async def test(api, ehr, course_id):
        notice = await waiting(api, ehr, "client.deceased", {"client_ref": "EHR-1"})
        assert (await resolve(api, notice, action="dismiss", reason="Another person.")).status_code == 200
        assert (await resolve(api, notice, action="retry")).status_code == 412
        assert (await resolve(api, "0197c8f2-0000-7000-8000-000000000000", action="retry")).status_code == 404

    with_ehr(test)


def test_therapists_see_what_is_about_their_own_courses_and_reading_is_recorded(with_ehr):
    async def test(api, ehr, course_id):
        await waiting(api, ehr, "client.deceased", {"client_ref": "EHR-1"})
        await waiting(api, ehr, "consent.given", {"client_ref": "EHR-9", "scope": "treatment"})
        assert [each["client_ref"] for each in await inbox(api, "therapist")] == ["EHR-1"]
        assert [each["client_ref"] for each in await inbox(api, "auditor")] == ["EHR-1", "EHR-9"]
        assert [each["client_ref"] for each in await inbox(api, query=f"&course={course_id}&source=north")] == ["EHR-1"]
        assert await inbox(api, query="&source=south") == []
        log = (await api.get("/v1/audit?kind=read", "auditor")).json()["items"]
        assert [each["courses"] for each in log if each["action"] == "notices"] == [[course_id], [course_id], [course_id], []]
        page = (await api.get("/v1/notices?limit=1", "supervisor")).json()
        assert len(page["items"]) == 1
        assert [
            each["client_ref"] for each in (await api.get(f"/v1/notices?cursor={page['next']}", "supervisor")).json()["items"]
        ] == ["EHR-9"]

    with_ehr(test)


def test_a_newer_version_takes_the_place_of_one_that_waits(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "ref": "A/1", "start": at(-3)}  # before the course was opened
        await waiting(api, ehr, "appointment.fulfilled", data)
        api.clinic.clock.advance(dt.timedelta(minutes=1))
        assert status(await ehr.notify("appointment.fulfilled", {**data, "start": at(3)})) == "applied"
        assert await inbox(api) == []

    with_ehr(test)


def test_erasing_a_client_reaches_their_notices(with_ehr, settings):
    async def test(api, ehr, course_id):
        await waiting(api, ehr, "client.deceased", {"client_ref": "EHR-4711", "died_on": "2026-01-18"})
        assert status(await ehr.notify("consent.given", {"client_ref": "EHR-1", "scope": "recording"})) == "applied"
        erase(settings.database_url)
        assert await inbox(api) == []
        (left,) = await inbox(api, query="&status=dismissed")
        assert (left["client_ref"], left["content"], left["why"]) == (None, None, None)
        rows = await api.clinic.database.read(lambda c: str(list(c.exec_driver_sql("SELECT * FROM notice"))))
        assert "EHR-4711" not in rows

    with_ehr(test)


def test_erasing_a_client_reaches_faulty_messages_that_nobody_could_be_found_for(with_ehr, settings):
    """They came before there was the client here, and one of them was dismissed."""

    async def test(api, ehr, _course):
        data = {"client_ref": "EHR-4711", "instrument": "phq9", "items": [1] * 9, "unknown": 1}
        for _ in range(2):
            assert (await ehr.notify("measure.completed", data)).status_code == 422
        first, second = await inbox(api)
        assert (first["client_ref"], first["course"]) == (None, None)
        await resolve(api, first["id"], action="dismiss", reason="EHR-4711 comes again.")
        await api.open("EHR-4711")
        erase(settings.database_url)
        assert await inbox(api) == []
        assert [each["id"] for each in await inbox(api, query="&status=dismissed")] == [first["id"], second["id"]]
        rows = await api.clinic.database.read(lambda c: list(c.exec_driver_sql("SELECT * FROM notice").mappings()))
        assert {(each["body"], each["detail"], each["body_hash"], each["content_digest"]) for each in rows} == {
            (None, None, "", None)
        }
        assert (await ehr.notify("measure.completed", data)).status_code == 422

    with_ehr(test, kind="standard-webhooks")
