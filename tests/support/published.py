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
OF_ITS_PLACE = {  # differs between two systems that hold the same course
    "client", "course", "recorded_at", "last_recorded_at", "linked_from", "followed_by", "group_session",
}  # fmt: skip


Line = dict[str, Any]


@dataclass
class Story:
    """What is told of one or several courses and groups, in the lines of an import."""

    lines: list[Line] = field(default_factory=list)

    def course(self, name: str, protocol: str, at: dt.datetime, **data: Any) -> "Telling":
        """A client who is referred."""
        telling = Telling(self, name, at)
        opening = {"client_ref": name, "protocol": protocol, "therapist": THERAPIST}
        telling.tell("refer", source="A published case", **data)
        self.lines[-1] |= opening
        return telling

    def group(self, name: str, protocol: str, *members: "Telling") -> "TellingOfGroup":
        """A group that these courses join."""
        telling = TellingOfGroup(self, name, protocol)
        for member in members:
            telling.joins(member)
        return telling

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
    """A group of a story, with its members by name."""

    def __init__(self, story: Story, name: str, protocol: str) -> None:
        self.story = story
        self.name = name
        self.members: dict[str, Telling] = {}
        self.sessions = 0
        self.tell("create", protocol=protocol, label="published", facilitators=[THERAPIST])

    def tell(self, action: str, **data: Any) -> Line:
        """Tells one action."""
        self.story.lines.append({"group": self.name, "action": action, "data": data})
        return self.story.lines[-1]

    def joins(self, member: Telling) -> None:
        self.members[member.name] = member
        self.tell("join", course=member.name, joined_at=member.now.isoformat())

    def session(self, at: dt.datetime, minutes: int, absent: tuple[str, ...], focus: dict[str, str]) -> None:
        """A session of all members, and its signature for each who attended."""
        self.sessions += 1
        attended = [name for name in self.members if name not in absent]
        attendance = {name: "5" if name in attended else "3" for name in self.members}
        named, at_ = {"session": f"session {self.sessions}"}, at.isoformat()
        self.tell("record", attendance=attendance, occurred_at=at_, minutes=minutes).update(named)
        self.tell("sign", occurred_at=at_, focus={name: focus[name] for name in attended if name in focus}).update(named)
        for name, member in self.members.items():
            member.at(at).seq += 2 if name in attended else 1

    def leaves(self, name: str, reason: str) -> None:
        self.tell("leave", course=name, reason=reason, left_at=self.members.pop(name).now.isoformat())


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
            player = _Player(api, clock)
            for lines in _sent_together(story.lines):
                await player.send(lines)
            shown = [(await api.get(f"/v1/courses/{course}", "supervisor")).json() for course in player.ids.values()]
            assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]
            views = {(each["client_ref"], each["protocol"]): each for each in shown}
            return replace(await _played(api.clinic), shown=views, asked=player.asked)

    return asyncio.run(play())


def _sent_together(lines: list[Line]) -> Iterator[list[Line]]:
    """The lines as requests: those of one course at one time."""

    def key(line: Line) -> tuple[Any, ...]:
        alone = line.get("trigger") in {None, "refer", "open_followup"}
        return (line.get("course"), line.get("occurred_at"), id(line) if alone else None)

    for _, same in itertools.groupby(lines, key):
        batch = list(same)
        yield from (batch[first : first + TOGETHER_MAX] for first in range(0, len(batch), TOGETHER_MAX))


class _Player:
    def __init__(self, api: Api, clock: VirtualClock) -> None:
        self.api = api
        self.clock = clock
        self.ids: dict[str, str] = {}
        self.paths: dict[tuple[str, ...], str] = {}  # of groups and of their sessions, by their names
        self.asked: dict[Key, dict[dt.date, set[str]]] = {}

    async def send(self, lines: list[Line]) -> None:
        first = lines[0]
        if "group" in first:
            await self._act(first)
            return
        self.clock.set(dt.datetime.fromisoformat(first["occurred_at"]))
        if first["trigger"] == "refer":
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
        self._ask(_accepted(answer, lines)["course"])
        if "opens" in lines[0]:
            parent = (await self.api.get(f"/v1/courses/{course}")).json()
            self.ids[lines[0]["opens"]] = parent["followed_by"][-1]

    def _ask(self, shown: Any) -> None:
        self.asked.setdefault((shown["client_ref"], shown["protocol"]), {})[self.clock.now().date()] = set(shown["attention"])

    async def _act(self, line: Line) -> None:
        """An action of a group, at its time."""
        group, data, action = (line["group"],), self._with_ids(line["data"]), line["action"]
        for at in (data.get(name) for name in ("joined_at", "left_at", "occurred_at")):
            self.clock.set(dt.datetime.fromisoformat(at) if at else self.clock.now())
        if action == "create":
            made = await self.api.post("/v1/groups", data)
            _accepted(made, line)
            self.paths[group] = made.headers["location"]
        elif action == "sign":
            signed = await self.api.post(f"{self.paths[*group, line['session']]}/sign", data)
            assert (signed.status_code, signed.json()["refused"]) == (200, []), (line, signed.text)
            for course in line["data"]["focus"]:
                self._ask((await self.api.get(f"/v1/courses/{self.ids[course]}")).json())
        else:
            path = self.paths[group]
            below = {"join": "members", "record": "sessions"}.get(action) or f"members/{data.pop('course')}/leave"
            body = data | ({"all": True} if action == "record" else {})
            version = (await self.api.get(path)).headers["etag"]
            answer = _accepted(await self.api.post(f"{path}/{below}", body, If_Match=version), line)
            if action == "record":
                self.paths[*group, line["session"]] = f"{path}/sessions/{answer['session']['id']}"

    def _with_ids(self, data: Line) -> Line:
        """A body of a group, with the courses' ids for their names."""
        by_course = {
            field: {self.ids[name]: each for name, each in data[field].items()}
            for field in ("attendance", "focus")
            if field in data
        }
        return data | by_course | ({"course": self.ids[data["course"]]} if "course" in data else {})


def _accepted(answer: Any, told: Any) -> Any:
    assert answer.status_code == 201, (told, answer.text)
    return answer.json()


# By import


def by_import(story: Story, folder: Path) -> Played:
    """Imports a story from a file, years after it took place."""
    settings = databases.empty(folder)
    lines = story.lines
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
