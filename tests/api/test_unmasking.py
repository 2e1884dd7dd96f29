"""An auditor sees structure always, and sealed text as the organisation decides: at any time, after unmasking it, or never."""

import datetime as dt

import pytest
from support.http_client import START

from ipt_workflow.access.relations import AccessRules
from ipt_workflow.runtime.clock import VirtualClock

UNMASK = "/v1/unmasking"
TEXT = "She fears for her sister."
WHY = "A complaint about the note of January."


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


async def noted(api, auditor_text: str = "unmask") -> str:
    """A course with a note and a proposal, in an organisation that decided so."""
    api.clinic.access_rules = AccessRules(auditor_text=auditor_text)  # type: ignore[arg-type]
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start")
    await api.fire(course, "record_contact", {"kind": "telephone", "summary": TEXT})
    await api.fire(course, "note", {"text": TEXT})
    waiver = {"trigger": "waive_sick_role", "reason": TEXT}
    await api.post(f"/v1/courses/{course}/proposals", waiver, If_Match=f'"{await api.version(course)}"')
    return course


def ways(course: str) -> list[str]:
    fhir = [f"/fhir/R4/{kind}{part}" for kind in ("EpisodeOfCare", "Communication", "Encounter") for part in ("", "/_history")]
    mine = [f"/v1/courses/{course}{part}" for part in ("", "/transitions", "/transitions/5", "/snapshot")]
    return [*mine, "/v1/proposals", *fhir, f"/fhir/R4/EpisodeOfCare/{course}/_history"]


async def showing(api, course: str, role: str = "auditor") -> set[str]:
    """The ways by which the text is shown."""
    found = {path: await api.get(path, role) for path in ways(course)}
    return {path for path, answer in found.items() if answer.status_code == 200 and TEXT in answer.text}


def test_an_auditor_reads_sealed_text_after_unmasking_it_with_a_reason_for_an_hour(api, clock):
    async def test(api):
        course = await noted(api)
        others = await showing(api, course, "supervisor")
        assert {f"/v1/courses/{course}/transitions", "/v1/proposals"} <= others
        assert await showing(api, course) == set()
        answer = await api.post(UNMASK, {"course": course, "reason": WHY}, "auditor")
        assert answer.status_code == 201, answer.text
        assert await showing(api, course) == others
        clock.advance(dt.timedelta(hours=1))
        assert await showing(api, course) == set()

    api(test, clock)


def test_what_is_masked_still_shows_its_structure_and_says_so(api, clock):
    async def test(api):
        course = await noted(api)
        masked = (await api.get(f"/v1/courses/{course}/transitions", "auditor")).json()["items"]
        known = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        assert {(each["masked"], each["erased"], each["salt"], each["reason"]) for each in masked} == {(True, False, None, None)}
        assert {each["masked"] for each in known} == {False}
        for name in ("trigger", "structural", "hash", "data_digest", "canonical"):
            assert [each[name] for each in masked] == [each[name] for each in known]

    api(test, clock)


def test_one_course_is_unmasked_for_one_auditor_and_it_is_recorded_who_did_and_why(api, clock):
    async def test(api):
        course = await noted(api)
        other = (await api.open("EHR-2"))["id"]
        await api.fire(other, "note", {"text": TEXT})
        await api.post(UNMASK, {"course": course, "reason": WHY, "minutes": 5}, "auditor")
        shown = await api.get(f"/v1/courses/{other}/transitions", "auditor")
        assert TEXT not in shown.text
        for role in ("auditor", "supervisor"):
            (made,) = (await api.get(UNMASK, role)).json()["items"]
            assert (made["course"], made["person"], made["reason"]) == (course, "auditor-1", WHY)
        (recorded,) = (await api.get("/v1/audit?kind=access", "auditor")).json()["items"]
        assert (recorded["action"], recorded["courses"]) == ("sealed text unmasked", [course])

    api(test, clock)


def test_unmaskings_of_a_course_that_a_supervisor_may_not_see_are_not_shown_to_them(api, clock):
    async def test(api):
        courses = [await noted(api)] + [(await api.open(f"EHR-{number}"))["id"] for number in (2, 3)]
        for each in courses:
            assert (await api.post(UNMASK, {"course": each, "reason": WHY}, "auditor")).status_code == 201

        async def listed(role: str, limit: int = 50) -> list[str]:
            return [each["course"] for each in (await api.get(f"{UNMASK}?limit={limit}", role)).json()["items"]]

        assert await listed("supervisor") == courses
        restriction = {"people": [], "reason": "The client works here."}
        await api.client.put(f"/v1/courses/{courses[0]}/restriction", json=restriction, headers=api.headers("admin"))
        assert await listed("supervisor") == courses[1:]
        assert await listed("supervisor", 1) == courses[1:2]  # no page is empty for what is left out
        assert await listed("auditor") == courses

    api(test, clock)


def test_where_the_organisation_says_never_nothing_unmasks_it(api, clock):
    async def test(api):
        course = await noted(api, "never")
        assert (await api.post(UNMASK, {"course": course, "reason": WHY}, "auditor")).status_code == 403
        assert await showing(api, course) == set()

    api(test, clock)


def test_where_the_organisation_leaves_it_open_there_is_nothing_to_unmask(api, clock):
    async def test(api):
        course = await noted(api, "open")
        assert await showing(api, course)
        answer = await api.post(UNMASK, {"course": course, "reason": WHY}, "auditor")
        assert [each["where"] for each in answer.json()["errors"]] == ["course"]

    api(test, clock)


@pytest.mark.parametrize("role", ["therapist", "supervisor", "ehr", "admin"])
def test_only_auditors_unmask(api, clock, role):
    async def test(api):
        course = await noted(api)
        assert (await api.post(UNMASK, {"course": course, "reason": WHY}, role)).status_code == 403

    api(test, clock)


def test_a_faulty_unmasking_is_refused_with_every_fault(api, clock):
    async def test(api):
        await noted(api)
        answer = await api.post(UNMASK, {"course": "nothing", "reason": WHY}, "auditor")
        assert [each["where"] for each in answer.json()["errors"]] == ["course"]
        answer = await api.post(UNMASK, {"reason": "", "minutes": 0}, "auditor")
        assert {each["where"] for each in answer.json()["errors"]} == {"course", "reason", "minutes"}

    api(test, clock)
