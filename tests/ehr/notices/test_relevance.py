"""Which visits count: one that something marks as ours. Doubt waits or is ignored, and is never a session."""

import datetime as dt

import pytest
from support.ehr_sender import Ehr, course, inbox, resolve, status
from support.fhir_bodies import START, appointment, at, encounter, form

from ipt_workflow.ehr.notices import relevance

DENTAL = {"coding": [{"system": "http://snomed.info/sct", "code": "34043003"}]}
TEXT_ONLY = {"text": "Dental cleaning"}
THERAPIST = [{"individual": {"reference": "Practitioner/therapist-1"}}]


def uncoded(encounter_id: str = "E1", version: int = 1, **more) -> dict:
    """A visit that nothing marks as IPT."""
    made = encounter(encounter_id, version, **more)
    if "type" not in more:
        del made["type"]
    return {**made, "class": more.get("class", {"code": "AMB"})}


async def sessions(api, course_id: str) -> list[str]:
    return [each["attendance"] for each in (await course(api, course_id))["sessions"]]


@pytest.mark.parametrize("visit", (uncoded(), uncoded(type=[TEXT_ONLY]), uncoded(type=[])), ids=("uncoded", "text", "empty"))
def test_a_visit_that_nothing_marks_as_ours_waits_and_is_never_a_session(with_ehr, visit):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(visit)) == "waiting"
        (waits,) = await inbox(api)
        assert (waits["course"], waits["why"]) == (
            course_id,
            "Nothing says that this visit belongs to IPT. Retry the notice if it does, or dismiss it.",
        )
        assert await sessions(api, course_id) == []

    with_ehr(test)


def test_it_is_not_kept_if_the_source_is_set_to_ignore_such_visits(with_ehr):
    async def test(api, ehr, course_id):
        answer = (await ehr.fhir(uncoded())).json()
        assert answer == {"id": None, "status": "ignored", "reason": "other_visit"}
        assert (await inbox(api), await sessions(api, course_id)) == ([], [])
        metrics = (await api.get("/metrics", "auditor")).text
        assert 'ipt_notices_ignored_total{reason="other_visit",source="north"} 1.0' in metrics

    with_ehr(test, other_visits="ignore")


@pytest.mark.parametrize(
    "visit",
    (uncoded(type=[DENTAL]), uncoded(**{"class": {"code": "EMER"}}), uncoded(**{"class": {"code": "IMP"}})),
    ids=("dental", "emergency", "inpatient"),
)
def test_a_visit_that_is_marked_as_something_else_is_ignored(with_ehr, visit):
    async def test(api, ehr, course_id):
        assert (await ehr.fhir(visit)).json() == {"id": None, "status": "ignored", "reason": "service"}
        assert await sessions(api, course_id) == []

    with_ehr(test)


@pytest.mark.parametrize("times", (2, 3))
def test_a_newer_version_of_a_doubtful_visit_is_as_doubtful(with_ehr, times):
    async def test(api, ehr, course_id):
        for version in range(1, times + 1):
            visit = uncoded(version=version, period={"start": at(7, minutes=version), "end": at(7, minutes=50)})
            assert status(await ehr.fhir(visit)) == "waiting"
        assert len(await inbox(api)) == 1
        assert await sessions(api, course_id) == []

    with_ehr(test)


def test_a_newer_version_of_a_dismissed_visit_is_as_doubtful(with_ehr):
    async def test(api, ehr, course_id):
        first = await ehr.fhir(uncoded())
        await resolve(api, first.json()["id"], action="dismiss", reason="Dental.")
        assert status(await ehr.fhir(uncoded(version=2, period={"start": at(7), "end": at(7, minutes=30)}))) == "waiting"
        assert await sessions(api, course_id) == []

    with_ehr(test)


def test_what_belongs_to_a_doubtful_visit_is_as_doubtful(with_ehr):
    async def test(api, ehr, course_id):
        booked = appointment(status="fulfilled")
        del booked["serviceType"]
        assert status(await ehr.fhir(booked)) == "waiting"
        assert status(await ehr.fhir(uncoded(appointment=[{"reference": "Appointment/A1"}]))) == "waiting"
        assert await sessions(api, course_id) == []

    with_ehr(test)


def test_a_doubtful_visit_that_the_ehr_withdraws_waits_no_longer(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(uncoded())) == "waiting"
        assert status(await ehr.fhir(uncoded(version=2, status="entered-in-error"))) == "ignored"
        assert await inbox(api) == []
        assert status(await ehr.fhir(uncoded("E2"))) == "waiting"
        assert status(await ehr.fhir(None, "DELETE", "/Encounter/E2")) == "ignored"
        assert await inbox(api) == []

    with_ehr(test)


def test_a_doubtful_visit_that_turns_out_to_be_another_service_waits_no_longer(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(uncoded())) == "waiting"
        assert status(await ehr.fhir(uncoded(version=2, type=[DENTAL]))) == "ignored"
        assert await inbox(api) == []
        assert status(await ehr.fhir(uncoded(version=1))) == "ignored"  # the older version again
        assert (await inbox(api), await sessions(api, course_id)) == ([], [])

    with_ehr(test)


def test_a_doubtful_visit_counts_once_the_ehr_codes_it(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(uncoded())) == "waiting"
        assert status(await ehr.fhir(encounter(version=2))) == "applied"
        assert (await inbox(api), await sessions(api, course_id)) == ([], ["5"])
        assert status(await ehr.fhir(uncoded(version=3, period={"start": at(7), "end": at(7, minutes=30)}))) == "applied"
        assert [each["minutes"] for each in (await course(api, course_id))["sessions"]] == [30]

    with_ehr(test)


def test_a_therapist_who_retries_a_doubtful_visit_records_it(with_ehr):
    async def test(api, ehr, course_id):
        kept = (await ehr.fhir(uncoded())).json()["id"]
        done = await resolve(api, kept, "therapist", action="retry")
        assert done.json()["status"] == "applied", done.text
        (session,) = (await course(api, course_id))["sessions"]
        assert (session["attendance"], session["ref"], session["given_by"]) == ("5", "Encounter/E1", "therapist-1")
        assert status(await ehr.fhir(uncoded())) == "applied"  # a repeat
        assert await sessions(api, course_id) == ["5"]

    with_ehr(test)


# What marks a visit as ours


def test_a_visit_that_was_booked_here_counts_by_reference(with_ehr):
    async def test(api, ehr, course_id):
        booking = {"scheduled_for": at(30), "ref": "Appointment/A1"}
        assert (await api.fire(course_id, "book_session", booking)).status_code == 201
        assert status(await ehr.fhir(uncoded(appointment=[{"reference": "Appointment/A1"}]))) == "applied"
        assert await sessions(api, course_id) == ["5"]

    with_ehr(test)


def test_a_visit_that_was_booked_here_counts_by_its_time(with_ehr):
    async def test(api, ehr, course_id):
        assert (await api.fire(course_id, "book_session", {"scheduled_for": at(15)})).status_code == 201
        api.clinic.clock.set(START.replace(day=21))
        assert status(await ehr.fhir(uncoded(period={"start": at(15, minutes=10), "end": at(15, minutes=55)}))) == "applied"
        assert await sessions(api, course_id) == ["5"]

    with_ehr(test)


def test_a_visit_of_an_appointment_that_is_ours_is_ours(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(appointment(start=at(20), end=at(20, minutes=50)))) == "applied"
        assert status(await ehr.fhir(uncoded(appointment=[{"reference": "Appointment/A1"}]))) == "applied"
        assert await sessions(api, course_id) == ["5"]

    with_ehr(test)


def test_a_visit_with_the_therapist_of_the_course_is_ours(with_ehr):
    async def test(api, ehr, course_id):
        other = uncoded("E0", participant=[{"individual": {"reference": "Practitioner/therapist-9"}}])
        assert status(await ehr.fhir(other)) == "waiting"
        assert status(await ehr.fhir(uncoded(participant=THERAPIST))) == "applied"
        assert await sessions(api, course_id) == ["5"]

    with_ehr(test)


def test_every_visit_of_a_source_of_ipt_alone_is_ours(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(uncoded())) == "applied"
        assert status(await ehr.fhir(uncoded("E2", type=[TEXT_ONLY], period={"start": at(9)}))) == "applied"
        assert await sessions(api, course_id) == ["5", "5"]

    with_ehr(test, all_visits=True)


# History


def test_visits_and_measures_of_before_are_counted_and_reported_once(with_ehr):
    async def test(api, ehr, course_id):
        for day in range(-60, -40):
            visit = encounter(f"E{-day}", period={"start": at(day), "end": at(day, minutes=50)})
            assert (await ehr.fhir(visit)).json()["reason"] == "before"
        assert (await ehr.fhir(form([1] * 8 + [0], authored=at(-50)))).json()["reason"] == "before"
        (report,) = await inbox(api)
        assert (report["type"], report["course"], report["content"]) == ("history", None, {})
        assert (await resolve(api, report["id"], action="dismiss", reason="Known.")).json()["status"] == "dismissed"
        assert (await ehr.fhir(encounter("E99", period={"start": at(-99)}))).json()["reason"] == "before"
        assert await inbox(api) == []
        metrics = (await api.get("/metrics", "auditor")).text
        assert 'ipt_notices_ignored_total{reason="before",source="north"} 22.0' in metrics
        other = await Ehr.register(api, "south", "bearer", secret="s" * 32)
        assert (await other.fhir(encounter(period={"start": at(-99)}))).json()["reason"] == "before"
        assert [each["source"] for each in await inbox(api)] == ["south"]

    with_ehr(test)


def test_a_visit_shortly_before_the_course_waits(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(encounter(period={"start": at(-20)}))) == "waiting"

    with_ehr(test)


def test_every_reason_is_explained():
    assert all(meaning.endswith(".") for meaning in relevance.REASONS.values())


# What time alone shows


def test_a_visit_with_another_code_at_the_time_of_a_booking_is_not_ours(with_ehr):
    async def test(api, ehr, course_id):
        booked = await api.fire(course_id, "book_session", {"scheduled_for": at(21)})
        assert booked.status_code == 201
        api.clinic.clock.advance(dt.timedelta(days=14))
        dental = uncoded(type=[DENTAL], period={"start": at(21, minutes=10), "end": at(21, minutes=30)})
        assert (await ehr.fhir(dental)).json() == {"id": None, "status": "ignored", "reason": "service"}
        day = uncoded("E2", period={"start": at(21)[:10]})
        assert status(await ehr.fhir(day)) == "waiting"  # the day alone shows nothing
        assert status(await ehr.fhir(uncoded("E3", period={"start": at(21, minutes=5)}))) == "applied"
        assert await sessions(api, course_id) == ["5"]

    with_ehr(test)


def test_a_visit_with_another_code_by_the_courses_therapist_waits(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(uncoded(type=[DENTAL], participant=THERAPIST))) == "waiting"
        assert await sessions(api, course_id) == []

    with_ehr(test)


def test_a_session_in_the_time_of_a_cancelled_one_is_a_session_of_its_own(with_ehr):
    async def test(api, ehr, course_id):
        cancelled = await api.fire(course_id, "record_session", {"attendance": "4"}, occurred_at=at(7))
        assert cancelled.status_code == 201
        assert status(await ehr.fhir(encounter(period={"start": at(7, minutes=30)}))) == "applied"
        assert await sessions(api, course_id) == ["4", "5"]

    with_ehr(test)


def test_a_miss_that_is_recorded_as_a_cancellation_waits(with_ehr):
    async def test(api, ehr, course_id):
        cancelled = await api.fire(course_id, "record_session", {"attendance": "4"}, occurred_at=at(7))
        assert cancelled.status_code == 201
        assert status(await ehr.fhir(appointment(status="noshow", start=at(7)))) == "waiting"
        assert await sessions(api, course_id) == ["4"]

    with_ehr(test)
