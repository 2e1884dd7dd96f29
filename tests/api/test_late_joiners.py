"""Clients who join a group late, over HTTP: what they must attend counts from joining."""

import datetime as dt
from typing import Any

import httpx
import pytest
from support.http_client import START, Api

from ipt_workflow.runtime.clock import VirtualClock

WEEK = dt.timedelta(days=7)
UNWELL, WELL = (2,) * 8 + (0,), (1,) * 4 + (0,) * 5  # PHQ-9 of 16 and 4
OTHER_SCALES = ({"instrument": "ifr", "total": 5}, {"instrument": "mspss", "total": 40})
STRANGER = "01970000-0000-7000-8000-000000000000"
BEFORE_THE_GROUP = ("record_contact", "record_evaluation", "record_inventory", "assign_sick_role", "select_focus")
LAST_PHASE = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation")


class Group:
    """A group under `ipt-group`, which meets weekly."""

    def __init__(self, api: Api, clock: VirtualClock) -> None:
        self.api = api
        self.clock = clock
        self.path = ""
        self.meets_next = START + WEEK

    async def made(self) -> "Group":
        made = await self.api.post("/v1/groups", {"protocol": "ipt-group", "label": "Tuesday"})
        assert made.status_code == 201, made.text
        self.path = made.headers["location"]
        return self

    async def member(self, ref: str, **contract: int) -> str:
        """A client who joins after an individual meeting, with all that the first phase needs but a session."""
        course = (await self.api.open(ref, protocol="ipt-group"))["id"]
        await self.api.walk(course, "record_consent", "start")
        await self.join(course)
        await self.api.walk(course, *BEFORE_THE_GROUP)
        terms = (await self.api.options(course))["agree_contract"]["example"]["data"]
        answer = await self.api.fire(course, "agree_contract", terms | contract)
        assert answer.status_code == 201, answer.text
        await self.measure(course)
        return course

    async def join(self, course: str) -> None:
        version = (await self.api.get(self.path)).headers["etag"]
        answer = await self.api.post(f"{self.path}/members", {"course": course}, If_Match=version)
        assert answer.status_code == 201, answer.text

    async def measure(self, course: str, phq9: tuple[int, ...] = UNWELL) -> None:
        for scale in ({"instrument": "phq9", "items": phq9}, *OTHER_SCALES):
            assert (await self.api.fire(course, "record_measure", scale)).status_code == 201

    async def session(self, *courses: str) -> dict[str, Any]:
        """The session of the next week, which all attend, signed for all."""
        self.clock.set(self.meets_next)
        self.meets_next += WEEK
        recorded = (await self.record(courses, self.clock.now())).json()
        focus = {course: (await self.course(course))["focus"]["primary"] for course in courses}
        answer = await self.api.post(f"{self.path}/sessions/{recorded['session']['id']}/sign", {"focus": focus})
        assert answer.json()["refused"] == []
        return recorded

    async def record(self, courses: tuple[str, ...], at: dt.datetime) -> httpx.Response:
        version = (await self.api.get(self.path)).headers["etag"]
        body = {"attendance": dict.fromkeys(courses, "5"), "occurred_at": at.isoformat(), "minutes": 90}
        answer = await self.api.post(f"{self.path}/sessions", body, If_Match=version)
        assert answer.status_code == 201, answer.text
        return answer

    async def forward(self, course: str) -> None:
        """On to the next phase, if every rule allows it."""
        upcoming = (await self.course(course))["next"]
        if upcoming == "begin_final":
            await self.api.walk(course, "announce_ending")
        if upcoming != "complete" and (await self.api.options(course))[upcoming]["allowed"]:
            await self.api.walk(course, upcoming)

    async def course(self, course: str) -> dict[str, Any]:
        return (await self.api.get(f"/v1/courses/{course}")).json()

    async def completed(self, course: str) -> dict[str, Any]:
        """The course after its completion, for which no rule is overridden."""
        await self.api.walk(course, *LAST_PHASE)
        await self.measure(course, WELL)
        answer = await self.api.fire(course, "complete", {"outcome": "remission"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["course"]["overrides"] == 0
        return answer.json()["course"]


@pytest.fixture
def group(api):
    """Runs an async test with a `Group`."""

    def run(test: Any) -> None:
        clock = VirtualClock(START)

        async def inside(api: Api) -> None:
            await test(await Group(api, clock).made())
            assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]

        api(inside, clock)

    return run


@pytest.mark.parametrize(
    ("contract", "progress"),
    ((({}), "session 4 of 8, week 3 of 8"), ({"sessions": 6, "weeks": 6}, "session 2 of 6, week 1 of 6")),
    ids=("the_groups_contract", "a_contract_from_joining"),
)
def test_who_joins_in_the_third_week_of_eight_and_attends_the_rest_completes(group, contract, progress):
    """Case 12 of the courses as a therapist tells them."""

    async def test(group):
        first = await group.member("EHR-1")
        for _ in range(2):
            await group.session(first)
            await group.forward(first)
        group.clock.advance(dt.timedelta(days=3))
        late = await group.member("EHR-2", **contract)
        for number in range(3, 9):
            recorded = await group.session(first, late)
            assert recorded["refused"] == [], number
            if number == 3:
                assert (await group.course(late))["progress"] == progress
            for course in (first, late):
                await group.forward(course)
        for course in (first, late):
            assert (await group.course(course))["counters"]["remaining"] == 0
            assert (await group.completed(course))["state"] == "completed"
        attended = (await group.course(late))["counters"]["attended"]
        assert sum(attended.values()) == 6

    group(test)


def test_a_late_joiner_without_a_contract_is_told_to_agree_one(group):
    async def test(group):
        first = await group.member("EHR-1")
        await group.session(first)
        late = (await group.api.open("EHR-2", protocol="ipt-group"))["id"]
        await group.api.walk(late, "record_consent", "start")
        await group.join(late)
        group.clock.set(group.meets_next)
        await group.record((first, late), group.clock.now())
        longer = {"weeks": 9, "client_agrees": True, "therapist_agrees": True}
        answer = await group.api.fire(late, "amend_contract", longer, reason="The group meets less often.")
        assert (answer.status_code, [each["rule"] for each in answer.json()["refusals"]]) == (409, ["contract_agreed"])

    group(test)


def test_two_weeks_written_up_late_are_signed_for_all_at_once(group):
    async def test(group):
        courses = (await group.member("EHR-1"), await group.member("EHR-2"))
        await group.session(*courses)
        for course in courses:
            await group.forward(course)
        group.clock.advance(2 * WEEK)
        sessions = []
        for weeks in (1, 0):
            recorded = (await group.record(courses, group.clock.now() - weeks * WEEK)).json()
            assert recorded["refused"] == []
            sessions.append(recorded["session"]["id"])
        body = {"sessions": {session: {"summary": "All spoke."} for session in sessions}}
        before = [(await group.course(course))["version"] for course in courses]
        answer = await group.api.post(f"{group.path}/sign", body)
        assert answer.status_code == 200, answer.text
        signed = answer.json()["sessions"]
        for number, session in enumerate(sessions, start=1):
            seqs = {each["course"]: each["seq"] for each in signed[session]["signed"]}
            assert seqs == {course: version + number for course, version in zip(courses, before, strict=True)}
        again = (await group.api.post(f"{group.path}/sign", body)).json()
        assert again == {"sessions": {session: {"signed": [], "refused": []} for session in sessions}}

    group(test)


def test_a_signature_has_its_own_time_which_lies_neither_ahead_nor_before_the_session(group):
    async def test(group):
        course = await group.member("EHR-1")
        group.clock.advance(2 * WEEK)
        held = group.clock.now() - WEEK
        session = (await group.record((course,), held)).json()["session"]["id"]
        for wrong in ((group.clock.now() + WEEK).isoformat(), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"):
            answer = await group.api.post(f"{group.path}/sign", {"sessions": {session: {"occurred_at": wrong}}})
            faults = [each["where"] for each in answer.json()["errors"]]
            assert (answer.status_code, faults) == (422, [f"sessions.{session}.occurred_at"]), wrong
        signing = {"occurred_at": (held + dt.timedelta(hours=1)).isoformat()}
        answer = await group.api.post(f"{group.path}/sessions/{session}/sign", signing)
        (signed,) = answer.json()["signed"]
        entry = (await group.api.get(f"/v1/courses/{course}/transitions/{signed['seq']}")).json()
        assert dt.datetime.fromisoformat(entry["occurred_at"]) == held + dt.timedelta(hours=1)

    group(test)


def test_what_refuses_one_of_several_signatures_holds_only_that_one(group):
    async def test(group):
        courses = (await group.member("EHR-1"), await group.member("EHR-2"))
        await group.session(*courses)
        for course in courses:
            await group.forward(course)
        group.clock.advance(2 * WEEK)
        now = group.clock.now()
        sessions = [(await group.record(courses, at)).json()["session"]["id"] for at in (now - WEEK, now)]
        body = {"sessions": {sessions[0]: {"focus": {courses[0]: "no_such_area"}}, sessions[1]: {}}}
        signed = (await group.api.post(f"{group.path}/sign", body)).json()["sessions"]
        assert [each["course"] for each in signed[sessions[0]]["signed"]] == [courses[1]]
        assert [each["refusals"][0]["rule"] for each in signed[sessions[0]]["refused"]] == ["focus_area_allowed"]
        assert {each["course"] for each in signed[sessions[1]]["signed"]} == set(courses)
        refused = (await group.api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]
        assert [(each["action"], each["rules"]) for each in refused] == [("sign_session", ["focus_area_allowed"])]

    group(test)


def test_every_fault_of_several_signatures_is_named(group):
    async def test(group):
        course = await group.member("EHR-1")
        session = (await group.session(course))["session"]["id"]
        body = {"sessions": {"none": {}, session: {"focus": {STRANGER: "grief"}}}}
        answer = await group.api.post(f"{group.path}/sign", body)
        assert answer.status_code == 422
        where = {each["where"] for each in answer.json()["errors"]}
        assert where == {"sessions.none", f"sessions.{session}.focus.{STRANGER}"}
        assert (await group.api.post(f"{group.path}/sign", {"sessions": {}})).status_code == 422
        assert (await group.api.post("/v1/groups/none/sign", body)).status_code == 404

    group(test)
