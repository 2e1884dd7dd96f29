"""What a newer version of a resource does not say any more is taken back, and a waiting notice follows its resource."""

import pytest
from support.ehr_sender import course, inbox, journal, resolve, settled, status
from support.fhir_bodies import ANSWERS, LOINC, appointment, at, encounter, form

GAD7 = ["69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"]
TAKEN_BACK = "The EHR has changed or withdrawn this since. Review the risk all the same."


def of(number: int) -> dict:
    return {"reference": f"Patient/EHR-{number}"}


def gad7(scores: list[int]) -> list[dict]:
    return [
        {"linkId": f"/{code}", "answer": [{"valueCoding": {"system": LOINC, "code": ANSWERS[score]}}]}
        for code, score in zip(GAD7, scores, strict=True)
    ]


async def sessions(api, *courses: str) -> list[list[str]]:
    return [[each["attendance"] for each in (await course(api, one))["sessions"]] for one in courses]


async def totals(api, course_id: str) -> dict[str, int]:
    return {key: each["last"]["total"] for key, each in (await course(api, course_id))["measures"].items()}


# Clients


@pytest.mark.parametrize("kind", ("bearer", "standard-webhooks"))
def test_a_visit_that_moves_to_another_client_is_taken_from_the_first(with_two, kind):
    async def test(api, ehr, first, second):
        await ehr.fhir(encounter(subject=of(1)))
        assert await sessions(api, first, second) == [["5"], []]
        moved = (await ehr.fhir(encounter(version=2, subject=of(2)))).json()
        assert [each["status"] for each in moved["things"]] == ["applied", "applied"]
        assert await sessions(api, first, second) == [[], ["5"]]
        assert status(await ehr.fhir(encounter(version=2, subject=of(2)))) == "applied"  # a repeat
        assert await sessions(api, first, second) == [[], ["5"]]
        assert status(await ehr.fhir(encounter(version=3, subject=of(1)))) == "applied"
        assert await sessions(api, first, second) == [["5"], []]
        assert await inbox(api) == []

    with_two(test, kind=kind)


def test_a_visit_that_moved_is_deleted_where_it_is(with_two):
    async def test(api, ehr, first, second):
        await ehr.fhir(encounter(subject=of(1)))
        await ehr.fhir(encounter(version=2, subject=of(2)))
        assert status(await ehr.fhir(None, "DELETE", "/Encounter/E1")) == "applied"
        assert await sessions(api, first, second) == [[], []]
        assert await inbox(api) == []

    with_two(test)


def test_a_waiting_visit_that_moves_to_another_client_waits_no_longer(with_two):
    async def test(api, ehr, first, second):
        await ehr.fhir(encounter(subject=of(1), status="cancelled"))
        assert len(await inbox(api)) == 1
        await ehr.fhir(encounter(version=2, subject=of(2)))
        assert (await inbox(api), await sessions(api, first, second)) == ([], [[], ["5"]])

    with_two(test)


def test_a_client_who_is_taken_off_an_appointment_has_no_session_of_it(with_two):
    async def test(api, ehr, first, second):
        both = appointment(status="fulfilled", participant=[{"actor": of(1)}, {"actor": of(2)}])
        answer = (await ehr.fhir(both)).json()
        assert [(each["status"], each["type"]) for each in answer["things"]] == [("applied", "fhir.Appointment")] * 2
        await ehr.fhir(appointment(version=2, status="fulfilled", participant=[{"actor": of(2)}]))
        assert await sessions(api, first, second) == [[], ["5"]]
        await ehr.fhir(appointment(version=3, status="fulfilled", participant=[{"actor": of(2)}, {"actor": of(1)}]))
        assert await sessions(api, first, second) == [["5"], ["5"]]
        assert status(await ehr.fhir(None, "DELETE", "/Appointment/A1")) == "applied"
        assert await sessions(api, first, second) == [[], []]
        assert await inbox(api) == []

    with_two(test)


# Scales


def test_a_form_that_is_corrected_to_another_scale_is_that_scale_alone(with_two):
    async def test(api, ehr, first, _second):
        await ehr.fhir(form([1] * 8 + [0]))
        assert await totals(api, first) == {"phq9@1": 8}
        await ehr.fhir({**form([], version=2), "item": gad7([2] * 7)})
        assert await totals(api, first) == {"gad7@1": 14}
        await ehr.fhir({**form([1] * 8 + [0], version=3), "item": [*form([1] * 8 + [0])["item"], *gad7([1] * 7)]})
        assert await totals(api, first) == {"phq9@1": 8, "gad7@1": 7}
        await ehr.fhir(form([], version=4))
        assert await totals(api, first) == {}
        assert await inbox(api) == []

    with_two(test)


@pytest.mark.parametrize("emptied", ({"subject": None, "item": []}, {"item": []}, {}), ids=("all", "answers", "nothing"))
def test_a_form_entered_in_error_is_taken_back_whole_also_if_it_was_emptied(with_two, emptied):
    async def test(api, ehr, first, _second):
        whole = {**form([1] * 8 + [0]), "item": [*form([1] * 8 + [0])["item"], *gad7([1] * 7)]}
        await ehr.fhir(whole)
        assert await totals(api, first) == {"phq9@1": 8, "gad7@1": 7}
        void = {**whole, **form([], version=2), **({} if "item" in emptied else {"item": whole["item"]}), **emptied}
        void = {name: each for name, each in void.items() if each is not None}
        await ehr.fhir({**void, "status": "entered-in-error"})
        assert (await totals(api, first), await inbox(api)) == ({}, [])

    with_two(test)


# Deleted, restored, and deleted again


def test_a_resource_may_be_deleted_and_restored_and_deleted_again(with_two):
    async def test(api, ehr, first, _second):
        for version in (1, 3, 5):
            assert status(await ehr.fhir(encounter(version=version))) == "applied"
            assert await sessions(api, first) == [["5"]]
            for _ in range(2):
                assert status(await ehr.fhir(None, "DELETE", "/Encounter/E1")) == "applied"
            assert await sessions(api, first) == [[]]
        assert status(await ehr.fhir(encounter(version=5))) == "ignored"  # it was deleted since
        assert (await sessions(api, first), await inbox(api)) == ([[]], [])

    with_two(test)


def test_a_resource_entered_in_error_may_be_restored(with_two):
    async def test(api, ehr, first, _second):
        for version, what, held in ((1, "finished", 1), (2, "entered-in-error", 0), (3, "finished", 1), (4, "entered-in-error", 0)):
            assert status(await ehr.fhir(encounter(version=version, status=what))) == "applied"
            assert len((await course(api, first))["sessions"]) == held

    with_two(test)


@pytest.mark.parametrize("deleted", (True, False), ids=("deleted", "in-error"))
def test_a_visit_that_was_corrected_is_taken_back_whole(with_two, deleted):
    async def test(api, ehr, first, _second):
        await ehr.fhir(appointment(status="noshow"))
        await ehr.fhir(appointment(version=2, status="fulfilled"))
        await ehr.fhir(appointment(version=3, status="noshow"))
        assert await sessions(api, first) == [["3"]]
        gone = (
            ehr.fhir(None, "DELETE", "/Appointment/A1") if deleted else ehr.fhir(appointment(version=4, status="entered-in-error"))
        )
        assert status(await gone) == "applied"
        assert (await sessions(api, first), await inbox(api)) == ([[]], [])
        assert status(await ehr.fhir(appointment(version=5, status="fulfilled"))) == "applied"
        assert await sessions(api, first) == [["5"]]

    with_two(test)


def test_what_was_entered_in_error_is_not_recorded_by_an_older_version_that_comes_late(with_two):
    async def test(api, ehr, first, _second):
        assert status(await ehr.fhir(encounter(version=2, status="entered-in-error"))) == "ignored"
        assert status(await ehr.fhir(encounter(version=1))) == "ignored"
        assert (await sessions(api, first), await inbox(api)) == ([[]], [])
        assert status(await ehr.fhir(encounter(version=3))) == "applied"
        assert status(await ehr.fhir({**form([1] * 9, version=2), "status": "entered-in-error"})) == "ignored"
        assert status(await ehr.fhir(form([1] * 9))) == "ignored"
        assert await totals(api, first) == {}

    with_two(test)


def test_an_appointment_that_was_cancelled_and_then_fulfilled_is_one_session_that_was_held(with_two):
    async def test(api, ehr, first, _second):
        by_client = {"coding": [{"code": "pat"}]}
        assert status(await ehr.fhir(appointment(version=1, status="cancelled", cancelationReason=by_client))) == "applied"
        assert await sessions(api, first) == [["2"]]
        assert status(await ehr.fhir(appointment(version=2, status="fulfilled"))) == "applied"
        assert await sessions(api, first) == [["5"]]
        visit = encounter(period={"start": at(7), "end": at(7, minutes=50)}, appointment=[{"reference": "Appointment/A1"}])
        await ehr.fhir(visit)
        assert (await sessions(api, first), await inbox(api)) == ([["5"]], [])

    with_two(test)


# Waiting notices


def test_a_waiting_notice_is_replaced_by_the_newer_version_of_its_resource(with_two):
    async def test(api, ehr, first, _second):
        assert status(await ehr.fhir(appointment(status="cancelled"))) == "waiting"
        assert status(await ehr.fhir(appointment(version=2, status="fulfilled"))) == "applied"
        assert (await inbox(api), await sessions(api, first)) == ([], [["5"]])

    with_two(test)


def test_a_waiting_notice_that_awaits_a_course_follows_its_resource(with_two):
    async def test(api, ehr, _first, _second):
        for gone in (encounter(version=2, subject=of(9), status="entered-in-error"), None):
            assert status(await ehr.fhir(encounter(subject=of(9)) if gone else encounter("E2", subject=of(9)))) == "waiting"
            answer = await ehr.fhir(gone) if gone else await ehr.fhir(None, "DELETE", "/Encounter/E2")
            assert status(answer) == "ignored"
            assert await inbox(api) == []

    with_two(test)


def test_a_waiting_risk_stays_and_says_that_it_was_changed(with_two):
    async def test(api, ehr, first, _second):
        risky = form([3] * 9)
        risky["item"][2]["answer"] = [{"valueString": "?"}]
        assert status(await ehr.fhir(risky)) == "waiting"
        assert status(await ehr.fhir(form([1] * 8 + [0], version=2))) == "applied"
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["says"][-1]) == (True, TAKEN_BACK)
        assert "risk" in (await course(api, first))["attention"]
        assert status(await ehr.fhir({**form([], version=3), "status": "entered-in-error"})) == "applied"
        (waits,) = await inbox(api)
        assert waits["says"].count(TAKEN_BACK) == 1
        assert await totals(api, first) == {}
        assert (await resolve(api, waits["id"], action="dismiss", reason="Seen.")).json()["status"] == "dismissed"
        assert "risk" not in (await course(api, first))["attention"]

    with_two(test)


def test_a_risk_that_awaits_a_course_and_was_changed_since_waits_for_a_person(with_two):
    async def test(api, ehr, _first, _second):
        assert status(await ehr.fhir(form([1] * 8 + [3], subject=of(9)))) == "waiting"
        assert status(await ehr.fhir(form([1] * 8 + [0], version=2, subject=of(9)))) == "waiting"
        opened = (await api.open("EHR-9"))["id"]
        await settled(api)
        assert await totals(api, opened) == {"phq9@1": 8}
        (waits,) = await inbox(api)
        assert (waits["risk"], waits["says"]) == (True, [TAKEN_BACK])
        assert (waits["why"], waits["course"]) == (TAKEN_BACK, opened)
        assert "risk" in (await course(api, opened))["attention"]

    with_two(test)


def test_a_death_and_merges_are_taken_back_one_by_one(with_two):
    def patient(version: int, **more) -> dict:
        return {"resourceType": "Patient", "id": "EHR-1", "meta": {"versionId": str(version)}, **more}

    def replaces(*names: str) -> list[dict]:
        return [{"type": "replaced-by", "other": {"reference": f"Patient/{name}"}} for name in names]

    async def test(api, ehr, _first, _second):
        async def waits() -> list[str]:
            return sorted(each["proposes"]["data"].get("client_ref", "death") for each in await inbox(api))

        await ehr.fhir(patient(1, link=replaces("a", "b"), deceasedBoolean=True))
        assert await waits() == ["a", "b", "death"]
        await ehr.fhir(patient(2, link=replaces("b"), deceasedBoolean=True))
        assert await waits() == ["b", "death"]
        await ehr.fhir(patient(3, link=replaces("b")))
        assert await waits() == ["b"]
        await ehr.fhir(patient(2, link=replaces("b"), deceasedBoolean=True))  # late
        assert await waits() == ["b"]
        await ehr.fhir(patient(4, deceasedBoolean=True))
        assert await waits() == ["death"]
        await ehr.fhir(patient(5))
        assert await waits() == []

    with_two(test)


# Whoever recorded it


def test_what_was_signed_is_not_taken_back_but_waits(with_two):
    async def test(api, ehr, first, second):
        await ehr.fhir(encounter(subject=of(1)))
        seq = (await course(api, first))["sessions"][0]["seq"]
        assert (await api.fire(first, "sign_session", {"session": seq})).status_code == 201
        answer = (await ehr.fhir(encounter(version=2, subject=of(2)))).json()
        assert sorted(each["status"] for each in answer["things"]) == ["applied", "waiting"]
        (waits,) = await inbox(api)
        assert (waits["course"], waits["about_seq"]) == (first, seq)
        assert await sessions(api, first, second) == [["5"], ["5"]]
        assert [each["trigger"] for each in await journal(api, first)][-1] == "sign_session"
        assert status(await ehr.fhir(encounter(version=2, subject=of(2)))) in {"applied", "waiting"}
        assert len(await inbox(api)) == 1

    with_two(test)
