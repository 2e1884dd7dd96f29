"""Messages that cannot be used: the notice that waits keeps their risk, and shows on their client's course."""

import json

import pytest
from support.ehr_sender import course, inbox
from support.fhir_bodies import encounter, form

RISK = [0] * 8 + [3]


def transaction(*resources: dict) -> dict:
    read = {"request": {"method": "GET", "url": "Patient/EHR-1"}}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [*({"resource": each} for each in resources), read]}


def of(resource: dict, client: str) -> dict:
    return {**resource, "subject": {"reference": f"https://ehr.example/fhir/Patient/{client}/_history/2"}}


async def full(api) -> None:
    api.clinic.settings = api.clinic.settings.model_copy(update={"notices_waiting_max": 0})


SENT = {
    "another media type": (form(RISK), {"content-type": "text/json"}, 415),
    "another id in the path": (form(RISK), {"path": "/QuestionnaireResponse/Q2"}, 422),
    "a transaction that reads": (transaction(encounter(), form(RISK)), {"method": "POST"}, 422),
    "a Bundle inside another": (transaction(transaction(form(RISK))), {"method": "POST"}, 422),
    "a list of resources": ([form(RISK)], {"method": "POST", "path": ""}, 400),
}


@pytest.mark.parametrize(("body", "how", "answered"), SENT.values(), ids=SENT)
def test_its_risk_is_kept_by_a_full_inbox_and_shows_on_the_course(with_ehr, body, how, answered):
    async def test(api, ehr, course_id):
        await full(api)
        assert (await ehr.fhir(body, **how)).status_code == answered
        (waits,) = await inbox(api, "therapist")
        assert (waits["type"], waits["risk"], waits["course"], waits["client_ref"]) == ("fhir.unreadable", True, course_id, "EHR-1")
        assert "risk" in (await course(api, course_id))["attention"]

    with_ehr(test)


def test_one_without_risk_shows_on_the_course_and_is_refused_by_a_full_inbox(with_ehr):
    async def test(api, ehr, course_id):
        assert (await ehr.fhir(form([0] * 9), path="/QuestionnaireResponse/Q2")).status_code == 422
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["course"]) == (False, course_id)
        await full(api)
        assert (await ehr.fhir(form([1] * 8 + [0]), path="/QuestionnaireResponse/Q2")).status_code == 503

    with_ehr(test)


@pytest.mark.parametrize(
    "others",
    (
        [of(encounter(), "EHR-2")],
        [of({"resourceType": "Condition", "id": "C1"}, "EHR-2")],
        [{"resourceType": "Patient", "id": "EHR-2"}],
    ),
    ids=lambda others: others[0]["resourceType"],
)
def test_one_about_several_clients_shows_on_no_course(with_ehr, others):
    async def test(api, ehr, _course_id):
        await api.open("EHR-2")
        await ehr.fhir(transaction(*others, of(form(RISK), "EHR-1")), "POST")
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["course"]) == (True, None)
        assert await inbox(api, "therapist") == []

    with_ehr(test)


def test_one_about_a_client_without_a_course_makes_nobody_known(with_ehr):
    async def test(api, ehr, _course_id):
        await ehr.fhir(transaction(of(form(RISK), "EHR-9")), "POST")
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["client_ref"]) == (True, None)

    with_ehr(test)


def test_references_to_other_entries_name_the_client_too(with_ehr):
    async def test(api, ehr, course_id):
        bundle = transaction({**form(RISK), "subject": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}})
        patient = {"resourceType": "Patient", "id": "EHR-1"}
        bundle["entry"].append({"fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "resource": patient})
        await ehr.fhir(bundle, "POST")
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["course"]) == (True, course_id)

    with_ehr(test)


@pytest.mark.parametrize("body", (b"{", b"\xff", b"[" * 100_000, b"3", b'{"resourceType": "Bundle", "entry": [3, {}]}'))
def test_what_tells_nothing_waits_without_risk(with_ehr, body):
    async def test(api, ehr, _course_id):
        await ehr.fhir(body, "POST", "", **{"content-type": "text/json"})
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["client_ref"]) == (False, None)

    with_ehr(test)


def test_a_bundle_under_a_used_id_keeps_its_risk_and_its_client(with_ehr):
    async def test(api, ehr, course_id):
        batch = {"resourceType": "Bundle", "type": "batch", "entry": []}
        first, second = (json.dumps({**batch, "entry": each}).encode() for each in ([], [{"resource": form(RISK)}]))
        for raw, answered in ((first, 202), (second, 409)):
            headers = {"content-type": "application/fhir+json", "accept": "application/json", **ehr.signed(raw, "msg_1")}
            assert (await ehr.post("/v1/ehr/fhir/north", raw, headers)).status_code == answered
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["course"]) == (True, course_id)

    with_ehr(test, "standard-webhooks")


def test_a_faulty_notice_of_our_own_types_shows_on_the_course(with_ehr):
    async def test(api, ehr, course_id):
        data = {"client_ref": "EHR-1", "instrument": "phq9", "items": [0] * 8 + [3], "unknown": 1}
        assert (await ehr.notify("measure.completed", data)).status_code == 422
        (waits,) = await inbox(api)
        assert (waits["type"], waits["risk"], waits["course"]) == ("unreadable", True, course_id)
        for wrong in (3, "EHR-1\x00", None, "EHR-9"):
            assert (await ehr.notify("measure.completed", {**data, "client_ref": wrong})).status_code == 422
        assert [each["course"] for each in await inbox(api)] == [course_id, *[None] * 4]

    with_ehr(test, "standard-webhooks")
