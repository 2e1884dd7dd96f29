"""FHIR R4 resources as notices: sessions, measures, referrals and persons, by the declared codes."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support.ehr_sender import Ehr, course, inbox, journal, resolve, started, status
from support.fhir_bodies import ANSWERS, IPT, LOINC, PATIENT, PHQ9, SNOMED, START, appointment, at, encounter, form
from support.received import one

from ipt_workflow.runtime.clock import VirtualClock

VECTORS = Path(__file__).parents[3] / "vectors"
CHECK_UP = {"coding": [{"system": SNOMED, "code": "185349003"}]}


def observation(code: str, resource_id: str = "O1", system: str = LOINC, version: int = 1, **more) -> dict:
    return {
        "resourceType": "Observation",
        "id": resource_id,
        "meta": {"versionId": str(version), "lastUpdated": at(10, minutes=version)},
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": PATIENT,
        "effectiveDateTime": at(7),
        **more,
    }


@pytest.fixture
def hooked(api):
    """Runs a test with a started course of EHR-1 and a FHIR server that sends its resources with a token."""

    def run(test, **source):
        async def inside(api):
            ehr = await Ehr.register(api, kind="bearer", **source)
            return await test(api, ehr, await started(api))

        return api(inside, VirtualClock(START))

    return run


def sessions(found: dict) -> list[tuple]:
    return [(session["attendance"], session["ref"]) for session in found["sessions"]]


# Visits


def test_a_finished_encounter_is_a_session(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(encounter())) == "applied"
        entry = (await journal(api, course_id))[-1]
        assert entry["data"] == {"attendance": "5", "medium": "video", "minutes": 45, "ref": "Encounter/E1"}
        assert entry["occurred_at"].startswith("2026-01-12T09:00:00")

    hooked(test)


@pytest.mark.parametrize(
    ("more", "attendance"),
    (
        ({"status": "fulfilled"}, "5"),
        ({"status": "noshow"}, "3"),
        ({"status": "cancelled", "cancelationReason": {"coding": [{"code": "pat-cpp"}]}}, "2"),
        ({"status": "cancelled", "cancelationReason": {"coding": [{"code": "prov"}]}}, "4"),
    ),
)
def test_an_appointment_becomes_a_session_by_its_status(hooked, more, attendance):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(appointment(**more))) == "applied"
        assert sessions(await course(api, course_id)) == [(attendance, "Appointment/A1")]

    hooked(test)


def test_a_cancellation_that_does_not_say_by_whom_waits_for_a_person_who_says_it(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(appointment(status="cancelled"))) == "waiting"
        (waits,) = await inbox(api, "therapist")
        assert "by whom" in waits["why"]
        done = await resolve(api, waits["id"], "therapist", action="correct", reason="They rang.", data={"attendance": "2"})
        assert done.json()["status"] == "applied", done.text
        assert sessions(await course(api, course_id)) == [("2", "Appointment/A1")]
        assert (await journal(api, course_id))[-1]["actor"]["person"] == "therapist-1"

    hooked(test)


def test_appointment_encounter_and_therapists_entry_are_one_session(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(appointment())) == "applied"  # booked
        assert (await api.fire(course_id, "record_session", {"attendance": "5"}, occurred_at=at(7, minutes=2))).status_code == 201
        linked = await ehr.fhir(encounter(appointment=[{"reference": "Appointment/A1"}]))
        assert status(linked) == "applied"
        assert status(await ehr.fhir(appointment(version=2, status="fulfilled"))) == "ignored"
        assert sessions(await course(api, course_id)) == [("5", "Appointment/A1")]

    hooked(test)


def test_an_encounter_without_its_appointment_is_matched_by_time(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(appointment(status="fulfilled"))) == "applied"
        assert status(await ehr.fhir(encounter(period={"start": at(7, minutes=8), "end": at(7, minutes=48)}))) == "ignored"
        assert sessions(await course(api, course_id)) == [("5", "Appointment/A1")]

    hooked(test)


def test_two_resources_that_contradict_each_other_wait(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(appointment(status="noshow"))) == "applied"
        assert status(await ehr.fhir(encounter(appointment=[{"reference": "Appointment/A1"}]))) == "waiting"

    hooked(test)


@pytest.mark.parametrize("state", ("arrived", "triaged", "in-progress", "onleave"))
def test_a_visit_that_is_under_way_is_acknowledged_and_not_kept(hooked, state):
    async def test(api, ehr, course_id):
        answer = await ehr.fhir(encounter(status=state))
        assert (answer.status_code, answer.json()) == (202, {"id": None, "status": "ignored", "reason": "status"})
        assert await inbox(api, query="&status=ignored") == []

    hooked(test)


def test_other_visits_of_the_client_are_not_ipts_concern(hooked):
    async def test(api, ehr, course_id):
        assert (await ehr.fhir(encounter(type=[CHECK_UP]))).json() == {"id": None, "status": "ignored", "reason": "service"}
        unknown = await ehr.fhir(encounter("E2", type=[], subject={"reference": "Patient/EHR-9"}))
        assert unknown.json() == {"id": None, "status": "ignored", "reason": "client"}
        assert (
            'ipt_notices_total{outcome="ignored",source="north",type="fhir.Encounter"} 2.0'
            in (await api.get("/metrics", "auditor")).text
        )

    hooked(test)


def test_a_source_that_sends_ipt_alone_needs_no_codes(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(encounter(type=[CHECK_UP]))) == "applied"
        assert status(await ehr.fhir(encounter("E2", type=[], subject={"reference": "Patient/EHR-9"}))) == "waiting"

    hooked(test, all_visits=True)


def test_a_visit_of_ipt_of_a_client_nobody_knows_waits(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(encounter(subject={"reference": "Patient/EHR-9"}))) == "waiting"
        (waits,) = await inbox(api)
        assert (waits["client_ref"], waits["why"]) == (
            "EHR-9",
            "This client has no course here. It is handled when one is opened. Open one, or correct the client's reference.",
        )

    hooked(test)


@pytest.mark.parametrize(
    "subject",
    (
        {"reference": "https://ehr.example/fhir/Patient/1/_history/3"},
        {"reference": "urn:uuid:00000000-0000-0000-0000-000000000001"},
        {"identifier": {"system": "urn:mrn", "value": "N-1"}},
    ),
)
def test_a_client_is_found_however_they_are_referred_to(hooked, subject):
    async def test(api, ehr, _course_id):
        for ref in ("N-1", "N-00000000-0000-0000-0000-000000000001"):
            await started(api, ref)
        assert status(await ehr.fhir(encounter(subject=subject, period={"start": at(41)}))) == "applied"

    hooked(test, client_prefix="N-")


# Versions


def test_a_newer_version_amends_the_sources_own_entry_and_an_older_one_changes_nothing(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(encounter(version=2))) == "applied"
        assert status(await ehr.fhir(encounter(version=3, period={"start": at(7), "end": at(7, minutes=30)}))) == "applied"
        assert (await journal(api, course_id))[-1]["data"]["data"]["minutes"] == 30
        version = (await course(api, course_id))["version"]
        assert status(await ehr.fhir(encounter(version=1, status="planned"))) == "ignored"
        assert (
            status(await ehr.fhir(encounter(version=3, period={"start": at(7), "end": at(7, minutes=30)}))) == "applied"
        )  # sent again
        assert (await course(api, course_id))["version"] == version
        assert len((await course(api, course_id))["sessions"]) == 1

    hooked(test)


def test_of_one_version_with_two_contents_the_later_one_counts(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(encounter())) == "applied"
        assert status(await ehr.fhir(encounter(status="cancelled"))) == "waiting"
        assert status(await ehr.fhir(encounter())) == "waiting"  # nothing says which of the two counts

    hooked(test)


def test_a_deleted_resource_is_voided_unless_it_was_signed(hooked):
    async def test(api, ehr, course_id):
        assert (await ehr.fhir(None, "DELETE", "/Encounter/E1")).json() == {
            "id": None,
            "status": "ignored",
            "reason": "nothing_here",
        }  # nothing is known of it
        assert status(await ehr.fhir(encounter())) == "applied"
        assert status(await ehr.fhir(None, "DELETE", "/Encounter/E1")) == "applied"
        assert status(await ehr.fhir(None, "DELETE", "/Encounter/E1")) == "applied"
        assert sessions(await course(api, course_id)) == []
        assert (await journal(api, course_id))[-1]["data"] == {"supersedes": 4, "void": True}
        assert status(await ehr.fhir(encounter(version=4))) == "applied"  # restored
        seq = (await course(api, course_id))["sessions"][0]["seq"]
        assert (await api.fire(course_id, "sign_session", {"session": seq})).status_code == 201
        assert status(await ehr.fhir(None, "DELETE", "/Encounter/E1")) == "waiting"
        assert status(await ehr.fhir(encounter(version=5, status="entered-in-error"))) == "waiting"
        assert len(sessions(await course(api, course_id))) == 1

    hooked(test)


def test_a_resource_entered_in_error_is_voided(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(appointment(status="noshow"))) == "applied"
        assert status(await ehr.fhir(appointment(version=2, status="entered-in-error"))) == "applied"
        assert sessions(await course(api, course_id)) == []

    hooked(test)


# Measures


def test_a_phq9_is_a_measure_and_with_item_9_positive_blocks_signing_until_reviewed(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(encounter())) == "applied"
        assert status(await ehr.fhir(form([1] * 9, total=9))) == "applied"
        found = await course(api, course_id)
        assert found["measures"]["phq9@1"]["last"]["total"] == 9
        assert "risk" in found["attention"]
        seq = found["sessions"][0]["seq"]
        assert {r["rule"] for r in (await api.fire(course_id, "sign_session", {"session": seq})).json()["refusals"]} == {
            "risk_reviewed"
        }
        assert (await api.fire(course_id, "review_risk", {"level": "none"})).status_code == 201
        assert (await api.fire(course_id, "sign_session", {"session": seq})).status_code == 201

    hooked(test)


def test_a_form_without_item_9_is_accepted_as_such_and_says_so(hooked):
    async def test(api, ehr, course_id):
        answer = await ehr.fhir(form([1] * 8, total=8))
        assert status(answer) == "applied"
        assert "no answer to item 9" in answer.json()["says"][0]
        entry = (await journal(api, course_id))[-1]
        assert entry["data"]["items"] == [1] * 8 + [None]
        assert entry["reason"] == answer.json()["says"][0]
        found = (await course(api, course_id))["measures"]["phq9@1"]
        assert (found["count"], found["last"]) == (1, None)

    hooked(test)


def test_hl7s_own_example_of_a_phq9_is_read(hooked):
    namespace = "{http://hl7.org/fhir}"

    def plain(item):
        resource = {"linkId": item.find(f"{namespace}linkId").get("value")}
        answer = item.find(f"{namespace}answer")
        coding = answer.find(f"{namespace}valueCoding")
        if coding is None:
            return {**resource, "answer": [{"valueDecimal": float(answer.find(f"{namespace}valueDecimal").get("value"))}]}
        parts = {part.tag.removeprefix(namespace): part.get("value") for part in coding}
        return {**resource, "answer": [{"valueCoding": parts}]}

    async def test(api, ehr, course_id):
        root = ET.fromstring((VECTORS / "phq9" / "phq-9-example-1.xml").read_text(encoding="utf-8"))
        resource = {**form([]), "item": [plain(item) for item in root.findall(f"{namespace}item")]}
        assert status(await ehr.fhir(resource)) == "applied"
        assert (await journal(api, course_id))[-1]["data"]["items"] == [2, 2, 2, 2, 1, 1, 2, 0, 0]
        assert (await course(api, course_id))["measures"]["phq9@1"]["last"]["total"] == 12

    hooked(test)


@pytest.mark.parametrize(
    "answer",
    (
        {"valueInteger": 2},
        {"valueDecimal": 2.0},
        {
            "valueCoding": {
                "code": "x",
                "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 2}],
            }
        },
    ),
)
def test_answers_are_read_in_the_forms_that_senders_use(hooked, answer):
    async def test(api, ehr, course_id):
        resource = form([0] * 8)
        resource["item"] = [
            {
                "linkId": "group",
                "item": [*resource["item"], {"linkId": "q9", "definition": f"{LOINC}/{PHQ9[8]}", "answer": [answer]}],
            }
        ]
        assert status(await ehr.fhir(resource)) == "applied"
        assert (await journal(api, course_id))[-1]["data"]["items"] == [0] * 8 + [2]

    hooked(test)


def test_an_answer_that_cannot_be_read_waits_and_where_it_is_of_self_harm_counts_as_risk(hooked):
    async def test(api, ehr, course_id):
        resource = form([0] * 9)
        resource["item"][8]["answer"] = [{"valueCoding": {"system": LOINC, "code": "LA9-9"}}]
        assert status(await ehr.fhir(resource)) == "waiting"
        (waits,) = await inbox(api)
        assert waits["risk"]
        assert [fault["where"] for fault in waits["faults"]] == ["QuestionnaireResponse: 44260-8"]
        assert {"notices", "risk"} <= set((await course(api, course_id))["attention"])

    hooked(test)


def test_a_total_that_its_answers_do_not_add_up_to_waits(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(form([1] * 9, total=12))) == "waiting"
        assert "risk" in (await course(api, course_id))["attention"]

    hooked(test)


def test_a_form_and_its_observations_are_one_measure(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(form([1] * 8 + [0], total=8))) == "applied"
        derived = {"derivedFrom": [{"reference": "QuestionnaireResponse/Q1"}]}
        assert status(await ehr.fhir(observation("44261-6", valueInteger=8, **derived))) == "ignored"
        assert status(await ehr.fhir(observation("720433000", "O2", SNOMED, valueQuantity={"value": 8}))) == "ignored"
        for index, code in enumerate(PHQ9):
            assert status(await ehr.fhir(observation(code, f"I{index}", valueInteger=1 if index < 8 else 0))) == "ignored"
        assert (await course(api, course_id))["measures"]["phq9@1"]["count"] == 1

    hooked(test)


def test_items_sent_one_by_one_add_up_to_one_measure(hooked):
    async def test(api, ehr, course_id):
        for index, code in enumerate(PHQ9):
            value = {"valueCodeableConcept": {"coding": [{"system": LOINC, "code": ANSWERS[1]}]}}
            assert status(await ehr.fhir(observation(code, f"I{index}", **value))) == "applied"
        assert status(await ehr.fhir(observation("44261-6", "T", valueQuantity={"value": 9}))) == "ignored"
        found = await course(api, course_id)
        assert (found["measures"]["phq9@1"]["count"], found["measures"]["phq9@1"]["last"]["total"]) == (1, 9)
        assert "risk" in found["attention"]

    hooked(test)


def test_a_panel_is_a_measure_with_its_components(hooked):
    async def test(api, ehr, course_id):
        parts = [{"code": {"coding": [{"system": LOINC, "code": code}]}, "valueInteger": 2} for code in PHQ9]
        assert status(await ehr.fhir(observation("44249-1", component=parts))) == "applied"
        assert (await course(api, course_id))["measures"]["phq9@1"]["last"]["total"] == 18

    hooked(test)


def test_a_total_alone_is_a_measure_and_item_9_after_it_raises_its_risk(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(observation("44261-6", valueInteger=8))) == "applied"
        assert "risk" not in (await course(api, course_id))["attention"]
        assert status(await ehr.fhir(observation("44260-8", "O9", valueInteger=1))) == "applied"
        found = await course(api, course_id)
        assert "risk" in found["attention"]
        assert found["measures"]["phq9@1"]["last"]["total"] == 8

    hooked(test)


def test_a_gad7_total_is_a_measure(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(observation("70274-6", valueInteger=11))) == "applied"
        assert (await course(api, course_id))["measures"]["gad7@1"]["last"]["total"] == 11

    hooked(test)


def test_the_ehr_cannot_withdraw_risk_that_was_seen(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(form([0] * 8 + [1]))) == "applied"
        assert status(await ehr.fhir(form([0] * 9, version=2))) == "waiting"
        assert status(await ehr.fhir(None, "DELETE", "/QuestionnaireResponse/Q1")) == "waiting"
        assert "risk" in (await course(api, course_id))["attention"]

    hooked(test)


def test_a_newer_version_of_a_form_amends_it(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(form([0] * 9))) == "applied"
        assert status(await ehr.fhir(form([1] * 8 + [0], version=2))) == "applied"
        found = (await course(api, course_id))["measures"]["phq9@1"]
        assert (found["count"], found["last"]["total"]) == (1, 8)

    hooked(test)


def test_a_form_taken_before_the_referral_belongs_to_its_beginning_and_one_of_long_ago_does_not(hooked):
    async def test(api, ehr, course_id):
        assert status(await ehr.fhir(form([0] * 9, authored=at(-10)))) == "applied"
        assert (await journal(api, course_id))[-1]["data"]["taken_at"] == "2025-12-26T09:00:00Z"
        assert (await ehr.fhir(form([0] * 8 + [3], "Q2", authored=at(-400)))).json()["id"] is None

    hooked(test)


def test_other_observations_and_forms_are_not_ipts_concern(hooked):
    async def test(api, ehr, course_id):
        assert (await ehr.fhir(observation("8302-2", valueQuantity={"value": 182.9}))).json()["id"] is None
        assert (await ehr.fhir({**form([]), "item": [{"linkId": "1", "answer": [{"valueInteger": 3}]}]})).json()["id"] is None
        assert (await ehr.fhir(form([0] * 9, status="in-progress"))).json()["id"] is None
        assert status(await ehr.fhir(form([None] * 8 + [2], version=2, status="in-progress"))) == "applied"

    hooked(test)


# Referrals and persons


def service_request(resource_id: str = "S1", version: int = 1, **more) -> dict:
    return {
        "resourceType": "ServiceRequest",
        "id": resource_id,
        "meta": {"versionId": str(version), "lastUpdated": at(10, minutes=version)},
        "status": "active",
        "intent": "order",
        "code": IPT,
        "subject": {"reference": "Patient/EHR-2"},
        "authoredOn": at(13),
        "requester": {"display": "Dr Best"},
        **more,
    }


def test_a_service_request_and_its_episode_are_one_referral(hooked):
    async def test(api, ehr, _course_id):
        assert status(await ehr.fhir(service_request())) == "applied"
        episode = {
            "resourceType": "EpisodeOfCare",
            "id": "P1",
            "status": "active",
            "type": [IPT],
            "patient": {"reference": "Patient/EHR-2"},
            "referralRequest": [{"reference": "ServiceRequest/S1"}],
        }
        assert status(await ehr.fhir(episode)) == "ignored"
        (made,) = (await api.get("/v1/courses?state=referred", "supervisor")).json()["items"]
        assert made["client_ref"] == "EHR-2"
        assert (await journal(api, made["id"]))[0]["data"]["source"] == "Dr Best"
        assert status(await ehr.fhir(service_request(version=2, status="revoked"))) == "waiting"

    hooked(test)


def test_an_episode_alone_is_a_referral_and_a_second_open_course_is_refused(hooked):
    async def test(api, ehr, _course_id):
        episode = {
            "resourceType": "EpisodeOfCare",
            "id": "P1",
            "status": "planned",
            "type": [IPT],
            "patient": {"reference": "Patient/EHR-2"},
        }
        assert status(await ehr.fhir(episode)) == "applied"
        assert status(await ehr.fhir({**episode, "id": "P2", "patient": PATIENT})) == "waiting"
        (waits,) = await inbox(api)
        assert [r["rule"] for r in waits["refusals"]] == ["one_active_course"]
        assert (await ehr.fhir({**episode, "id": "P3", "type": [CHECK_UP]})).json()["id"] is None
        assert (await ehr.fhir({**episode, "id": "P4", "status": "finished"})).json()["id"] is None

    hooked(test)


def test_a_merged_patient_waits_and_a_supervisor_has_the_course_follow(hooked):
    async def test(api, ehr, course_id):
        merged = {
            "resourceType": "Patient",
            "id": "EHR-1",
            "active": False,
            "link": [{"other": {"reference": "Patient/EHR-7"}, "type": "replaced-by"}],
        }
        assert status(await ehr.fhir(merged)) == "waiting"
        (waits,) = await inbox(api)
        assert waits["proposes"] == {"trigger": "relink_client", "data": {"kind": "merge", "client_ref": "EHR-7"}}
        assert (await resolve(api, waits["id"], "therapist", action="retry", reason="Same person.")).json()["status"] == "waiting"
        done = await resolve(api, waits["id"], action="retry", reason="Same person.")
        assert done.json()["status"] == "applied", done.text
        assert (await course(api, course_id))["client_ref"] == "EHR-7"

    hooked(test)


def test_a_patient_who_died_waits_once_and_others_are_not_ipts_concern(hooked):
    async def test(api, ehr, course_id):
        died = {"resourceType": "Patient", "id": "EHR-1", "deceasedDateTime": "2026-01-16"}
        first = await ehr.fhir(died)
        assert status(first) == "waiting"
        assert (await ehr.fhir({**died, "meta": {"versionId": "2"}})).json() == first.json()
        assert (await ehr.fhir({**died, "id": "EHR-9"})).json()["id"] is None
        (waits,) = await inbox(api)
        assert (waits["proposes"]["trigger"], waits["resource"]) == ("end_early", "Patient")

    hooked(test)


# Faults


@pytest.mark.parametrize(
    ("body", "where"),
    (
        ({"resourceType": "Encounter", "id": "E1", "status": 3}, "Encounter.status"),
        ({"id": "E1"}, "resourceType"),
        ({"id": "E1", "resourceType": [["Encounter"]]}, "resourceType"),
        ({"id": "E1", "resourceType": {}}, "resourceType"),
        ({"resourceType": "Encounter", "id": "E/1"}, "Encounter.id"),
        ({"resourceType": "Bundle", "entry": {}}, "Bundle.entry"),
    ),
)
def test_what_is_no_fhir_resource_is_refused_and_kept(hooked, body, where):
    async def test(api, ehr, course_id):
        answer = await ehr.fhir(body, "POST")
        assert answer.status_code == 422
        assert [fault["where"] for fault in answer.json()["errors"]] == [where]
        (kept,) = await inbox(api)
        assert json.dumps(body.get("resourceType", "E1")) in json.dumps(kept["content"])

    hooked(test)


def test_a_visit_without_a_time_or_a_client_waits_with_its_faults(hooked):
    async def test(api, ehr, course_id):
        resource = encounter()
        del resource["period"], resource["subject"]
        assert status(await ehr.fhir(resource)) == "waiting"
        (waits,) = await inbox(api)
        assert {fault["where"] for fault in waits["faults"]} == {"subject", "Encounter.period.start"}

    hooked(test)


def test_a_path_that_names_another_resource_than_the_body_is_refused(hooked):
    async def test(api, ehr, course_id):
        assert (await ehr.fhir(encounter(), path="/Encounter/E2")).status_code == 422

    hooked(test)


@pytest.mark.parametrize("version", ("1\x00", "", "x" * 65, "1_2", 3, None, {"value": "1"}))
def test_a_version_that_is_no_id_counts_as_none(version):
    assert one(form([0] * 9, meta={"versionId": version})).version.text is None
    assert one(form([0] * 9, meta={"versionId": "A-1.2"})).version.text == "A-1.2"


def test_a_version_with_a_nul_is_taken(hooked):
    async def test(_api, ehr, _course_id):
        assert status(await ehr.fhir(form([0] * 9, meta={"versionId": "1\x00"}))) == "applied"

    hooked(test)
