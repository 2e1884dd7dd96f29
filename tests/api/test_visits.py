"""One visit is one session over HTTP: an EHR and a therapist tell of the same visit, and the course counts it once."""

import datetime as dt

import pytest
from support.http_client import START

from ipt_workflow.runtime.clock import VirtualClock

WEEK = dt.timedelta(days=7)
MINUTE = dt.timedelta(minutes=1)
HELD = {"attendance": "5"}


def told(at: dt.datetime, ref: str | None = None, **data) -> dict:
    return {"data": {**HELD, **data, **({"ref": ref} if ref else {})}, "occurred_at": at.isoformat()}


async def started(api, clock) -> str:
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start")
    clock.advance(WEEK)
    return course


async def overlap(answer, seq: int) -> dict:
    """The only refusal of an answer: by `overlaps_session`, with this entry."""
    assert answer.status_code == 409, answer.text
    (refusal,) = answer.json()["refusals"]
    assert (refusal["rule"], refusal["severity"], refusal["current"]) == ("overlaps_session", "soft", [seq])
    return refusal


async def attended(api, course: str) -> int:
    return sum((await api.get(f"/v1/courses/{course}")).json()["counters"]["attended"].values())


@pytest.mark.parametrize("minutes", (-49, -5, -1, 1, 5, 49))
@pytest.mark.parametrize(("first", "second"), (("ehr", "therapist"), ("therapist", "ehr")))
def test_a_visit_told_twice_is_refused_and_linked_by_what_the_refusal_offers(api, first, second, minutes):
    clock = VirtualClock(START)

    async def walk(api):
        course = await started(api, clock)
        met = clock.now() - dt.timedelta(days=1)
        done = await api.fire(course, "record_session", role=first, **told(met, "Encounter/1"))
        seq = done.json()["entry"]["seq"]
        again = told(met + minutes * MINUTE)
        assert (await overlap(await api.fire(course, "record_session", role=second, **again), seq))["remedies"] == []
        named = told(met + minutes * MINUTE, "Appointment/7")
        refusal = await overlap(await api.fire(course, "record_session", role=second, **named), seq)
        (remedy,) = refusal["remedies"]
        assert remedy == {
            "trigger": "link_session",
            "roles": ["therapist", "ehr"],
            "data": {"session": seq, "ref": "Appointment/7"},
        }
        linked = await api.fire(course, remedy["trigger"], remedy["data"], role=second)
        assert linked.status_code == 201, linked.text
        (session,) = linked.json()["course"]["sessions"]
        assert (session["refs"], session["ref"]) == (["Encounter/1", "Appointment/7"], "Appointment/7")
        assert await attended(api, course) == 1
        allowed = await api.fire(
            course,
            "record_session",
            role=second,
            override={"rules": ["overlaps_session"], "reason": "A second visit."},
            **again,
        )
        assert allowed.status_code == 201, allowed.text
        assert await attended(api, course) == 2

    api(walk, clock)


def test_options_warn_of_a_session_that_takes_the_time(api):
    clock = VirtualClock(START)

    async def walk(api):
        course = await started(api, clock)
        assert (await api.fire(course, "record_session", HELD, role="ehr")).status_code == 201
        clock.advance(5 * MINUTE)
        option = (await api.options(course))["record_session"]
        assert option["allowed"]
        assert [each["rule"] for each in option["warnings"]] == ["overlaps_session"]
        assert option["example"]["override"]["rules"] == ["overlaps_session"]
        clock.advance(45 * MINUTE)
        assert (await api.options(course))["record_session"]["warnings"] == []

    api(walk, clock)


def test_a_visit_of_which_only_the_day_is_known_is_the_session_of_that_day(api):
    clock = VirtualClock(START)

    async def walk(api):
        course = await started(api, clock)
        noon = (clock.now() - dt.timedelta(days=1)).replace(hour=12, minute=0)
        done = await api.fire(course, "record_session", role="ehr", **told(noon, "Encounter/1", day_only=True))
        assert done.json()["course"]["sessions"][0]["day_only"]
        await overlap(await api.fire(course, "record_session", **told(noon - 3 * 60 * MINUTE)), done.json()["entry"]["seq"])
        assert (await api.fire(course, "record_session", **told(noon - dt.timedelta(days=1)))).status_code == 201

    api(walk, clock)


def test_no_course_completes_by_a_final_visit_that_is_told_twice(api):
    clock = VirtualClock(START)

    async def meet(api, course, sessions):
        for _ in range(sessions):
            clock.advance(dt.timedelta(days=3))  # a token lasts for 90 days
            await api.walk(course, "record_session", "sign_session")

    async def walk(api):
        course = await started(api, clock)
        await meet(api, course, 1)
        await api.walk(
            course, "record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation",
            "accept_formulation", "assign_sick_role", "select_focus", "agree_contract", "record_measure", "record_measure",
            "record_measure", "begin_middle",
        )  # fmt: skip
        await meet(api, course, 8)
        await api.walk(course, "announce_ending", "begin_final")
        await meet(api, course, 2)
        last = (await api.get(f"/v1/courses/{course}")).json()["sessions"][-1]
        clock.advance(dt.timedelta(hours=2))
        for minutes in (1, 5, 49):
            at = dt.datetime.fromisoformat(last["at"]) + minutes * MINUTE
            await overlap(await api.fire(course, "record_session", role="ehr", **told(at, f"Encounter/{minutes}")), last["seq"])
        await api.walk(
            course, "relinquish_sick_role", "record_gains", "record_independence", "plan_for_recurrence", "decide_continuation",
            "record_measure", "record_measure", "record_measure",
        )  # fmt: skip
        refused = await api.fire(course, "complete", {"outcome": "response"})
        assert {each["rule"] for each in refused.json()["refusals"]} >= {"final_held"}
        await meet(api, course, 1)
        assert (await api.example(course, "complete")).status_code == 201

    api(walk, clock)
