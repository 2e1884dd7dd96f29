"""Sessions as Encounters, measures as Observations and QuestionnaireResponses, entries as Provenance; amended, taken back, erased."""

import sqlite3
from contextlib import closing

import pytest
from support import databases, fhir_validators


async def fhir(api, path, role="therapist"):
    answer = await api.get(f"/fhir/R4/{path}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def started(api) -> str:
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start")
    return course


async def fired(api, course, trigger, data=None, role="therapist", **more) -> int:
    answer = await api.fire(course, trigger, data, role, **more)
    assert answer.status_code == 201, answer.text
    return answer.json()["entry"]["seq"]


def attendance(encounter) -> str:
    return encounter["extension"][0]["valueCoding"]["code"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("5", "finished"), ("6", "finished"), ("7", "cancelled"), ("2", "cancelled"), ("3", "cancelled"), ("4", "cancelled")],
)
def test_a_session_is_finished_where_it_was_held_and_cancelled_where_it_was_not(api, code, status):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_session", {"attendance": code, "minutes": 50})
        encounter = await fhir(api, f"Encounter/{course}.{seq}")
        assert (encounter["status"], attendance(encounter)) == (status, code)
        assert ("length" in encounter) == ("end" in encounter["period"]) == (status == "finished")
        snomed = [coding["code"] for kind in encounter["type"] for coding in kind["coding"] if coding["system"].endswith("sct")]
        assert snomed == (["443730003"] if status == "finished" else [])
        assert fhir_validators.faults([encounter]) == [[]]

    api(test)


def test_an_encounter_tells_of_course_phase_therapist_appointment_and_focus(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_session", {"attendance": "5", "medium": "video", "minutes": 50, "ref": "APP-1"})
        await fired(api, course, "sign_session", {"session": seq, "focus": "grief"})
        encounter = await fhir(api, f"Encounter/{course}.{seq}")
        assert encounter["class"]["code"] == "VR"
        assert encounter["episodeOfCare"] == [{"reference": f"EpisodeOfCare/{course}"}]
        assert encounter["extension"][1]["valueCoding"]["code"] == "initial"
        assert encounter["participant"][0]["individual"]["identifier"]["value"] == "therapist-1"
        assert encounter["appointment"][0]["identifier"]["value"] == "APP-1"
        assert encounter["reasonCode"][0]["coding"][0]["code"] == "grief"
        assert encounter["length"]["value"] == 50
        assert encounter["meta"]["versionId"] == str(seq + 1)
        assert fhir_validators.faults([encounter]) == [[]]
        before = await fhir(api, f"Encounter/{course}.{seq}/_history/{seq}")
        assert "reasonCode" not in before
        assert (await api.get(f"/fhir/R4/Encounter/{course}.{seq}/_history/{seq - 1}")).status_code == 404

    api(test)


def test_an_encounter_names_every_reference_of_the_ehr_to_it(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_session", {"attendance": "5", "ref": "Appointment/1"})
        await fired(api, course, "link_session", {"session": seq, "ref": "Encounter/2"})
        encounter = await fhir(api, f"Encounter/{course}.{seq}")
        assert [each["value"] for each in encounter["identifier"]] == ["Appointment/1", "Encounter/2"]
        assert [each["identifier"]["value"] for each in encounter["appointment"]] == ["Appointment/1", "Encounter/2"]
        assert encounter["meta"]["versionId"] == str(seq + 1)
        assert fhir_validators.faults([encounter]) == [[]]

    api(test)


def test_an_amended_session_keeps_its_name_and_has_a_new_version(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_session", {"attendance": "3"})
        await fired(api, course, "amend", {"supersedes": seq, "data": {"attendance": "6"}}, reason="The client came late.")
        encounter = await fhir(api, f"Encounter/{course}.{seq}")
        assert (encounter["status"], attendance(encounter), encounter["meta"]["versionId"]) == ("finished", "6", str(seq + 1))
        before = await fhir(api, f"Encounter/{course}.{seq}/_history/{seq}")
        assert (before["status"], attendance(before)) == ("cancelled", "3")
        provenance = await fhir(api, f"Provenance/{course}.{seq + 1}")
        assert [each["reference"] for each in provenance["target"]] == [
            f"EpisodeOfCare/{course}/_history/{seq + 1}",
            f"Encounter/{course}.{seq}/_history/{seq + 1}",
        ]
        assert provenance["activity"]["coding"][0]["code"] == "UPDATE"

    api(test)


def test_a_session_taken_back_is_entered_in_error(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_session", {"attendance": "3"})
        await fired(api, course, "amend", {"supersedes": seq, "void": True}, reason="It was another client.")
        encounter = await fhir(api, f"Encounter/{course}.{seq}")
        assert encounter["status"] == "entered-in-error"
        provenance = await fhir(api, f"Provenance/{course}.{seq + 1}")
        assert provenance["activity"]["coding"][0]["code"] == "NULLIFY"
        assert fhir_validators.faults([encounter, provenance]) == [[], []]
        assert (await fhir(api, f"CarePlan/{course}"))["activity"][0].get("outcomeReference") is None

    api(test)


# Measures

ITEMS = [2, 1, 0, 3, 1, 0, 0, 1, 1]
LOINC = ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]


def test_a_phq9_is_an_observation_of_its_total_and_a_response_with_its_answers(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_measure", {"instrument": "phq9", "items": ITEMS, "ref": "FORM-1"})
        total = await fhir(api, f"Observation/{course}.{seq}")
        assert {(each["system"], each["code"]) for each in total["code"]["coding"]} >= {
            ("http://loinc.org", "44261-6"),
            ("http://snomed.info/sct", "720433000"),
        }
        assert total["valueQuantity"] == {"value": 9, "unit": "{score}", "system": "http://unitsofmeasure.org", "code": "{score}"}
        assert (total["status"], total["interpretation"]) == ("final", [{"text": "mild"}])
        assert total["derivedFrom"] == [{"reference": f"QuestionnaireResponse/{course}.{seq}"}]
        response = await fhir(api, f"QuestionnaireResponse/{course}.{seq}")
        assert [item["linkId"] for item in response["item"]] == [f"/{code}" for code in LOINC]
        answers = [item["answer"][0]["valueCoding"] for item in response["item"]]
        assert [each["code"] for each in answers[:4]] == ["LA6570-1", "LA6569-3", "LA6568-5", "LA6571-9"]
        assert [each["extension"][0]["valueDecimal"] for each in answers] == ITEMS
        assert (response["status"], response["identifier"]["value"]) == ("completed", "FORM-1")
        assert fhir_validators.faults([total, response]) == [[], []]

    api(test)


def test_a_gad7_has_its_own_codes_and_plain_answers(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_measure", {"instrument": "gad7", "items": [1, 1, 1, 0, 0, 2, 0]})
        total = await fhir(api, f"Observation/{course}.{seq}")
        assert {each["code"] for each in total["code"]["coding"]} == {"70274-6", "445455005", "gad7"}
        response = await fhir(api, f"QuestionnaireResponse/{course}.{seq}")
        assert [item["answer"][0]["valueInteger"] for item in response["item"]] == [1, 1, 1, 0, 0, 2, 0]
        assert [item["linkId"] for item in response["item"]] == ["1", "2", "3", "4", "5", "6", "7"]
        assert fhir_validators.faults([total, response]) == [[], []]

    api(test)


def test_a_scale_without_an_official_code_has_ours_alone(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_measure", {"instrument": "mspss", "total": 50})
        total = await fhir(api, f"Observation/{course}.{seq}")
        assert total["code"]["coding"] == [{"system": "urn:ipt-workflow:CodeSystem:instrument", "code": "mspss"}]
        assert total["valueQuantity"]["value"] == 50
        assert "derivedFrom" not in total
        assert (await api.get(f"/fhir/R4/QuestionnaireResponse/{course}.{seq}")).status_code == 404
        assert fhir_validators.faults([total]) == [[]]

    api(test)


def test_missing_answers_and_measures_that_were_not_obtained_say_why_there_is_no_value(api):
    async def test(api):
        course = await started(api)
        holes = await fired(api, course, "record_measure", {"instrument": "phq9", "items": [1, None, *ITEMS[2:]]})
        none = await fired(
            api, course, "record_measure", {"instrument": "phq9", "not_obtained": True}, reason="The client left early."
        )
        incomplete, absent = await fhir(api, f"Observation/{course}.{holes}"), await fhir(api, f"Observation/{course}.{none}")
        response = await fhir(api, f"QuestionnaireResponse/{course}.{holes}")
        assert (incomplete["status"], incomplete["dataAbsentReason"]["coding"][0]["code"]) == ("final", "unknown")
        assert (absent["status"], absent["dataAbsentReason"]["coding"][0]["code"]) == ("cancelled", "not-performed")
        assert "answer" not in response["item"][1]
        assert fhir_validators.faults([incomplete, absent, response]) == [[], [], []]

    api(test)


def test_an_amended_measure_tells_its_new_answers_and_a_voided_one_is_in_error(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_measure", {"instrument": "phq9", "items": ITEMS})
        await fired(
            api, course, "amend", {"supersedes": seq, "data": {"items": [0] * 9}}, "supervisor", reason="Another client's form."
        )
        total, response = await fhir(api, f"Observation/{course}.{seq}"), await fhir(api, f"QuestionnaireResponse/{course}.{seq}")
        assert (total["status"], total["valueQuantity"]["value"]) == ("amended", 0)
        assert {item["answer"][0]["valueCoding"]["code"] for item in response["item"]} == {"LA6568-5"}
        assert response["status"] == "amended"
        before = await fhir(api, f"Observation/{course}.{seq}/_history/{seq}")
        assert (before["status"], before["valueQuantity"]["value"]) == ("final", 9)
        wrong = await fired(api, course, "record_measure", {"instrument": "phq9", "items": ITEMS})
        await fired(api, course, "amend", {"supersedes": wrong, "void": True}, "supervisor", reason="It was never taken.")
        voided = [await fhir(api, f"{kind}/{course}.{wrong}") for kind in ("Observation", "QuestionnaireResponse")]
        assert {each["status"] for each in voided} == {"entered-in-error"}
        assert fhir_validators.faults(voided) == [[], []]
        assert fhir_validators.faults([total, response, before]) == [[], [], []]

    api(test)


def test_erased_answers_are_gone_and_the_total_still_stands(api, settings):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_measure", {"instrument": "phq9", "items": ITEMS})
        with closing(sqlite3.connect(databases.path_of(settings))) as connection:
            connection.execute("UPDATE entry_data SET salt = NULL, sealed = NULL")
            connection.commit()
        assert (await api.get(f"/fhir/R4/QuestionnaireResponse/{course}.{seq}")).status_code == 404
        total = await fhir(api, f"Observation/{course}.{seq}")
        assert (total["valueQuantity"]["value"], total.get("derivedFrom")) == (9, None)
        assert len((await fhir(api, "Provenance"))["entry"]) == seq
        assert fhir_validators.faults([total]) == [[]]

    api(test)


# Provenance


def test_every_entry_has_a_provenance_with_author_and_hash(api):
    async def test(api):
        course = await started(api)
        seq = await fired(api, course, "record_measure", {"instrument": "mspss", "total": 50}, role="ehr")
        found = [entry["resource"] for entry in (await fhir(api, f"Provenance?episode-of-care={course}"))["entry"]]
        entries = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        assert [each["extension"][0]["valueString"] for each in found] == [entry["hash"] for entry in entries]
        assert [each["activity"]["coding"][1]["code"] for each in found] == [entry["trigger"] for entry in entries]
        assert [each["agent"][0]["who"]["type"] for each in found] == ["Practitioner"] * 3 + ["Device"]
        assert [each.get("entity", [{}])[0].get("what", {}).get("reference") for each in found] == [
            None,
            *(f"EpisodeOfCare/{course}/_history/{version}" for version in range(1, seq)),
        ]
        assert found[-1]["target"][1]["reference"] == f"Observation/{course}.{seq}/_history/{seq}"
        assert fhir_validators.faults(found) == [[]] * seq

    api(test)


def test_a_cosigned_entry_names_its_verifier(api):
    async def test(api):
        course = await started(api)
        for _ in range(3):
            await api.walk(course, "record_session")
        body = {"trigger": "extend_phase", "reason": "More to hear."}
        answer = await api.post(f"/v1/courses/{course}/proposals", body, If_Match=f'"{await api.version(course)}"')
        assert answer.status_code == 201, answer.text
        cosigned = await api.post(f"/v1/proposals/{answer.json()['id']}/cosign", {}, "supervisor")
        assert cosigned.status_code == 201, cosigned.text
        seq = cosigned.json()["entry"]["seq"]
        provenance = await fhir(api, f"Provenance/{course}.{seq}")
        assert [(each["type"]["coding"][0]["code"], each["who"]["identifier"]["value"]) for each in provenance["agent"]] == [
            ("author", "therapist-1"),
            ("verifier", "supervisor-1"),
        ]
        assert "More to hear" not in str(provenance)
        assert fhir_validators.faults([provenance]) == [[]]

    api(test)
