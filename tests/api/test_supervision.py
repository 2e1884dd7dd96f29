"""Supervision over HTTP: a meeting about several courses, its records, and the agenda that they order."""

import datetime as dt

import httpx
import msgspec
from support.http_client import OPERATOR, START

from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.people import PersonChange

WEEK = dt.timedelta(weeks=1)
MEETING = {"supervisor": "supervisor-1", "supervisees": ["therapist-1"], "kind": "individual", "minutes": 50}


async def begun(api, ref: str = "EHR-1", **more: object) -> str:
    course = (await api.open(ref, **more))["id"]
    await api.walk(course, "record_consent", "start")
    return course


async def supervised(api) -> None:
    """Supervisor-1 supervises therapist-1."""
    change = PersonChange(supervisors=("supervisor-1",))
    await api.services.people.change(OPERATOR, "therapist-1", lambda: change)


async def meet(api, *courses: object, role: str = "supervisor", key: str | None = None, **more: object) -> httpx.Response:
    """A meeting about these courses; one that is an id alone was discussed without words."""
    body = {**MEETING, "courses": [{"course": each} if isinstance(each, str) else each for each in courses], **more}
    return await api.post("/v1/supervision", body, role, **({"Idempotency_Key": key} if key else {}))


async def agenda(api, role: str = "supervisor", limit: int = 50) -> dict:
    answer = await api.get(f"/v1/supervision/agenda?limit={limit}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def records(api, role: str = "supervisor", query: str = "") -> dict:
    answer = await api.get(f"/v1/supervision{query}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()


def faults(answer: httpx.Response) -> list[str]:
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid"), answer.text
    return [each["where"] for each in answer.json()["errors"]]


def test_a_meeting_is_one_record_on_every_course_that_it_discussed(api):
    async def test(api):
        first, second = await begun(api), await begun(api, "EHR-2")
        spoken = {"course": first, "discussed": "The dispute is stuck.", "actions": ["Bring the tape."]}
        answer = await meet(api, spoken, second, next_on="2026-02-02")
        assert (answer.status_code, answer.json()["records"]) == (201, 2), answer.text
        items = (await records(api))["items"]
        assert {each["meeting"] for each in items} == {answer.json()["meeting"]}
        shown = {each["course"]: each for each in items}
        assert set(shown) == {first, second}
        assert (shown[first]["discussed"], shown[first]["actions"]) == ("The dispute is stuck.", ["Bring the tape."])
        assert (shown[second]["discussed"], shown[second]["actions"]) == (None, [])
        assert {(each["supervisor"], each["kind"], each["minutes"], each["next_on"]) for each in items} == {
            ("supervisor-1", "individual", 50, "2026-02-02")
        }
        entry = (await api.get(f"/v1/courses/{first}/transitions/{shown[first]['seq']}")).json()
        assert (entry["trigger"], entry["actor"]["person"]) == ("record_supervision", "supervisor-1")
        assert "dispute" not in entry["canonical"]

    api(test)


def test_a_course_that_was_opened_later_stops_the_whole_meeting(api):
    clock = VirtualClock(START)

    async def test(api):
        older = await begun(api)
        clock.advance(WEEK)
        younger = await begun(api, "EHR-2")
        answer = await meet(api, older, younger, occurred_at=(START + dt.timedelta(days=1)).isoformat())
        assert faults(answer) == ["occurred_at"]
        assert "before the course was opened" in answer.json()["errors"][0]["message"]
        assert (await records(api))["items"] == []

    api(test, clock)


def test_a_meeting_of_last_week_is_recorded_where_it_happened(api):
    clock = VirtualClock(START)

    async def test(api):
        course = await begun(api)
        held = START + dt.timedelta(days=1)
        clock.advance(WEEK)
        await api.walk(course, "record_evaluation")
        assert (await meet(api, course, occurred_at=held.isoformat())).status_code == 201
        (item,) = (await records(api))["items"]
        assert dt.datetime.fromisoformat(item["occurred_at"]) == held

    api(test, clock)


def test_the_same_request_records_a_meeting_once(api):
    async def test(api):
        course = await begun(api)
        first, again = await meet(api, course, key="k-1"), await meet(api, course, key="k-1")
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert again.headers["idempotent-replayed"] == "true"
        assert len((await records(api))["items"]) == 1

    api(test)


def test_every_fault_of_a_meeting_is_named_at_once(api):
    async def test(api):
        course = await begun(api)
        answer = await meet(api, course, course, supervisor="therapist-1", supervisees=["therapist-1", "nobody"])
        assert faults(answer) == ["supervisor", "supervisor", "supervisees[1]", "courses[1].course"]
        assert faults(await meet(api, minutes=0, kind="lunch")) != []

    api(test)


def test_somebody_elses_course_does_not_exist_for_a_meeting(api):
    async def test(api):
        mine, foreign = await begun(api), (await api.open("EHR-2", therapist="therapist-2"))["id"]
        answer = await meet(api, mine, foreign, role="therapist")
        assert answer.status_code == 404, answer.text
        assert (await records(api))["items"] == []

    api(test)


def test_records_are_read_as_they_are_after_corrections(api):
    async def test(api):
        course = await begun(api)
        await meet(api, {"course": course, "actions": ["Bring the tape."]})
        await meet(api, {"course": course, "discussed": "By mistake."})
        kept, taken = [each["seq"] for each in (await records(api))["items"]][::-1]
        correction = {"supersedes": kept, "data": {"minutes": 60, "actions": ["Bring two tapes."]}}
        assert (await api.fire(course, "amend", correction, "supervisor", reason="Longer.")).status_code == 201
        voided = await api.fire(course, "amend", {"supersedes": taken, "void": True}, "supervisor", reason="Never held.")
        assert voided.status_code == 201, voided.text
        (item,) = (await records(api))["items"]
        assert (item["seq"], item["minutes"], item["actions"]) == (kept, 60, ["Bring two tapes."])

    api(test)


def test_records_are_paged_from_the_last_to_the_first(api):
    async def test(api):
        course = await begun(api)
        for minutes in (10, 20, 30):
            await meet(api, course, minutes=minutes)
        page = await records(api, query="?limit=2")
        assert [each["minutes"] for each in page["items"]] == [30, 20]
        rest = await records(api, query=f"?limit=2&cursor={page['next']}")
        assert ([each["minutes"] for each in rest["items"]], rest["next"]) == ([10], None)

    api(test)


def test_a_course_that_nobody_has_discussed_for_four_weeks_comes_first(api):
    clock = VirtualClock(START)

    async def test(api):
        await supervised(api)
        forgotten, discussed = await begun(api), await begun(api, "EHR-2")
        clock.advance(3 * WEEK)
        young = await begun(api, "EHR-3")
        clock.advance(dt.timedelta(days=1))
        await meet(api, {"course": discussed, "actions": ["Bring the tape."]})
        clock.advance(dt.timedelta(days=6))
        view = await agenda(api)
        assert [each["course"]["id"] for each in view["items"]] == [forgotten, young, discussed]
        assert [each["due"] for each in view["items"]] == [True, False, False]
        assert (view["courses"], view["due"]) == (3, 1)
        assert view["items"][2]["last"]["actions"] == ["Bring the tape."]
        assert [each["course"]["id"] for each in (await agenda(api, limit=1))["items"]] == [forgotten]
        await meet(api, forgotten)
        assert (await agenda(api))["due"] == 0

    api(test, clock)


def test_an_agenda_is_of_those_who_are_supervised_and_of_ones_own(api):
    async def test(api):
        course = await begun(api)
        assert (await agenda(api))["items"] == []
        await supervised(api)
        for role in ("supervisor", "therapist"):
            assert [each["course"]["id"] for each in (await agenda(api, role))["items"]] == [course]
        await api.walk(course, "end_early")
        assert (await agenda(api))["items"] == []

    api(test)


def test_reading_supervision_is_recorded_with_the_courses_that_were_shown(api):
    async def test(api):
        await supervised(api)
        course = await begun(api)
        await meet(api, course)
        await records(api)
        await agenda(api)
        found = (await api.get("/v1/audit?kind=read&actor=supervisor-1", "auditor")).json()["items"]
        shown = {each["action"]: each["courses"] for each in found}
        assert shown["supervision"] == shown["supervision agenda"] == [course]

    api(test)


def test_what_was_discussed_is_masked_where_texts_are(api):
    async def test(api):
        course = await begun(api)
        await meet(api, {"course": course, "discussed": "Words."})
        rules = msgspec.structs.replace(api.clinic.access_rules, auditor_text="never")
        api.clinic.access_rules = rules
        (item,) = (await records(api, "auditor"))["items"]
        assert (item["discussed"], item["minutes"]) == (None, 50)

    api(test)
