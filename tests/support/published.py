"""Published courses of therapy, told once: played day by day over HTTP, and imported late from one file.

A `Story` is what a therapist would tell of it: commands in order, each at its time. Both plays must lead to the same facts.
"""

import asyncio
import datetime as dt
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from ipt_workflow import journal
from ipt_workflow.cli.main import app
from ipt_workflow.course import Course
from ipt_workflow.course.rules.first_phase import HISTORY_PARTS, INVENTORY_SECTIONS
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import verification
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.courses import Filters
from support import databases, service_walk
from support.http_client import Api, running

THERAPIST = "therapist-1"
WEEK = dt.timedelta(days=7)
TOGETHER_MAX = 20
VULNERABILITIES = ("attachment_style", "genetic_vulnerability", "personality", "temperament")
OF_ITS_PLACE = {  # differs between two systems that hold the same course, or between a group's session and one recorded alone
    "client", "course", "recorded_at", "last_recorded_at", "linked_from", "followed_by", "group_session", "group_held",
}  # fmt: skip


Line = dict[str, Any]


@dataclass
class Story:
    """What is told of one or several courses. A line is one of an import's; a group's session is told once for all its members."""

    lines: list[Line] = field(default_factory=list)
    groups: list["TellingOfGroup"] = field(default_factory=list)

    def course(self, name: str, protocol: str, at: dt.datetime, **data: Any) -> "Telling":
        """A client who is referred."""
        telling = Telling(self, name, at)
        opening = {"client_ref": name, "protocol": protocol, "therapist": THERAPIST}
        telling.tell("refer", source="A published case", **data)
        self.lines[-1] |= opening
        return telling

    def group(self, protocol: str, *members: "Telling") -> "TellingOfGroup":
        self.groups.append(TellingOfGroup(self, protocol, members))
        return self.groups[-1]

    @property
    def begins(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.lines[0]["occurred_at"])


class Telling:
    """One course of a story. `now` is the time of what is told next. `seq` is that of the last entry."""

    def __init__(self, story: Story, name: str, now: dt.datetime, seq: int = 0) -> None:
        self.story = story
        self.name = name
        self.now = now
        self.seq = seq

    def at(self, now: dt.datetime) -> "Telling":
        self.now = now
        return self

    def tell(self, trigger: str, *, reason: str | None = None, **data: Any) -> int:
        """Tells one command, and returns the seq of its entry."""
        line: Line = {"course": self.name, "trigger": trigger, "data": data, "occurred_at": self.now.isoformat()}
        self.story.lines.append(line | ({"reason": reason} if reason else {}))
        self.seq += 1
        return self.seq

    def session(self, minutes: int = 50, *others: str, focus: str | None = None) -> int:
        """A session that the client attended, and its signature."""
        seq = self.tell("record_session", attendance="5", minutes=minutes, participants=["client", *others])
        self.sign(seq, focus)
        return seq

    def sign(self, session: int, focus: str | None = None) -> None:
        self.tell("sign_session", session=session, **({"focus": focus} if focus else {}))

    def scores(self, **totals: int) -> None:
        """Totals of scales by their names."""
        for scale, total in totals.items():
            self.tell("record_measure", instrument=scale, total=total)

    def inventoried(self, *people: dict[str, Any]) -> None:
        """History, inventory and timeline."""
        self.tell("record_history", **dict.fromkeys(HISTORY_PARTS, "Told."))
        self.tell("record_inventory", people=list(people), **dict.fromkeys(INVENTORY_SECTIONS, "Told."))
        self.tell("record_timeline", events=[{"when": "Told.", "event": "Told."}])

    def formulated(self) -> None:
        """A formulation that the client accepts."""
        self.tell(
            "record_formulation", crisis="Told.", vulnerabilities=dict.fromkeys(VULNERABILITIES, "Told."), social_support="Told."
        )
        self.tell("accept_formulation", version=1, response="accepts")

    def ill(self, mode: str = "full") -> None:
        """The sick role."""
        self.tell(
            "assign_sick_role",
            mode=mode,
            illness_named="Depression",
            no_blame=True,
            exemptions=[{"obligation": "Told.", "until": (self.now + 8 * WEEK).date().isoformat()}],
            recovery_work=["Told."],
            response="accepts",
        )

    def agreed(self, sessions: int, weeks: int, cadence_days: int = 7, **more: Any) -> None:
        """A contract."""
        agree = {"goals": ["Told."], "client_agrees": True, "therapist_agrees": True}
        self.tell("agree_contract", sessions=sessions, weeks=weeks, cadence_days=cadence_days, **agree, **more)

    def reviewed_gains(self) -> None:
        """Gains, independence and the plan for a recurrence."""
        self.tell("record_gains", gains=["Told."])
        self.tell("record_independence", does_alone=["Told."])
        self.tell("plan_for_recurrence", anticipate=["Told."], identify=["Told."], manage=["Told."])

    def followed_up(self, protocol: str, name: str) -> "Telling":
        """The course that follows this one."""
        self.tell("open_followup", protocol=protocol)
        self.story.lines[-1]["opens"] = name
        return Telling(self.story, name, self.now, seq=1)


class TellingOfGroup:
    """A group of a story, with the members who join as it is made, by name."""

    def __init__(self, story: Story, protocol: str, members: tuple[Telling, ...]) -> None:
        self.story = story
        self.protocol = protocol
        self.members = {member.name: member for member in members}
        self.joined = tuple(self.members)

    def session(self, at: dt.datetime, minutes: int, absent: tuple[str, ...], focus: dict[str, str]) -> None:
        """A session of all members. The facilitator signs for each who attended."""
        for name, member in self.members.items():
            there = ("3", ["group"]) if name in absent else ("5", ["client", "group"])
            here = dict(zip(("attendance", "participants"), there, strict=True))
            member.at(at).tell("record_session", minutes=minutes, medium="face_to_face", **here)
            self.story.lines[-1]["group"] = at.isoformat()
        for name, member in self.members.items():
            if name not in absent:
                member.sign(member.seq, focus[name])

    def leaves(self, name: str, reason: str) -> None:
        member = self.members.pop(name)
        self.story.lines.append({"course": name, "leaves": reason, "occurred_at": member.now.isoformat()})


Key = tuple[str, str]  # client and protocol


@dataclass(frozen=True)
class Played:
    """The courses of a story: their state and entries, what the service shows of them at the end, and the attention they asked for by day."""

    courses: dict[Key, Any]
    entries: dict[Key, list[Any]]
    shown: dict[Key, Any] = field(default_factory=dict)
    asked: dict[Key, dict[dt.date, set[str]]] = field(default_factory=dict)

    def days(self, key: Key, kind: str) -> list[dt.date]:
        """The days at whose end a course asked for attention of a kind."""
        return [day for day, kinds in self.asked[key].items() if kind in kinds]


# Over HTTP


def over_http(story: Story, folder: Path) -> Played:
    """Plays a story day by day: the clock stands at the time of each line, and what happened at one time is sent together."""
    settings = databases.empty(folder).model_copy(update={"token_days": 3650})
    clock = VirtualClock(story.begins)

    async def play() -> Played:
        async with running(settings, clock) as api:
            player = _Player(api, clock, story)
            for lines in _sent_together(story.lines):
                await player.send(lines)
            shown = [(await api.get(f"/v1/courses/{course}", "supervisor")).json() for course in player.ids.values()]
            assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]
            views = {(each["client_ref"], each["protocol"]): each for each in shown}
            return replace(await _played(api.clinic), shown=views, asked=player.asked)

    return asyncio.run(play())


def _sent_together(lines: list[Line]) -> Iterator[list[Line]]:
    """The lines as requests: those of one course at one time, and those of one session of a group."""

    def key(line: Line) -> tuple[Any, ...]:
        if "group" in line:
            return ("group", line["group"])
        alone = line.get("trigger") in {None, "refer", "open_followup"}
        return (line["course"], line["occurred_at"], id(line) if alone else None)

    for _, same in itertools.groupby(lines, key):
        batch = list(same)
        size = len(batch) if "group" in batch[0] else TOGETHER_MAX
        yield from (batch[first : first + size] for first in range(0, len(batch), size))


class _Player:
    def __init__(self, api: Api, clock: VirtualClock, story: Story) -> None:
        self.api = api
        self.clock = clock
        self.story = story
        self.ids: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        self.asked: dict[Key, dict[dt.date, set[str]]] = {}

    async def send(self, lines: list[Line]) -> None:
        first = lines[0]
        self.clock.set(dt.datetime.fromisoformat(first["occurred_at"]))
        if "leaves" in first:
            await self._leave(first)
        elif "group" in first:
            await self._meet(lines)
        elif first["trigger"] == "refer":
            await self._open(first)
        else:
            await self._fire(lines)

    async def _open(self, line: Line) -> None:
        body = {name: line[name] for name in ("client_ref", "protocol", "data")}
        answer = _accepted(await self.api.post("/v1/courses", body), line)
        self.ids[line["course"]] = answer["course"]["id"]

    async def _fire(self, lines: list[Line]) -> None:
        commands = [{name: line[name] for name in ("trigger", "data", "reason") if name in line} for line in lines]
        course = self.ids[lines[0]["course"]]
        version = await self.api.version(course)
        body = {"together": commands} if len(commands) > 1 else commands[0]
        answer = await self.api.post(f"/v1/courses/{course}/transitions", body, If_Match=f'"{version}"')
        shown = _accepted(answer, lines)["course"]
        self.asked.setdefault((shown["client_ref"], shown["protocol"]), {})[self.clock.now().date()] = set(shown["attention"])
        if "opens" in lines[0]:
            parent = (await self.api.get(f"/v1/courses/{course}")).json()
            self.ids[lines[0]["opens"]] = parent["followed_by"][-1]

    async def _meet(self, lines: list[Line]) -> None:
        path, version = await self._group(lines[0]["course"])
        body = {
            "attendance": {self.ids[line["course"]]: line["data"]["attendance"] for line in lines},
            "minutes": lines[0]["data"]["minutes"],
            "all": True,
        }
        _accepted(await self.api.post(f"{path}/sessions", body, If_Match=version), lines)

    async def _leave(self, line: Line) -> None:
        path, version = await self._group(line["course"])
        body = {"reason": line["leaves"]}
        _accepted(await self.api.post(f"{path}/members/{self.ids[line['course']]}/leave", body, If_Match=version), line)

    async def _group(self, member: str) -> tuple[str, str]:
        """The path and the version of a member's group. It is made when it is first asked for."""
        if member not in self.paths:
            await self._make(next(group for group in self.story.groups if member in group.joined))
        path = self.paths[member]
        return path, (await self.api.get(path)).headers["etag"]

    async def _make(self, group: TellingOfGroup) -> None:
        made = await self.api.post("/v1/groups", {"protocol": group.protocol, "label": "published"})
        _accepted(made, [])
        for name in group.joined:
            path = made.headers["location"]
            version = (await self.api.get(path)).headers["etag"]
            _accepted(await self.api.post(f"{path}/members", {"course": self.ids[name]}, If_Match=version), [])
            self.paths[name] = path


def _accepted(answer: Any, told: Any) -> Any:
    assert answer.status_code == 201, (told, answer.text)
    return answer.json()


# By import


def by_import(story: Story, folder: Path) -> Played:
    """Imports a story from a file, years after it took place."""
    settings = databases.empty(folder)
    lines = [{name: value for name, value in line.items() if name != "group"} for line in story.lines if "trigger" in line]
    file = folder / "courses.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    unset = {name: None for name in os.environ if name.startswith("IPT_")}
    run = CliRunner().invoke(app, ["import", str(file), "--json"], env=unset | {"IPT_DATABASE_URL": settings.database_url})
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout) == {"accepted": len(lines), "known": 0, "linked": 0, "refused": []}

    async def read(clinic: Clinic) -> Played:
        found = await verification.verify(clinic)
        assert found.ok, found
        return await _played(clinic)

    return service_walk.with_clinic(settings, read, VirtualClock(dt.datetime.now(dt.UTC)))


# What both come to


async def _played(clinic: Clinic) -> Played:
    courses, entries = {}, {}
    for each in await CourseReads(clinic).caseload(service_walk.SUPERVISOR, Filters(), "", 50):
        stored = await clinic.courses.get(each.id)
        assert stored
        assert each.client_ref
        key = (each.client_ref, stored.course.protocol)
        courses[key] = _facts(stored.course)
        entries[key] = [
            (fact.trigger, fact.occurred_at, fact.actor.person, fact.actor.role, fact.overridden, _without_place(fact.data))
            for fact in journal.facts(await clinic.entries(each.id))
        ]
    return Played(courses, entries)


def _facts(course: Course) -> Any:
    links = {"follows": course.linked_from is not None, "followed": len(course.followed_by)}
    return _without_place(msgspec.to_builtins(course)) | links | {"id": None}


def _without_place(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_place(each) for name, each in value.items() if name not in OF_ITS_PLACE}
    return [_without_place(each) for each in value] if isinstance(value, list | tuple) else value
