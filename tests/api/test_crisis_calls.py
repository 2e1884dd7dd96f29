"""A colleague on duty takes a crisis call of somebody else's client (`clinical.md`, case 9)."""

import datetime as dt

from support.http_client import OPERATOR, START

from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.tokens import NewToken

CALLS = "/v1/courses/crisis-calls"
CONTACT = {"trigger": "record_contact", "data": {"kind": "crisis", "minutes": 25, "risk": True, "summary": "Called at night."}}
RAISED = {
    "trigger": "raise_risk",
    "data": {"level": "acute", "plan": "Her sister stays with her.", "told": ["Crisis team"]},
}
CALL = {"client_ref": "EHR-1", "together": [CONTACT, RAISED]}


async def on_duty(api) -> None:
    made = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="therapist-2"))
    api.tokens["duty"] = made.token


def wheres(answer) -> set[str]:
    assert answer.status_code == 422, answer.text
    return {each["where"] for each in answer.json()["errors"]}


def test_one_step_raises_the_risk_and_the_courses_therapist_sees_it_the_next_morning(api):
    clock = VirtualClock(START)

    async def test(api):
        await on_duty(api)
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        clock.advance(dt.timedelta(hours=14))
        answer = await api.post(CALLS, CALL, "duty")
        assert answer.status_code == 201, answer.text
        assert [each["trigger"] for each in answer.json()["entries"]] == ["record_contact", "raise_risk"]
        assert set(answer.json()) == {"entries"}
        assert set(answer.json()["entries"][0]) == {"seq", "trigger", "occurred_at", "recorded_at"}
        assert (await api.get(f"/v1/courses/{course}", "duty")).status_code == 404
        assert (await api.get("/v1/courses", "duty")).json()["items"] == []

        clock.advance(dt.timedelta(hours=10))
        (seen,) = (await api.get("/v1/courses?attention=risk")).json()["items"]
        assert (seen["id"], seen["therapist"], seen["risk"]["level"]) == (course, "therapist-1", "acute")
        history = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        assert [each["actor"]["person"] for each in history[-2:]] == ["therapist-2", "therapist-2"]
        answer = await api.fire(course, "begin_middle")
        assert "no_acute_risk" in {each["rule"] for each in answer.json()["refusals"]}
        verified = (await api.get("/v1/audit/verify", "auditor")).json()
        assert verified["ok"], verified

    api(test, clock)


def test_a_call_is_recorded_when_it_came(api):
    clock = VirtualClock(START)

    async def test(api):
        await on_duty(api)
        course = (await api.open())["id"]
        clock.advance(dt.timedelta(hours=14))
        at = clock.now().isoformat()
        clock.advance(dt.timedelta(hours=1))
        await api.fire(course, "note", {"text": "She called off."})
        answer = await api.post(CALLS, {**CALL, "together": [{**each, "occurred_at": at} for each in CALL["together"]]}, "duty")
        assert answer.status_code == 201, answer.text
        assert {dt.datetime.fromisoformat(each["occurred_at"]).isoformat() for each in answer.json()["entries"]} == {at}

    api(test, clock)


def test_the_call_goes_to_the_open_course(api):
    async def test(api):
        await on_duty(api)
        first = (await api.open())["id"]
        await api.fire(first, "end_early", {"end_code": "47", "last_contact": "2026-01-05", "risk_status": "none", "attempts": 1}, reason="Moved.")  # fmt: skip
        assert (await api.post(CALLS, CALL, "duty")).status_code == 201
        assert (await api.version(first)) == 4
        second = (await api.open())["id"]
        assert (await api.post(CALLS, CALL, "duty")).status_code == 201
        assert (await api.version(first), await api.version(second)) == (4, 3)

    api(test)


def test_a_call_is_recorded_once_under_one_key(api):
    async def test(api):
        await on_duty(api)
        course = (await api.open())["id"]
        first, again = [await api.post(CALLS, CALL, "duty", Idempotency_Key="call-1") for _ in range(2)]
        assert (first.status_code, again.status_code, again.headers["idempotent-replayed"]) == (201, 201, "true")
        assert first.json() == again.json()
        assert await api.version(course) == 3

    api(test)


def test_nothing_but_a_crisis_call_can_be_recorded_so(api):
    async def test(api):
        await on_duty(api)
        course = (await api.open())["id"]
        session = {"trigger": "record_session", "data": {"attendance": "5"}}
        reviewed = {"trigger": "review_risk", "data": {"level": "none"}}
        assert wheres(await api.post(CALLS, {**CALL, "together": [CONTACT, session, reviewed]}, "duty")) == {
            "together[1].trigger",
            "together[2].trigger",
        }
        assert wheres(await api.post(CALLS, {**CALL, "together": [RAISED]}, "duty")) == {"together"}
        assert wheres(await api.post(CALLS, {**CALL, "together": []}, "duty")) == {"together"}
        acute = {"trigger": "raise_risk", "data": {"level": "acute"}}
        missing = {"together[1].data.plan", "together[1].data.told"}
        assert wheres(await api.post(CALLS, {**CALL, "together": [CONTACT, acute]}, "duty")) == missing
        assert await api.version(course) == 1

    api(test)


def test_a_client_without_a_course_is_not_found_and_that_somebody_tried_is_recorded(api):
    async def test(api):
        await on_duty(api)
        await api.open()
        answer = await api.post(CALLS, {**CALL, "client_ref": "EHR-2"}, "duty")
        assert answer.status_code == 404
        (tried,) = (await api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]
        assert (tried["action"], tried["actor"]["person"]) == ("take a crisis call", "therapist-2")

    api(test)
