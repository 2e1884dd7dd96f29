"""Bundles over the limits and orders that EHR systems send: full inboxes, one resource twice, references between entries."""

import datetime as dt
import json

import pytest
from support.ehr_sender import Ehr, course, inbox, resolve, status
from support.fhir_bodies import appointment, at, encounter, form


def bundle(*entries: dict, kind: str = "batch") -> dict:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def put(resource: dict) -> dict:
    return {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}


def delete(name: str) -> dict:
    return {"request": {"method": "DELETE", "url": name}}


def waits_for_ever(number: int) -> dict:
    """A visit that a person must decide."""
    return encounter(f"W{number}", status="cancelled", period={"start": at(2), "end": at(2, minutes=50)})


async def statuses(ehr, *entries: dict, kind: str = "batch") -> list[str]:
    answer = await ehr.fhir(bundle(*entries, kind=kind), "POST")
    assert answer.status_code == 202, answer.text
    return [each["status"] for each in answer.json()["entries"]]


# A full inbox


def test_a_full_inbox_refuses_what_would_wait_and_takes_what_is_applied_and_what_has_risk(with_ehr):
    async def test(api, ehr, course_id):
        api.clinic.settings = api.clinic.settings.model_copy(update={"notices_waiting_max": 3})
        for number in range(3):
            assert status(await ehr.fhir(waits_for_ever(number))) == "waiting"
        refused = await ehr.fhir(waits_for_ever(3))
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/busy")
        assert status(await ehr.fhir(encounter())) == "applied"
        risky = form([0] * 8 + [3])
        assert status(await ehr.fhir(risky)) == "applied"
        unreadable = form([0] * 8 + [3], "Q2", authored=at(8))
        unreadable["item"][8]["answer"] = [{"valueString": "?"}]
        assert status(await ehr.fhir(unreadable)) == "waiting"
        assert len(await inbox(api)) == 4
        other = await Ehr.register(api, "south", "bearer", secret="s" * 32)
        assert status(await other.fhir(waits_for_ever(3))) == "waiting"
        assert "risk" in (await course(api, course_id))["attention"]

    with_ehr(test)


def test_a_newer_version_of_what_waits_needs_no_room(with_ehr):
    async def test(api, ehr, course_id):
        api.clinic.settings = api.clinic.settings.model_copy(update={"notices_waiting_max": 1})
        assert status(await ehr.fhir(waits_for_ever(0))) == "waiting"
        again = waits_for_ever(0)
        again["meta"] = {"versionId": "2", "lastUpdated": at(11)}
        again["period"] = {"start": at(3)}
        assert status(await ehr.fhir(again)) == "waiting"
        assert len(await inbox(api)) == 1

    with_ehr(test)


@pytest.mark.parametrize("kind", ("batch", "transaction"))
def test_a_full_inbox_refuses_a_bundle_with_a_problem_that_says_so(with_ehr, kind):
    async def test(api, ehr, course_id):
        api.clinic.settings = api.clinic.settings.model_copy(update={"notices_waiting_max": 2})
        entries = [put(waits_for_ever(number)) for number in range(4)]
        first = await ehr.fhir(bundle(*entries, kind=kind), "POST")
        whole = kind == "transaction"
        assert first.status_code == (202 if whole else 503)
        assert len(await inbox(api)) == (4 if whole else 2)
        again = await ehr.fhir(bundle(put(encounter()), *entries, kind=kind), "POST")
        assert (again.status_code, again.json()["type"]) == (503, "/problems/busy")
        assert len((await course(api, course_id))["sessions"]) == (0 if whole else 1)
        for each in await inbox(api):
            await resolve(api, each["id"], action="dismiss", reason="Known.")
        assert (await ehr.fhir(bundle(*entries[:2], kind=kind), "POST")).status_code == 202

    with_ehr(test)


# One resource several times


def test_one_resource_twice_is_one_thing_and_its_newer_version_counts(with_ehr):
    async def test(api, ehr, course_id):
        entries = [
            put(appointment(status="noshow")),
            put(appointment(version=2, status="fulfilled")),
            put(appointment(status="noshow")),
        ]
        assert await statuses(ehr, *entries) == ["applied", "applied", "ignored"]
        assert [each["attendance"] for each in (await course(api, course_id))["sessions"]] == ["5"]

    with_ehr(test)


@pytest.mark.parametrize("clients", (1, 5, 40))
def test_a_resource_that_a_bundle_makes_and_deletes_is_deleted(with_ehr, clients):
    async def test(api, ehr, course_id):
        entries = [put(encounter(f"E{number}", period={"start": at(1, hours=number % 12)})) for number in range(clients)]
        deletions = [delete(f"Encounter/E{number}") for number in range(clients)]
        await statuses(ehr, *entries, *deletions)
        assert (await course(api, course_id))["sessions"] == []
        assert [each for each in await inbox(api) if each["type"] == "fhir.Encounter"] == []

    with_ehr(test)


def test_entries_about_a_group_are_handled_after_what_they_follow(with_ehr):
    async def test(api, ehr, course_id):
        second = (await api.open("EHR-2"))["id"]
        await api.walk(second, "record_consent", "start")
        both = [{"actor": {"reference": f"Patient/EHR-{number}"}} for number in (1, 2)]
        later = {"start": at(14, hours=3), "end": at(14, hours=4)}
        entries = [
            put(appointment("G1", participant=both, **later)),
            put(
                encounter("E2", subject={"reference": "Patient/EHR-2"}, period=later, appointment=[{"reference": "Appointment/G1"}])
            ),
            put(appointment("G1", 2, participant=both, status="fulfilled", **later)),
        ]
        api.clinic.clock.advance(dt.timedelta(hours=8))
        await statuses(ehr, *entries)
        held = [[each["attendance"] for each in (await course(api, one))["sessions"]] for one in (course_id, second)]
        assert (held, await inbox(api)) == ([["5"], ["5"]], [])

    with_ehr(test)


def test_two_thousand_entries_are_taken_and_one_more_is_refused(with_ehr):
    async def test(api, ehr, course_id):
        harmless = [put({"resourceType": "Patient", "id": f"X-{number}", "gender": "female"}) for number in range(1999)]
        assert set(await statuses(ehr, *harmless, put(encounter()))) == {"ignored", "applied"}
        assert len((await course(api, course_id))["sessions"]) == 1
        refused = await ehr.fhir(bundle(*harmless, *harmless[:2]), "POST")
        assert (refused.status_code, refused.json()["errors"][0]["where"]) == (422, "Bundle.entry")

    with_ehr(test)


def test_a_signed_bundle_whose_answer_was_lost_is_taken_again_without_a_second_effect(with_ehr):
    async def test(api, ehr, course_id):
        sent = bundle(put(appointment(status="noshow")), put(form([1] * 8 + [0])), put(appointment(version=2, status="fulfilled")))
        raw = json.dumps(sent).encode()
        for key in ("msg_1", "msg_1", "msg_2"):
            headers = {**ehr.signed(raw, key), "content-type": "application/fhir+json", "accept": "application/json"}
            assert status(await ehr.post("/v1/ehr/fhir/north", raw, headers)) == "applied"
        found = await course(api, course_id)
        assert ([each["attendance"] for each in found["sessions"]], found["measures"]["phq9@1"]["count"]) == (["5"], 1)

    with_ehr(test, kind="standard-webhooks")


# What stores nothing


def test_patients_without_a_course_store_nothing(with_ehr):
    async def test(api, ehr, course_id):
        for more in ({}, {"deceasedBoolean": True}, {"link": [{"type": "replaces", "other": {"reference": "Patient/Y"}}]}):
            answer = (await ehr.fhir({"resourceType": "Patient", "id": "X", **more})).json()
            assert (answer["id"], answer["status"]) == (None, "ignored")
        rows = await api.clinic.database.read(
            lambda connection: [
                connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() for table in ("notice", "client")
            ]
        )
        assert rows == [0, 1]

    with_ehr(test)


def test_entries_of_one_client_by_identifier_are_all_taken(with_ehr):
    async def test(_api, ehr, _course_id):
        subject = {"type": "Patient", "identifier": {"system": "urn:ehr", "value": "EHR-1"}}
        forms = [form([1] * 8 + [0], f"Q{number}", subject=subject, authored=at(6, minutes=number)) for number in range(30)]
        assert await statuses(ehr, *(put(each) for each in forms)) == ["applied"] * 30

    with_ehr(test)
