"""What an EHR reported of the wrong client: after a person has moved it, later messages about it find it in the right course."""

import pytest
from support.ehr_sender import course, inbox, journal, resolve, status
from support.fhir_bodies import appointment, at, encounter, form

SECOND = {"reference": "Patient/EHR-2"}


async def sessions(api, *courses: str) -> list[list[str]]:
    return [[each["attendance"] for each in (await course(api, one))["sessions"]] for one in courses]


async def move(api, wrong: str, right: str, *entries: int) -> None:
    data = {"course": right, "entries": list(entries)}
    answer = await api.fire(wrong, "move_entries", data, "supervisor", reason="The EHR named the wrong client.")
    assert answer.status_code == 201, answer.text


async def told_and_moved(api, ehr, wrong: str, right: str, visit: dict | None = None) -> int:
    """Moves a visit that the EHR reported of the wrong client. Returns its number in the right course."""
    assert status(await ehr.fhir(visit or encounter())) == "applied"
    (told,) = (await course(api, wrong))["sessions"]
    await move(api, wrong, right, told["seq"])
    assert await sessions(api, wrong, right) == [[], ["5"]]
    return (await course(api, right))["sessions"][0]["seq"]


async def applied(api) -> list[tuple]:
    return [(each["course"], each["seq"], each["about_seq"]) for each in await inbox(api, query="&status=applied")]


def test_the_notice_names_the_course_and_the_entry_where_the_visit_is_now(with_two):
    async def test(api, ehr, first, second):
        seq = await told_and_moved(api, ehr, first, second)
        assert await applied(api) == [(second, None, seq)]

    with_two(test)


def test_a_version_that_names_the_right_client_by_now_changes_nothing(with_two):
    async def test(api, ehr, first, second):
        await told_and_moved(api, ehr, first, second)
        assert status(await ehr.fhir(encounter(version=2, subject=SECOND))) == "ignored"
        assert await sessions(api, first, second) == [[], ["5"]]
        assert await inbox(api) == []

    with_two(test)


def test_a_version_that_still_names_the_wrong_client_and_says_the_same_changes_nothing(with_two):
    async def test(api, ehr, first, second):
        await told_and_moved(api, ehr, first, second)
        assert status(await ehr.fhir(encounter(version=2))) == "ignored"
        assert (await sessions(api, first, second), await inbox(api)) == ([[], ["5"]], [])

    with_two(test)


@pytest.mark.parametrize("subject", (1, 2))
def test_a_version_that_contradicts_the_visit_waits_at_the_right_course(with_two, subject):
    async def test(api, ehr, first, second):
        seq = await told_and_moved(api, ehr, first, second, appointment(status="fulfilled"))
        person = [{"actor": {"reference": f"Patient/EHR-{subject}"}}]
        assert status(await ehr.fhir(appointment(version=2, participant=person, status="noshow"))) == "waiting"
        (waits,) = await inbox(api)
        assert (waits["course"], waits["about_seq"]) == (second, seq)
        assert await sessions(api, first, second) == [[], ["5"]]

    with_two(test)


def test_a_deletion_of_what_was_moved_waits_for_a_person(with_two):
    async def test(api, ehr, first, second):
        seq = await told_and_moved(api, ehr, first, second)
        assert status(await ehr.fhir(None, "DELETE", "/Encounter/E1")) == "waiting"
        (waits,) = await inbox(api)
        assert (waits["course"], waits["about_seq"]) == (second, seq)
        assert await sessions(api, first, second) == [[], ["5"]]

    with_two(test)


def test_another_resource_of_the_same_visit_finds_it_in_the_right_course(with_two):
    async def test(api, ehr, first, second):
        await told_and_moved(api, ehr, first, second, appointment(status="fulfilled"))
        assert status(await ehr.fhir(encounter(appointment=[{"reference": "Appointment/A1"}]))) == "ignored"
        assert await sessions(api, first, second) == [[], ["5"]]

    with_two(test)


def test_a_measure_that_was_moved_is_not_taken_for_another_one_of_that_day(with_two):
    async def test(api, ehr, first, second):
        assert status(await ehr.fhir(form([1] * 9))) == "applied"
        told = (await journal(api, first))[-1]
        await move(api, first, second, told["seq"])
        assert status(await ehr.fhir(form([1] * 9, version=2))) == "ignored"
        own = form([1] * 9, "Q2", authored=at(7, hours=1))
        assert status(await ehr.fhir(own)) == "applied"
        totals = [(await course(api, one))["measures"]["phq9@1"]["count"] for one in (first, second)]
        assert totals == [1, 1]

    with_two(test)


def test_a_person_can_still_say_that_the_wrong_client_was_the_right_one(with_two):
    async def test(api, ehr, first, second):
        await told_and_moved(api, ehr, first, second, appointment(status="fulfilled"))
        await ehr.fhir(appointment(version=2, status="noshow"))
        (waits,) = await inbox(api)
        answer = await resolve(
            api, waits["id"], "therapist", action="correct", data={}, reason="It was the first client after all."
        )
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["course"]) == ("applied", first)

    with_two(test)
