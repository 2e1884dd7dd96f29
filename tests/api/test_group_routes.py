"""Groups over HTTP: making, joining, telling of a session, what waits in the inbox, keys, versions, problems."""

import asyncio
import datetime as dt
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import group_walk
from support.http_client import OPERATOR, START, Api

from ipt_workflow.ehr.notices.sources import NewSource, Sources
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.tokens import NewToken

WEEK = dt.timedelta(days=7)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a protocol for groups."""
    return group_walk.settings(tmp_path)


class Group:
    """A group of therapist-1 with two started courses and one that was only referred."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.path = ""
        self.a = self.b = self.referred = ""

    @property
    def clock(self) -> VirtualClock:
        return self.api.clinic.clock

    async def made(self) -> "Group":
        api = self.api
        made = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="t2", subject="therapist-2"))
        api.tokens["cofacilitator"] = made.token
        for name in ("a", "b", "referred"):
            course = (await api.open(f"EHR-{name}", protocol=group_walk.PROTOCOL))["id"]
            if name != "referred":
                await api.walk(course, "record_consent", "start")
            setattr(self, name, course)
        answer = await api.post(
            "/v1/groups", {"protocol": group_walk.PROTOCOL, "label": "Tuesday", "facilitators": ["therapist-1", "therapist-2"]}
        )
        self.path = answer.headers["location"]
        for course in (self.a, self.b, self.referred):
            assert (await self.post("/members", {"course": course})).status_code == 201
        self.clock.advance(WEEK)
        return self

    @property
    def courses(self) -> tuple[str, ...]:
        return self.a, self.b, self.referred

    async def view(self, role: str = "therapist") -> dict[str, Any]:
        return (await self.api.get(self.path, role)).json()

    async def post(self, path: str, body: Any, role: str = "therapist", **headers: str) -> httpx.Response:
        """On the group's present version, unless another is given."""
        version = headers.pop("If_Match", None) or (await self.api.get(self.path, "supervisor")).headers["etag"]
        return await self.api.post(self.path + path, body, role, **({"If_Match": version} if version != "-" else {}), **headers)

    async def record_session(
        self, attendance: tuple[str, ...] = ("5", "5", "5"), role: str = "therapist", **more: Any
    ) -> httpx.Response:
        headers = {name: more.pop(name) for name in ("If_Match", "Idempotency_Key") if name in more}
        body = {"attendance": dict(zip(self.courses, attendance, strict=True)), **more}
        return await self.post("/sessions", body, role, **headers)

    async def entries(self, course: str) -> list[dict[str, Any]]:
        return (await self.api.get(f"/v1/courses/{course}/transitions?limit=200", "supervisor")).json()["items"]

    async def recorded(self) -> list[int]:
        """How many sessions each course has."""
        return [[entry["trigger"] for entry in await self.entries(course)].count("record_session") for course in self.courses]

    async def waiting(self) -> dict[str, Any]:
        (found,) = (await self.api.get("/v1/notices", "supervisor")).json()["items"]
        return found

    async def resolve(self, notice: str, role: str = "therapist", **body: Any) -> httpx.Response:
        return await self.api.post(f"/v1/notices/{notice}/resolve", body, role)


@pytest.fixture
def group(api):
    """Runs an async test with a `Group`."""

    def run(test: Any) -> None:
        async def inside(api: Api) -> None:
            group = await Group(api).made()
            await test(group)
            assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]

        api(inside, VirtualClock(START))

    return run


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text
    return answer.json()


def fields(answer: httpx.Response) -> set[str]:
    return {fault["where"] for fault in problem(answer, 422, "invalid")["errors"]}


# Making and reading


def test_a_group_is_made_read_and_listed(group):
    async def test(group):
        answer = await group.api.get(group.path)
        made = answer.json()
        assert answer.headers["etag"] == f'"{made["version"]}"' == '"4"'
        assert (made["label"], made["protocol"], made["facilitators"]) == (
            "Tuesday",
            group_walk.PROTOCOL,
            ["therapist-1", "therapist-2"],
        )
        assert made["size"] == {"now": 3, "min": 2, "max": 4}
        members = {member["course"]: (member["client_ref"], member["state"]) for member in made["members"]}
        assert members == {
            group.a: ("EHR-a", "initial"),
            group.b: ("EHR-b", "initial"),
            group.referred: ("EHR-referred", "referred"),
        }
        (listed,) = (await group.api.get("/v1/groups")).json()["items"]
        assert (listed["id"], listed["members"], listed["sessions"]) == (made["id"], 3, 0)
        assert (await group.api.get("/v1/groups?protocol=ipt")).json()["items"] == []

    group(test)


def test_groups_come_in_pages(group):
    async def test(group):
        for _ in range(4):
            assert (await group.api.post("/v1/groups", {"protocol": group_walk.PROTOCOL, "label": "G"})).status_code == 201
        seen, path = [], "/v1/groups?limit=2"
        while path:
            answer = await group.api.get(path)
            seen += [each["id"] for each in answer.json()["items"]]
            path = answer.json()["next"] and f"/v1/groups?limit=2&cursor={answer.json()['next']}"
        assert len(seen) == 5
        assert seen == sorted(set(seen))

    group(test)


@pytest.mark.parametrize(
    ("body", "wrong"),
    (
        ({"protocol": "ipt", "label": "G"}, {"protocol"}),
        ({"protocol": "none", "label": "G"}, {"protocol"}),
        ({"protocol": group_walk.PROTOCOL}, {"label"}),
        ({"protocol": group_walk.PROTOCOL, "label": "Tuesday, with Mr Smith", "title": "x"}, {"label", "title"}),
        ({"protocol": group_walk.PROTOCOL, "label": "G", "facilitators": ["therapist-1"] * 2}, {"facilitators"}),
        ({"protocol": group_walk.PROTOCOL, "label": "G", "facilitators": ["therapist-2"]}, {"facilitators"}),
    ),
)
def test_a_group_that_cannot_be_is_not_made(group, body, wrong):
    async def test(group):
        assert fields(await group.api.post("/v1/groups", body)) == wrong

    group(test)


def test_making_a_group_happens_once_under_a_key(group):
    async def test(group):
        body = {"protocol": group_walk.PROTOCOL, "label": "G"}
        first = await group.api.post("/v1/groups", body, Idempotency_Key="k")
        again = await group.api.post("/v1/groups", body, Idempotency_Key="k")
        assert (again.status_code, again.headers["idempotent-replayed"], again.json()) == (201, "true", first.json())
        assert again.headers["location"] == first.headers["location"]
        problem(await group.api.post("/v1/groups", {**body, "label": "H"}, Idempotency_Key="k"), 422, "key-reused")
        assert len((await group.api.get("/v1/groups")).json()["items"]) == 2

    group(test)


# Sessions


def test_a_session_is_told_once_and_stands_on_every_course(group):
    async def test(group):
        scheduled = group.clock.now() - dt.timedelta(minutes=10)
        answer = await group.record_session(
            ("5", "3", "3"), minutes=90, scheduled_for=scheduled.isoformat(), details={group.a: {"comment": "Spoke first."}}
        )
        assert answer.status_code == 201, answer.text
        recorded = answer.json()
        assert answer.headers["etag"] == f'"{recorded["version"]}"' == '"5"'
        assert {each["course"] for each in recorded["accepted"]} == set(group.courses)
        assert (recorded["refused"], recorded["warnings"], recorded["session"]["held"]) == ([], [], True)
        for course, code in zip(group.courses, ("5", "3", "3"), strict=True):
            entry = (await group.entries(course))[-1]
            assert (entry["trigger"], entry["data"]["attendance"], entry["structural"]["group_session"]) == (
                "record_session",
                code,
                recorded["session"]["id"],
            )
            assert entry["seq"] == next(each["seq"] for each in recorded["accepted"] if each["course"] == course)
        assert (await group.entries(group.a))[-1]["data"]["comment"] == "Spoke first."
        (session,) = (await group.view())["sessions"]
        assert session == recorded["session"]
        assert {(each["told"], each["became"]) for each in session["attendance"].values()} == {("5", "recorded"), ("3", "recorded")}
        (shown,) = (await group.api.get(f"/v1/courses/{group.b}")).json()["sessions"]
        assert (shown["group_session"], shown["held"], shown["attendance"]) == (recorded["session"]["id"], True, "3")

    group(test)


def test_an_auditor_sees_in_the_export_which_entries_belong_together(group):
    async def test(group):
        session = (await group.record_session(("5", "3", "3"))).json()["session"]["id"]
        group.clock.advance(dt.timedelta(minutes=1))
        lines = (await group.api.get("/v1/audit/export?kind=transition", "auditor")).text.splitlines()
        together = [record for record in map(json.loads, lines) if record["group_session"] == session]
        assert {record["courses"][0] for record in together} == set(group.courses)
        assert {record["trigger"] for record in together} == {"record_session"}
        rows = (await group.api.get("/v1/audit/export?format=csv", "auditor")).text.splitlines()
        assert sum(session in row for row in rows) == 3
        found = await group.api.post("/v1/audit/search", {"group_session": session}, "auditor")
        assert [record["id"] for record in found.json()["items"]] == [record["id"] for record in together]

    group(test)


@pytest.mark.parametrize(
    ("change", "wrong"),
    (
        ({"attendance": {}}, {"attendance"}),
        ({"attendance": {"a": "5"}}, {"attendance"}),
        ({"attendance": "5", "bogus": 1}, {"attendance", "bogus"}),
        ({"minutes": 0, "medium": "letter"}, {"minutes", "medium"}),
        ({"kind": "additional"}, {"reason"}),
        ({"occurred_at": "2026-02-30T00:00:00Z"}, {"occurred_at"}),
        ({"occurred_at": "2027-01-01T00:00:00Z"}, {"occurred_at"}),
        (
            {"details": {"00000000-0000-7000-8000-000000000000": {"excused": True}}},
            {"details.00000000-0000-7000-8000-000000000000"},
        ),
    ),
)
def test_every_wrong_field_of_a_session_is_named_and_nothing_is_written(group, change, wrong):
    async def test(group):
        body = {"attendance": dict.fromkeys(group.courses, "3") | {group.a: "5"}, **change}
        assert fields(await group.post("/sessions", body)) == wrong
        assert await group.recorded() == [0, 0, 0]

    group(test)


def test_attendance_is_told_of_every_member_and_of_nobody_else(group):
    async def test(group):
        other = (await group.api.open("EHR-other", protocol=group_walk.PROTOCOL))["id"]
        answer = await group.post("/sessions", {"attendance": {group.a: "5", other: "5"}})
        assert fields(answer) == {"attendance", f"attendance.{other}"}

    group(test)


def test_all_is_refused_with_what_each_course_has_against_it(group):
    async def test(group):
        refused = problem(await group.record_session(all=True), 409, "group-session-refused")
        (member,) = refused["members"]
        assert (member["course"], member["notice"], [refusal["rule"] for refusal in member["refusals"]]) == (
            group.referred,
            None,
            ["attendance_fits_state"],
        )
        assert await group.recorded() == [0, 0, 0]
        refused = (await group.api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]
        assert [(record["courses"], record["rules"]) for record in refused] == [([group.referred], ["attendance_fits_state"])]

    group(test)


# What waits


def test_what_a_course_refuses_waits_in_its_therapists_inbox_and_is_told_again(group):
    async def test(group):
        recorded = (await group.record_session()).json()
        assert {each["course"] for each in recorded["accepted"]} == {group.a, group.b}
        (refused,) = recorded["refused"]
        waits = await group.waiting()
        assert (waits["id"], waits["source"], waits["type"], waits["course"]) == (
            refused["notice"],
            "group",
            "group.session",
            group.referred,
        )
        assert [refusal["rule"] for refusal in waits["refusals"]] == ["attendance_fits_state"]
        assert (waits["proposes"]["trigger"], waits["proposes"]["data"]["attendance"]) == ("record_session", "5")
        assert "notices" in (await group.api.get(f"/v1/courses/{group.referred}")).json()["attention"]

        still = (await group.resolve(waits["id"], action="retry")).json()
        assert (still["status"], still["why"]) == ("waiting", "record_session: 1 rule is not met")
        at = recorded["session"]["occurred_at"]
        for trigger in ("record_consent", "start"):  # recorded late: both happened before the group met
            answer = await group.api.fire(group.referred, trigger, (await example(group, trigger)), occurred_at=before(at))
            assert answer.status_code == 201, answer.text
        done = (await group.resolve(waits["id"], action="retry")).json()
        assert (done["status"], done["course"], done["content"]) == ("applied", group.referred, None)
        entry = (await group.entries(group.referred))[-1]
        assert (entry["seq"], entry["trigger"], entry["actor"]["person"]) == (done["seq"], "record_session", "therapist-1")
        assert (entry["occurred_at"], entry["structural"]["group_session"]) == (at, recorded["session"]["id"])
        assert "notices" not in (await group.api.get(f"/v1/courses/{group.referred}")).json()["attention"]
        attendance = (await group.view())["sessions"][0]["attendance"][group.referred]
        assert (attendance["became"], attendance["seq"]) == ("recorded", done["seq"])
        problem(await group.resolve(waits["id"], action="retry"), 412, "stale-version")
        assert await group.recorded() == [1, 1, 1]

    group(test)


async def example(group: Group, trigger: str) -> Any:
    return (await group.api.options(group.referred))[trigger]["example"]["data"]


def before(at: str) -> str:
    return (dt.datetime.fromisoformat(at) - dt.timedelta(days=1)).isoformat()


def test_a_supervisor_has_it_told_again_in_the_name_of_who_told_it(group):
    async def test(group):
        at = (await group.record_session(role="cofacilitator")).json()["session"]["occurred_at"]
        for trigger in ("record_consent", "start"):
            await group.api.fire(group.referred, trigger, (await example(group, trigger)), occurred_at=before(at))
        done = (await group.resolve((await group.waiting())["id"], "supervisor", action="retry")).json()
        assert (done["status"], done["decided_by"]) == ("applied", "supervisor-1")
        entry = (await group.entries(group.referred))[-1]
        assert entry["actor"] == {"person": "therapist-2", "role": "therapist", "via": "api"}
        assert entry["structural"]["given_by"] == "therapist-1"  # the course's therapist, who facilitates as well

    group(test)


def test_what_waits_is_corrected_by_the_therapist_of_the_course(group):
    async def test(group):
        await group.record_session()
        waits = (await group.waiting())["id"]
        assert fields(await group.resolve(waits, action="correct", reason="Wrong.", data={"attendance": "9"})) == {
            "data.attendance"
        }
        assert fields(await group.resolve(waits, action="correct", reason="Wrong.", data={"occurred_at": "then"})) == {
            "data.occurred_at"
        }
        refused = (await group.resolve(waits, "supervisor", action="correct", reason="Wrong.", data={"attendance": "3"})).json()
        assert refused["status"] == "waiting"  # no supervisor tells of a session
        done = (await group.resolve(waits, action="correct", reason="She was not there.", data={"attendance": "3"})).json()
        assert done["status"] == "applied"
        entry = (await group.entries(group.referred))[-1]
        assert (entry["data"]["attendance"], entry["data"]["participants"]) == ("3", ["group"])

    group(test)


def test_what_waits_is_dismissed_with_a_reason(group):
    async def test(group):
        await group.record_session()
        waits = (await group.waiting())["id"]
        assert fields(await group.resolve(waits, action="dismiss")) == {"reason"}
        done = (await group.resolve(waits, action="dismiss", reason="Was not there.")).json()
        assert (done["status"], done["why"], done["content"]) == ("dismissed", "Was not there.", None)
        attendance = (await group.view())["sessions"][0]["attendance"][group.referred]
        assert (attendance["became"], attendance["attendance"]) == ("dismissed", None)
        assert await group.recorded() == [1, 1, 0]

    group(test)


def test_of_several_who_tell_it_again_at_once_one_writes(group):
    async def test(group):
        at = (await group.record_session()).json()["session"]["occurred_at"]
        for trigger in ("record_consent", "start"):
            await group.api.fire(group.referred, trigger, (await example(group, trigger)), occurred_at=before(at))
        waits = (await group.waiting())["id"]
        answers = await asyncio.gather(*(group.resolve(waits, action="retry") for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
        assert await group.recorded() == [1, 1, 1]

    group(test)


def test_what_was_told_again_and_not_settled_since_the_process_stopped_is_not_told_twice(group):
    async def test(group):
        at = (await group.record_session()).json()["session"]["occurred_at"]
        for trigger in ("record_consent", "start"):
            await group.api.fire(group.referred, trigger, (await example(group, trigger)), occurred_at=before(at))
        notices, waits = group.api.services.notices, (await group.waiting())["id"]
        settle = notices.settle

        async def stop(*_: Any, **__: Any) -> None:
            raise RuntimeError("stopped")

        notices.settle = stop
        assert (await group.resolve(waits, action="retry")).status_code == 500
        notices.settle = settle
        assert await group.recorded() == [1, 1, 1]
        done = (await group.resolve(waits, action="retry")).json()
        assert (done["status"], done["seq"]) == ("applied", (await group.entries(group.referred))[-1]["seq"])
        assert await group.recorded() == [1, 1, 1]

    group(test)


def test_an_entry_that_is_taken_back_shows_in_the_group_and_may_be_told_again(group):
    async def test(group):
        recorded = (await group.record_session(("5", "5", "3"))).json()
        for course in group.courses:
            seq = next(each["seq"] for each in recorded["accepted"] if each["course"] == course)
            answer = await group.api.fire(course, "amend", {"supersedes": seq, "void": True}, reason="The wrong day.")
            assert answer.status_code == 201, answer.text
        (session,) = (await group.view())["sessions"]
        assert {each["became"] for each in session["attendance"].values()} == {"taken_back"}
        again = await group.record_session(("5", "5", "3"), occurred_at=recorded["session"]["occurred_at"])
        assert again.status_code == 201, again.text
        assert len(again.json()["accepted"]) == 3

    group(test)


def test_no_source_can_be_named_as_groups_are_in_the_inbox(group):
    async def test(group):
        with pytest.raises(CommandInvalid, match="choose another name"):
            await Sources(group.api.clinic).add(OPERATOR, lambda: NewSource(id="group", kind="bearer"))

    group(test)


# Versions and keys


def test_a_session_is_decided_on_a_version_of_the_group(group):
    async def test(group):
        problem(await group.record_session(If_Match="-"), 428, "version-required")
        assert problem(await group.record_session(If_Match='"3"'), 412, "stale-version")["version"] == 4
        problem(await group.record_session(If_Match='"x"'), 400, "malformed")
        assert (await group.record_session(If_Match='"4"')).status_code == 201
        assert problem(await group.record_session(If_Match='"4"', role="cofacilitator"), 412, "stale-version")["version"] == 5
        assert await group.recorded() == [1, 1, 0]

    group(test)


def test_the_same_key_is_answered_as_the_first_time_also_on_an_old_version(group):
    async def test(group):
        first = await group.record_session(If_Match='"4"', Idempotency_Key="k")
        before = await group.recorded()
        again = await group.record_session(If_Match='"4"', Idempotency_Key="k")
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        assert again.json() == first.json()
        assert again.headers["etag"] == first.headers["etag"] == '"5"'
        assert await group.recorded() == before
        problem(await group.record_session(("3", "5", "5"), If_Match='"5"', Idempotency_Key="k"), 422, "key-reused")
        assert len((await group.api.get("/v1/notices")).json()["items"]) == 1

    group(test)


def test_joining_leaving_and_naming_facilitators_happen_once_under_a_key(group):
    async def test(group):
        steps = (
            (f"/members/{group.b}/leave", {"reason": "moved"}),
            ("/members", {"course": group.b}),
            ("/facilitators", {"facilitators": ["therapist-1"]}),
        )
        for path, body in steps:
            group.clock.advance(dt.timedelta(hours=1))
            first = await group.post(path, body, Idempotency_Key="k")
            again = await group.post(path, body, Idempotency_Key="k", If_Match='"1"')
            assert (first.status_code, again.status_code) == (201, 201), first.text
            assert again.headers["idempotent-replayed"] == "true"
            assert again.json() == first.json()
            problem(await group.post(path, body, If_Match='"1"'), 412, "stale-version")
        assert (await group.view())["version"] == 7
        problem(await group.post("/sessions", {}, "cofacilitator"), 404, "not-found")

    group(test)


def test_what_stands_against_joining_is_told_by_rule_and_recorded(group):
    async def test(group):
        refused = problem(await group.post("/members", {"course": group.a}), 409, "group-refused")
        assert [refusal["rule"] for refusal in refused["refusals"]] == ["group_one_at_a_time"]
        (recorded,) = (await group.api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]
        assert (recorded["action"], recorded["rules"], recorded["courses"]) == ("join a group", ["group_one_at_a_time"], [group.a])
        assert fields(await group.post("/members", {"course": "00000000-0000-7000-8000-000000000000"})) == {"course"}
        assert fields(await group.post("/members", {"course": "EHR-1", "joined_at": "May"})) == {"course", "joined_at"}
        problem(await group.post("/members/00000000-0000-7000-8000-000000000000/leave", {"reason": "moved"}), 404, "not-found")
        assert fields(await group.post(f"/members/{group.a}/leave", {"reason": "He found a job."})) == {"reason"}

    group(test)


def test_checks_of_a_write_to_a_group_come_in_their_order(group):
    async def test(group):
        wrong = {"attendance": {}, "bogus": 1}
        path = "/sessions"
        problem(await group.api.client.post(group.path + path, json=wrong), 401, "unauthenticated")
        problem(await group.post(path, wrong, "admin", If_Match="-"), 404, "not-found")
        problem(await group.post(path, wrong, "auditor", If_Match="-"), 403, "forbidden")
        assert (await group.record_session(Idempotency_Key="used")).status_code == 201
        problem(await group.post(path, wrong, If_Match="-", Idempotency_Key="used"), 422, "key-reused")
        problem(await group.post(path, wrong, If_Match="-", Idempotency_Key="a key"), 428, "version-required")
        problem(await group.post(path, wrong, If_Match='"4"', Idempotency_Key="a key"), 412, "stale-version")
        problem(await group.post(path, wrong, Idempotency_Key="a key"), 400, "malformed")
        etag = f'"{(await group.view())["version"]}"'
        raw = await group.api.client.post(
            group.path + path, content=b"{}", headers=group.api.headers("therapist", If_Match=etag, Content_Type="text/plain")
        )
        problem(raw, 415, "unsupported-media-type")
        assert fields(await group.post(path, wrong)) == {"attendance", "bogus"}
        assert await group.recorded() == [1, 1, 0]

    group(test)


# Signing


def test_the_facilitator_who_gave_a_session_signs_it_on_every_course_at_once(group):
    async def test(group):
        await group.post(f"/members/{group.referred}/leave", {"reason": "own_wish"})
        await group.api.fire(group.b, "transfer", {"therapist": "therapist-9", "handover": "Handed over."}, reason="Agreed.")
        group.clock.advance(dt.timedelta(hours=1))
        recorded = (await group.post("/sessions", {"attendance": {group.a: "5", group.b: "5"}})).json()
        path = f"/sessions/{recorded['session']['id']}/sign"
        answer = await group.post(
            path, {"techniques": ["communication_analysis"], "summary": "All spoke.", "focus": {group.a: "grief"}}, If_Match="-"
        )
        assert {each["course"] for each in answer.json()["signed"]} == {group.a, group.b}
        entry = (await group.entries(group.a))[-1]
        assert (entry["trigger"], entry["data"]["focus"], entry["data"]["summary"]) == ("sign_session", "grief", "All spoke.")
        assert "focus" not in (await group.entries(group.b))[-1]["data"]
        assert (await group.post(path, {}, If_Match="-")).json() == {"signed": [], "refused": []}
        assert fields(await group.post(path, {"focus": {group.referred: "grief"}}, If_Match="-")) == {f"focus.{group.referred}"}
        problem(await group.post("/sessions/none/sign", {}, If_Match="-"), 404, "not-found")

    group(test)


def test_who_did_not_give_it_signs_nothing_and_what_stands_against_signing_is_told(group):
    async def test(group):
        recorded = (await group.record_session(("5", "5", "3"))).json()
        path = f"/sessions/{recorded['session']['id']}/sign"
        assert (await group.post(path, {}, "cofacilitator", If_Match="-")).json() == {"signed": [], "refused": []}
        await group.api.fire(
            group.a, "raise_risk", {"level": "elevated", "plan": "Seen today."}, occurred_at=recorded["session"]["occurred_at"]
        )
        answer = (await group.post(path, {}, If_Match="-")).json()
        assert [each["course"] for each in answer["signed"]] == [group.b]
        assert [(each["course"], each["refusals"][0]["rule"]) for each in answer["refused"]] == [(group.a, "risk_reviewed")]

    group(test)
