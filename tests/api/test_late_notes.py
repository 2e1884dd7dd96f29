"""A therapist's late evening over HTTP: what is written late is accepted with its true times, at once or one after the other."""

import datetime as dt
from typing import Any

import pytest
from support.http_client import START, Api

from ipt_workflow.runtime.clock import VirtualClock

DAY, WEEK, HOUR = dt.timedelta(days=1), dt.timedelta(weeks=1), dt.timedelta(hours=1)
THIRD, FOURTH = START + 2 * WEEK, START + 3 * WEEK  # Mondays
EVENING = FOURTH + 11 * HOUR
PAPERWORK = (
    *("record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation", "accept_formulation"),
    *("assign_sick_role", "select_focus", "agree_contract", "record_measure", "record_measure", "record_measure"),
)


async def with_two_notes_due(api: Api, clock: VirtualClock) -> str:
    """Sessions 1 and 2 and the paperwork are done. It is the evening of the fourth Monday, and nothing is written of 3 and 4."""
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start", "record_session", "sign_session")
    clock.set(START + WEEK)
    await api.walk(course, "record_session", "sign_session")
    clock.set(START + WEEK + DAY)
    await api.walk(course, *PAPERWORK)
    clock.set(EVENING)
    return course


def held(at: dt.datetime) -> dict[str, Any]:
    return {"trigger": "record_session", "data": {"attendance": "5"}, "occurred_at": at.isoformat()}


def signed(seq: int) -> dict[str, Any]:
    return {"trigger": "sign_session", "data": {"session": seq}}


def begun(at: dt.datetime) -> dict[str, Any]:
    return {"trigger": "begin_middle", "occurred_at": at.isoformat()}


def note(at: dt.datetime) -> dict[str, Any]:
    return {"trigger": "note", "data": {"text": "Rang about the time."}, "occurred_at": at.isoformat()}


async def send(api: Api, course: str, body: Any) -> Any:
    return await api.post(f"/v1/courses/{course}/transitions", body, If_Match=f'"{await api.version(course)}"')


async def attended(api: Api, course: str) -> dict[str, int]:
    found = (await api.get(f"/v1/courses/{course}")).json()
    assert found["state"] == "middle"
    attended: dict[str, int] = found["counters"]["attended"]
    return attended


@pytest.mark.parametrize("together", (True, False))
def test_two_notes_on_one_evening(api, together):
    clock = VirtualClock(START)

    async def test(api):
        course = await with_two_notes_due(api, clock)
        seq = await api.version(course) + 1
        bodies = [held(THIRD), signed(seq), begun(THIRD + HOUR), held(FOURTH), signed(seq + 3)]
        for body in [{"together": bodies}] if together else bodies:
            answer = await send(api, course, body)
            assert answer.status_code == 201, answer.text
        assert await attended(api, course) == {"initial": 3, "middle": 1, "final": 0}
        assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]

    api(test, clock)


def test_two_notes_in_the_wrong_order(api):
    clock = VirtualClock(START)

    async def test(api):
        course = await with_two_notes_due(api, clock)
        for on in (THIRD, FOURTH):  # after the last entry, and before it
            answer = await send(api, course, {"together": [note(on + 2 * HOUR), note(on), note(on + HOUR)]})
            assert answer.status_code == 201, answer.text
            assert [entry["occurred_at"][11:13] for entry in answer.json()["entries"]] == ["11", "09", "10"]

    api(test, clock)


def test_a_booking_that_lies_ahead_and_a_note_after_it(api):
    clock = VirtualClock(START)

    async def test(api):
        course = await with_two_notes_due(api, clock)
        ahead = EVENING + dt.timedelta(seconds=60)
        booking = {
            "trigger": "book_session",
            "data": {"scheduled_for": (EVENING + WEEK).isoformat()},
            "occurred_at": ahead.isoformat(),
        }
        answer = await send(api, course, {"together": [booking, note(ahead + dt.timedelta(seconds=60))]})
        assert answer.status_code == 201, answer.text

    api(test, clock)


def test_a_refusal_of_several_together_names_the_command_by_its_place(api):
    clock = VirtualClock(START)

    async def test(api):
        course = await with_two_notes_due(api, clock)
        answer = await send(api, course, {"together": [held(THIRD), begun(THIRD + HOUR), note(THIRD)]})
        problem = answer.json()
        assert (answer.status_code, problem["trigger"], problem["together"]) == (409, "begin_middle", 1)
        assert problem["detail"] == "together[1] begin_middle: 1 rule is not met"
        alone = (await send(api, course, {"trigger": "begin_final"})).json()
        assert (alone["together"], alone["detail"]) == (None, "begin_final: 1 rule is not met")

    api(test, clock)


def test_a_step_with_a_wrong_time_is_put_right_by_the_remedy_of_the_session_that_it_refuses(api):
    clock = VirtualClock(START)

    async def test(api):
        course = await with_two_notes_due(api, clock)
        seq = await api.version(course) + 1
        for body in (held(THIRD), signed(seq), {"trigger": "begin_middle"}):
            assert (await send(api, course, body)).status_code == 201
        (refusal,) = (await send(api, course, held(FOURTH))).json()["refusals"]
        remedy = refusal["remedies"][0]
        assert (refusal["rule"], remedy["trigger"]) == ("phase_session_cap", "amend")
        amend = {"trigger": "amend", "data": remedy["data"], "reason": "It was at the end of session 3."}
        assert (await send(api, course, amend)).status_code == 201
        assert (await send(api, course, held(FOURTH))).status_code == 201
        assert await attended(api, course) == {"initial": 3, "middle": 1, "final": 0}

    api(test, clock)
