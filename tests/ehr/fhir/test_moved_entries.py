"""Entries that were moved: an error in the chart of the wrong client, without its content; a session and a measure in the right one."""

import json

from support import fhir_validators

WORDS = "Spoke of her sister."


async def fhir(api, path, role="supervisor"):
    answer = await api.get(f"/fhir/R4/{path}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def fired(api, course, trigger, data=None, role="therapist", **more) -> dict:
    answer = await api.fire(course, trigger, data, role, **more)
    assert answer.status_code == 201, answer.text
    return answer.json()["entry"]


async def moved(api) -> tuple[str, str, int, int, dict]:
    """Two courses, the numbers of a session and of a measure in the first, and the entry that moved them to the second."""
    wrong, right = [(await api.open(ref))["id"] for ref in ("EHR-1", "EHR-2")]
    for course in (wrong, right):
        await api.walk(course, "record_consent", "start")
    session = await fired(api, wrong, "record_session", {"attendance": "5", "ref": "APP-1", "comment": WORDS})
    measure = await fired(api, wrong, "record_measure", {"instrument": "phq9", "items": [1] * 9, "ref": "Form/1"})
    data = {"course": right, "entries": [session["seq"], measure["seq"]]}
    move = await fired(api, wrong, "move_entries", data, "supervisor", reason="Told to the wrong client.")
    return wrong, right, session["seq"], measure["seq"], move


def test_the_wrong_chart_shows_an_error_and_nothing_of_the_other_client(api):
    async def test(api):
        wrong, _, session, measure, move = await moved(api)
        encounter, observation = await fhir(api, f"Encounter/{wrong}.{session}"), await fhir(api, f"Observation/{wrong}.{measure}")
        for resource in (encounter, observation):
            assert (resource["status"], resource["meta"]["versionId"]) == ("entered-in-error", str(move["seq"]))
            assert not {"identifier", "appointment", "valueQuantity", "interpretation"} & set(resource)
        assert observation["dataAbsentReason"]["coding"][0]["code"] == "masked"
        gone = await api.get(f"/fhir/R4/QuestionnaireResponse/{wrong}.{measure}", "supervisor")
        assert gone.status_code in {404, 410}
        client = encounter["subject"]["reference"]
        chart = [await fhir(api, f"{kind}?patient={client}") for kind in ("Encounter", "Observation", "QuestionnaireResponse")]
        assert [len(found.get("entry", ())) for found in chart] == [1, 1, 0]
        assert WORDS not in json.dumps(chart)
        assert fhir_validators.faults([encounter, observation]) == [[], []]

    api(test)


def test_the_right_chart_has_the_session_and_the_measure_with_its_answers(api):
    async def test(api):
        _, right, _, _, move = await moved(api)
        first, second = [each["to"] for each in move["structural"]["moved"]]
        encounter, observation = await fhir(api, f"Encounter/{right}.{first}"), await fhir(api, f"Observation/{right}.{second}")
        assert encounter["status"] == "finished"
        assert encounter["appointment"][0]["identifier"]["value"] == "APP-1"
        assert (observation["status"], observation["valueQuantity"]["value"]) == ("final", 9)
        response = await fhir(api, f"QuestionnaireResponse/{right}.{second}")
        assert len(response["item"]) == 9

    api(test)


def test_the_provenance_of_a_move_names_all_that_it_took_away(api):
    async def test(api):
        wrong, _, session, measure, move = await moved(api)
        provenance = await fhir(api, f"Provenance/{wrong}.{move['seq']}")
        targets = [each["reference"] for each in provenance["target"]]
        seq = move["seq"]
        assert targets == [
            f"EpisodeOfCare/{wrong}/_history/{seq}",
            f"Encounter/{wrong}.{session}/_history/{seq}",
            f"Observation/{wrong}.{measure}/_history/{seq}",
        ]
        assert "NULLIFY" in json.dumps(provenance["activity"])
        version = await fhir(api, f"Encounter/{wrong}.{session}/_history/{seq}")
        assert version["status"] == "entered-in-error"
        assert fhir_validators.faults([provenance]) == [[]]

    api(test)
