"""One resource may come to several things: each is applied or waits by itself, and the answer and the inbox name each."""

import datetime as dt
import json

import pytest
from support.ehr_sender import Ehr, course, inbox, journal, resolve, status
from support.fhir_bodies import ANSWERS, IPT, LOINC, appointment, at, encounter, form

GAD7 = ["69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"]
NOT_TRUSTED = "The source is not trusted to name persons, so the {} it names was not used."


def gad7(scores: list[int]) -> list[dict]:
    return [
        {"linkId": f"/{code}", "answer": [{"valueCoding": {"system": LOINC, "code": ANSWERS[score]}}]}
        for code, score in zip(GAD7, scores, strict=True)
    ]


# Several things


def test_the_answer_names_each_thing_with_its_own_id(with_two):
    async def test(api, ehr, first, second):
        two = form([1] * 8 + [0])
        two["item"] += gad7([1] * 7)
        answer = (await ehr.fhir(two)).json()
        assert [(each["status"], each["type"]) for each in answer["things"]] == [("applied", "fhir.QuestionnaireResponse")] * 2
        assert len({each["id"] for each in answer["things"]}) == 2
        assert answer["id"] in {each["id"] for each in answer["things"]}
        measures = (await course(api, first))["measures"]
        assert {key: each["last"]["total"] for key, each in measures.items()} == {"phq9@1": 8, "gad7@1": 7}
        assert (await ehr.fhir(two)).json() == answer

    with_two(test)


def test_one_thing_waits_while_the_other_is_applied(with_two):
    async def test(api, ehr, first, second):
        two = form([1] * 8 + [0])
        two["item"][0]["answer"] = [{"valueString": "often"}]
        two["item"] += gad7([1] * 7)
        answer = (await ehr.fhir(two)).json()
        assert (answer["status"], sorted(each["status"] for each in answer["things"])) == ("waiting", ["applied", "waiting"])
        (waits,) = await inbox(api)
        assert waits["id"] == next(each["id"] for each in answer["things"] if each["status"] == "waiting")
        assert waits["proposes"]["data"]["instrument"] == "phq9@1"
        assert list((await course(api, first))["measures"]) == ["gad7@1"]

    with_two(test)


def test_the_inbox_names_each_thing_and_each_is_resolved_by_itself(with_two):
    async def test(api, ehr, first, second):
        both = [{"actor": {"reference": f"Patient/EHR-{number}"}} for number in (1, 2)]
        answer = (await ehr.fhir(appointment(status="cancelled", participant=both))).json()
        waits = await inbox(api)
        assert [(each["client_ref"], each["course"]) for each in waits] == [("EHR-1", first), ("EHR-2", second)]
        assert [each["id"] for each in waits] == [each["id"] for each in answer["things"]]
        corrected = await resolve(api, waits[1]["id"], "therapist", action="correct", reason="She rang.", data={"attendance": "2"})
        assert corrected.json()["status"] == "applied", corrected.text
        assert [(await course(api, one))["sessions"] == [] for one in (first, second)] == [True, False]
        assert [each["id"] for each in await inbox(api)] == [waits[0]["id"]]

    with_two(test)


def test_a_patient_with_two_merges_and_a_death_waits_three_times(with_two):
    async def test(api, ehr, first, second):
        links = [{"type": "replaces", "other": {"reference": f"Patient/{name}"}} for name in ("EHR-2", "nobody")]
        patient = {"resourceType": "Patient", "id": "EHR-1", "link": links, "deceasedBoolean": True}
        answer = (await ehr.fhir(patient)).json()
        assert [each["status"] for each in answer["things"]] == ["waiting", "ignored", "waiting"]
        waits = await inbox(api)
        assert [(each["client_ref"], each["proposes"]["trigger"]) for each in waits] == [
            ("EHR-2", "relink_client"),
            ("EHR-1", "end_early"),
        ]

    with_two(test)


def test_messages_of_a_source_name_each_thing(with_two):
    async def test(api, ehr, first, second):
        both = [{"actor": {"reference": f"Patient/EHR-{number}"}} for number in (1, 2)]
        await ehr.fhir(appointment(status="fulfilled", participant=both))
        listed = await inbox(api, query="&status=applied")
        assert [(each["course"], each["resource"], each["type"]) for each in listed] == [
            (first, "Appointment/A1", "fhir.Appointment"),
            (second, "Appointment/A1", "fhir.Appointment"),
        ]

    with_two(test)


# Sources


def test_one_resource_of_two_sources_is_one_session(with_two):
    async def test(api, ehr, first, second):
        south = await Ehr.register(api, "south", "bearer", secret="s" * 32)
        assert status(await ehr.fhir(encounter())) == "applied"
        assert status(await south.fhir(encounter())) == "ignored"
        assert len((await course(api, first))["sessions"]) == 1
        assert status(await south.fhir(encounter(version=2, status="entered-in-error"))) in {"ignored", "waiting"}
        assert len((await course(api, first))["sessions"]) == 1

    with_two(test)


def test_a_prefix_goes_before_every_client_of_its_source(with_two):
    async def test(api, ehr, first, second):
        prefixed = await Ehr.register(api, "south", "bearer", secret="s" * 32, client_prefix="EHR-")
        assert status(await prefixed.fhir(encounter(subject={"reference": "Patient/1"}))) == "applied"
        assert (await prefixed.fhir(encounter("E2", subject={"reference": "Patient/EHR-1"}, type=[]))).json()["reason"] == "client"
        assert len((await course(api, first))["sessions"]) == 1

    with_two(test)


def test_a_visit_in_the_future_waits(with_two):
    async def test(api, ehr, first, second):
        assert status(await ehr.fhir(encounter(period={"start": at(20), "end": at(20, minutes=50)}))) == "waiting"
        assert (await course(api, first))["sessions"] == []
        api.clinic.clock.advance(dt.timedelta(days=7))
        (waits,) = await inbox(api)
        assert (await resolve(api, waits["id"], "therapist", action="retry")).json()["status"] == "applied"

    with_two(test)


# What a source may not set


def test_a_therapist_whom_an_untrusted_source_names_is_dropped_and_said(with_two):
    async def test(api, ehr, first, second):
        order = {"resourceType": "ServiceRequest", "id": "S1", "status": "active", "intent": "order", "code": IPT}
        order |= {"subject": {"reference": "Patient/EHR-3"}, "performer": [{"reference": "Practitioner/therapist-9"}]}
        answer = (await ehr.fhir(order)).json()
        assert (answer["status"], answer["says"]) == ("applied", [NOT_TRUSTED.format("therapist")])
        (opened,) = (await api.get("/v1/courses?state=referred", "supervisor")).json()["items"]
        assert opened["therapist"] is None

    with_two(test)


@pytest.mark.parametrize("trusted", (True, False))
def test_a_person_whom_our_own_type_names_is_said_if_not_used(with_two, trusted):
    async def test(api, ehr, first, second):
        held = {"client_ref": "EHR-1", "ref": "A/1", "start": at(7), "person": "therapist-9"}
        answer = (await ehr.notify("appointment.fulfilled", held)).json()
        assert answer.get("says", []) == ([] if trusted else [NOT_TRUSTED.format("person")])
        assert (await journal(api, first))[-1]["actor"]["person"] == ("therapist-9" if trusted else "ehr:north")

    with_two(test, kind="standard-webhooks", names_persons=trusted)


# Deletions under a signature of the body


async def signed(api, ehr, method: str, name: str, body: dict | None, key: str):
    raw = b"" if body is None else json.dumps(body).encode()
    headers = {**ehr.signed(raw, key), "accept": "application/json", **({"content-type": "application/fhir+json"} if raw else {})}
    return await api.client.request(method, f"/v1/ehr/fhir/north/{name}", content=raw, headers=headers)


def test_a_signed_update_that_is_sent_as_the_deletion_of_another_resource_waits(with_two):
    async def test(api, ehr, first, second):
        await signed(api, ehr, "PUT", "Encounter/E1", encounter(), "msg_1")
        other = encounter("E2", period={"start": at(8), "end": at(8, minutes=50)})
        replayed = await signed(api, ehr, "DELETE", "Encounter/E1", other, "msg_2")
        assert status(replayed) == "waiting"
        assert len((await course(api, first))["sessions"]) == 1
        (waits,) = await inbox(api)
        assert waits["why"].startswith("The signature does not cover the name of the deleted resource.")
        assert status(await signed(api, ehr, "PUT", "Encounter/E1", encounter(version=2), "msg_3")) in {"applied", "ignored"}
        assert (await inbox(api), len((await course(api, first))["sessions"])) == ([], 1)

    with_two(test, kind="standard-webhooks")


def test_a_person_who_retries_a_deletion_in_doubt_makes_it(with_two):
    async def test(api, ehr, first, second):
        await signed(api, ehr, "PUT", "Encounter/E1", encounter(), "msg_1")
        assert status(await signed(api, ehr, "DELETE", "Encounter/E1", None, "msg_2")) == "waiting"
        assert status(await signed(api, ehr, "DELETE", "Encounter/E1", None, "msg_3")) == "waiting"
        (waits,) = await inbox(api)
        done = await resolve(api, waits["id"], "supervisor", action="retry", reason="Checked in the EHR.")
        assert done.json()["status"] == "applied", done.text
        assert (await course(api, first))["sessions"] == []

    with_two(test, kind="standard-webhooks")


def test_a_deletion_in_doubt_of_two_clients_is_retried_for_each(with_two):
    async def test(api, ehr, first, second):
        both = [{"actor": {"reference": f"Patient/EHR-{number}"}} for number in (1, 2)]
        await signed(api, ehr, "PUT", "Appointment/A1", appointment(status="fulfilled", participant=both), "msg_1")
        assert status(await signed(api, ehr, "DELETE", "Appointment/A1", None, "msg_2")) == "waiting"
        waits = await inbox(api)
        assert [each["course"] for each in waits] == [first, second]
        done = await resolve(api, waits[0]["id"], "supervisor", action="retry", reason="Checked in the EHR.")
        assert done.json()["status"] == "applied", done.text
        assert [len((await course(api, one))["sessions"]) for one in (first, second)] == [0, 1]

    with_two(test, kind="standard-webhooks")


def test_a_deletion_whose_body_names_the_resource_acts_and_so_does_one_by_a_token(with_two):
    async def test(api, ehr, first, second):
        await signed(api, ehr, "PUT", "Encounter/E1", encounter(), "msg_1")
        named = {"resourceType": "Encounter", "id": "E1"}
        assert status(await signed(api, ehr, "DELETE", "Encounter/E1", named, "msg_2")) == "applied"
        assert (await course(api, first))["sessions"] == []
        token = await Ehr.register(api, "south", "bearer", secret="s" * 32)
        await token.fhir(encounter("E5"))
        assert status(await token.fhir(None, "DELETE", "/Encounter/E5")) == "applied"
        assert (await course(api, first))["sessions"] == []

    with_two(test, kind="standard-webhooks")


def test_a_deletion_in_doubt_is_made_by_one_that_is_not(with_two):
    async def test(api, ehr, first, second):
        await signed(api, ehr, "PUT", "Encounter/E1", encounter(), "msg_1")
        assert status(await signed(api, ehr, "DELETE", "Encounter/E1", None, "msg_2")) == "waiting"
        named = {"resourceType": "Encounter", "id": "E1"}
        assert status(await signed(api, ehr, "DELETE", "Encounter/E1", named, "msg_3")) == "applied"
        assert (await inbox(api), (await course(api, first))["sessions"]) == ([], [])

    with_two(test, kind="standard-webhooks")


def test_a_deletion_in_doubt_leaves_what_waits(with_two):
    async def test(api, ehr, first, second):
        assert status(await signed(api, ehr, "PUT", "Encounter/E1", encounter(status="cancelled"), "msg_1")) == "waiting"
        for key in ("msg_2", "msg_3"):
            await signed(api, ehr, "DELETE", "Encounter/E1", None, key)
            assert len(await inbox(api)) == 2
        waits = await inbox(api)
        assert [each["content"].get("deleted") for each in waits] == [None, "Encounter/E1"]
        done = await resolve(api, waits[0]["id"], "therapist", action="correct", reason="She came.", data={"attendance": "5"})
        assert done.json()["status"] == "applied", done.text

    with_two(test, kind="standard-webhooks")


# An id that was used before


def test_a_resource_under_a_used_id_is_refused_and_kept(with_two):
    async def test(api, ehr, first, second):
        assert status(await signed(api, ehr, "PUT", "Encounter/E1", encounter(), "msg_1")) == "applied"
        risky = form([0] * 8 + [3])
        refused = await signed(api, ehr, "PUT", "QuestionnaireResponse/Q1", risky, "msg_1")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/notice-reused")
        (waits,) = await inbox(api)
        assert (waits["type"], waits["risk"], waits["content"]["resource"]["id"]) == ("fhir.QuestionnaireResponse", True, "Q1")
        assert (waits["course"], "risk" in (await course(api, first))["attention"]) == (first, True)
        assert (await resolve(api, waits["id"], "therapist", action="retry")).json()["status"] == "applied"
        assert (await signed(api, ehr, "PUT", "QuestionnaireResponse/Q1", risky, "msg_1")).status_code == 409
        assert (await course(api, first))["measures"]["phq9@1"]["last"]["total"] == 3

    with_two(test, kind="standard-webhooks")


def test_a_deletion_under_a_used_id_is_refused_and_kept(with_two):
    async def test(api, ehr, first, second):
        assert status(await signed(api, ehr, "PUT", "Encounter/E1", encounter(), "msg_1")) == "applied"
        refused = await signed(api, ehr, "DELETE", "Encounter/E1", encounter(), "msg_1")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/notice-reused")
        assert [each["why"].startswith("The EHR sent this under a message id") for each in await inbox(api)] == [True]
        assert len((await course(api, first))["sessions"]) == 1

    with_two(test, kind="standard-webhooks")


def test_a_signed_deletion_is_made_once_however_often_it_comes(with_two):
    async def test(api, ehr, first, second):
        both = [{"actor": {"reference": f"Patient/EHR-{number}"}} for number in (1, 2)]
        await signed(api, ehr, "PUT", "Appointment/A1", appointment(status="fulfilled", participant=both), "msg_1")
        named = {"resourceType": "Appointment", "id": "A1"}
        answers = [await signed(api, ehr, "DELETE", "Appointment/A1", named, "msg_2") for _ in range(3)]
        assert [status(each) for each in answers] == ["applied"] * 3
        assert [len((await course(api, one))["sessions"]) for one in (first, second)] == [0, 0]
        assert len(await inbox(api, query="&status=applied")) == 4

    with_two(test, kind="standard-webhooks")
