"""A bare name of a resource says that it changed, and nothing else: it waits, ends nothing, and is not lost."""

import json
from pathlib import Path

import pytest
from support.ehr_sender import course, inbox, resolve, status
from support.fhir_bodies import appointment, encounter

EXAMPLE = Path(__file__).parents[2] / "vectors" / "fhir-backport" / "Bundle-r4-notification-id-only.json"
NAMED = "Only the name of the resource was sent."


async def named(ehr, number: int, name: str) -> str:
    """Sends event `number`, which gives a resource's name alone."""
    bundle = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    status_ = bundle["entry"][0]["resource"]
    event = [
        {"name": "event-number", "valueString": str(number)},
        {"name": "focus", "valueReference": {"reference": f"https://example.org/fhir/{name}"}},
    ]
    others = [each for each in status_["parameter"] if each["name"] != "notification-event"]
    for each in others:
        if each["name"] == "events-since-subscription-start":
            each["valueString"] = str(number)
        if each["name"] == "type":
            each["valueCode"] = "event-notification"
    status_["parameter"] = [*others, {"name": "notification-event", "part": event}]
    return status(await ehr.fhir({**bundle, "entry": bundle["entry"][:1]}, "POST"))


@pytest.mark.parametrize(
    "name", ("Appointment/A1", "Encounter/E1", "QuestionnaireResponse/Q1", "ServiceRequest/S1", "Patient/EHR-1")
)
def test_a_name_that_comes_again_after_it_was_dismissed_waits_again(with_ehr, name):
    async def test(api, ehr, _course):
        for number in (1, 1, 2):  # event 1 comes twice; event 2 comes while the name waits
            assert await named(ehr, number, name) == "waiting"
        (waits,) = await inbox(api)
        assert (await resolve(api, waits["id"], action="dismiss", reason="Looked up.")).status_code == 200
        assert await named(ehr, 3, name) == "waiting"
        assert len(await inbox(api)) == 1

    with_ehr(test)


def test_a_name_ends_no_notice_that_says_more_and_the_resource_itself_ends_both(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(appointment(status="cancelled"))) == "waiting"
        assert await named(ehr, 1, "Appointment/A1") == "waiting"
        full, name = await inbox(api)
        assert (full["content"]["resource"]["status"], name["why"].startswith(NAMED)) == ("cancelled", True)
        assert status(await ehr.fhir(appointment(version=2, status="fulfilled"))) == "applied"
        assert (await inbox(api), len((await course(api, course_id))["sessions"])) == ([], 1)

    with_ehr(test)


def test_what_the_ehr_sends_for_a_name_is_known_as_the_version_that_it_sent_before(with_ehr):
    async def test(api, ehr, course_id):
        visit = {name: each for name, each in encounter().items() if name != "meta"}
        assert status(await ehr.fhir(visit)) == "applied"
        assert await named(ehr, 1, "Encounter/E1") == "waiting"
        assert status(await ehr.fhir(visit)) == "applied"  # a repeat
        assert len((await course(api, course_id))["sessions"]) == 1

    with_ehr(test)


def test_a_version_that_nothing_orders_ends_no_notice_that_waits(with_ehr):
    async def test(api, ehr, _course):
        def version(**more) -> dict:
            return {name: each for name, each in appointment(**more).items() if name != "meta"}

        await ehr.fhir(version(status="booked"))
        assert status(await ehr.fhir(version(status="cancelled"))) == "waiting"
        assert status(await ehr.fhir(version(status="booked"))) == "waiting"
        assert [each["content"]["resource"]["status"] for each in await inbox(api)] == ["cancelled", "booked"]

    with_ehr(test)
