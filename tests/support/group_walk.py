"""Groups in a database: the protocol for groups of the tests, courses that are prepared for it, and short forms of the verbs."""

import asyncio
import datetime as dt
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import examples
from ipt_workflow.course.triggers import Command, Override
from ipt_workflow.groups.bodies import Facilitating, Joining, Leaving, NewGroup, NewSession
from ipt_workflow.groups.views import GroupView, Recorded, SessionCommitted
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit.verification import verify
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.groups.sessions import GroupSessions
from ipt_workflow.service.groups.signatures import GroupSignatures
from ipt_workflow.service.views import Committed
from ipt_workflow.service.writes import GroupWrite, IdempotencyKey, Opening, Write
from support import databases, service_walk

PROTOCOL = "group-of-eight"
WEEK = dt.timedelta(days=7)
FACILITATOR = Principal(person="therapist-1", role="therapist")
COFACILITATOR = Principal(person="therapist-2", role="therapist")
OUTSIDER = Principal(person="therapist-9", role="therapist")
SUPERVISOR = Principal(person="supervisor-1", role="supervisor")
AUDITOR = Principal(person="auditor-1", role="auditor")
MEASURES = (
    {"instrument": "phq9", "items": [2] * 8 + [0]},
    {"instrument": "ifr", "total": 5},
    {"instrument": "mspss", "total": 40},
)
FIRST_PHASE = ("record_evaluation", "record_inventory", "assign_sick_role", "select_focus", "agree_contract")
LAST_PHASE = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation")


@cache
def config() -> Path:
    """The shipped configuration, with the protocol of the tests. No test writes to it."""
    made = Path(databases.TEMPLATES.name) / "config"
    shutil.copytree(configuration.default_config_dir(), made)
    shutil.copy(Path(__file__).parents[1] / "config" / f"{PROTOCOL}.toml", made / "protocols")
    return made


def settings(folder: Path, server: str | None = None) -> Settings:
    """The settings of a migrated database with the configuration of `config`."""
    url = databases.empty(folder, server).database_url
    return configuration.load({"IPT_DATABASE_URL": url, "IPT_RELAY": "false", "IPT_CONFIG_DIR": str(config())})


class GroupWalk:
    """An open clinic with short forms of its verbs. Every trigger is fired a minute after the step before."""

    def __init__(self, clinic: Clinic, clock: VirtualClock) -> None:
        self.clinic = clinic
        self.clock = clock
        self.courses = Courses(clinic)
        self.groups = Groups(clinic)
        self.sessions = GroupSessions(clinic)
        self.signatures = GroupSignatures(clinic)

    # Courses

    async def course(self, ref: str, therapist: Principal = FACILITATOR, protocol: str = PROTOCOL) -> str:
        """Opens a course by a referral."""
        opening = Opening(client_ref=ref, protocol=protocol, data={"source": "General practitioner", "indication": "depression"})
        return (await self.courses.open_course(therapist, lambda: opening)).course.id

    async def started(self, ref: str, therapist: Principal = FACILITATOR) -> str:
        course = await self.course(ref, therapist)
        for trigger in ("record_consent", "start"):
            await self.fire(course, trigger, by=therapist)
        return course

    async def prepared(self, ref: str, therapist: Principal = FACILITATOR) -> str:
        """A course in its first phase that lacks only the session of the group."""
        course = await self.started(ref, therapist)
        await self.fire(course, "record_contact", {"kind": "pre_group"}, by=therapist)
        for trigger in FIRST_PHASE:
            await self.fire(course, trigger, by=therapist)
        await self.measure(course, therapist)
        return course

    async def measure(self, course: str, by: Principal = FACILITATOR) -> None:
        for scale in MEASURES:
            await self.fire(course, "record_measure", scale, by=by)

    async def fire(
        self, course: str, trigger: str, data: dict[str, Any] | None = None, by: Principal = FACILITATOR, **more: Any
    ) -> Committed:
        """Fires a trigger with this data, or with that of its example."""
        self.clock.advance(dt.timedelta(minutes=1))
        stored = await self.clinic.visible_course(by, course)
        context = self.clinic.context(by, self.clock.now(), example_supervisor=SUPERVISOR.person)
        body = examples.example(self.clinic.machine_of(stored.course).protocol, stored.course, trigger, context)
        command = msgspec.structs.replace(msgspec.convert(body, Command), **({"data": data} if data is not None else {}), **more)
        return await self.courses.fire(by, course, Write(decode=lambda: (command,), version_required=False))

    async def override(self, course: str, trigger: str, *rules: str) -> Committed:
        return await self.fire(course, trigger, override=Override(rules, "It was so."))

    async def sign_all(self, *courses: str, by: Principal = FACILITATOR) -> None:
        for course in courses:
            for session in (await self.fold(course)).unsigned:
                await self.fire(course, "sign_session", {"session": session.seq}, by=by)

    async def fold(self, course: str):
        stored = await self.clinic.courses.get(course)
        assert stored is not None
        return stored.course

    async def counted(self, course: str):
        stored = await self.clinic.courses.get(course)
        assert stored is not None
        return self.clinic.course_view(stored.course, self.clinic.context(AUDITOR, self.clock.now()), stored.head, None).counters

    # Groups

    async def group(self, *courses: str, by: Principal = FACILITATOR, facilitators: tuple[str, ...] = ()) -> str:
        new = NewGroup(protocol=PROTOCOL, label="G-1", facilitators=facilitators)
        group = (await self.groups.create(by, lambda: new)).group.id
        for course in courses:
            await self.join(group, course)
        return group

    async def join(self, group: str, course: str, by: Principal = SUPERVISOR, **more: Any) -> GroupView:
        return (await self.groups.join(by, group, write(Joining(course=course, **more)))).group

    async def leave(self, group: str, course: str, by: Principal = FACILITATOR, **more: Any) -> GroupView:
        body = Leaving(**{"reason": "own_wish", **more})
        return (await self.groups.leave(by, group, course, write(body))).group

    async def facilitate(self, group: str, *persons: str, by: Principal = SUPERVISOR) -> GroupView:
        return (await self.groups.facilitate(by, group, write(Facilitating(facilitators=persons)))).group

    async def record(self, group: str, attendance: dict[str, str], by: Principal = FACILITATOR, **more: Any) -> SessionCommitted:
        """Records a session now, without a version unless one is given."""
        headers = {name: more.pop(name) for name in ("version", "key") if name in more}
        return await self.sessions.record(by, group, write(NewSession(attendance=attendance, **more), **headers))

    async def session(self, group: str, attendance: dict[str, str], by: Principal = FACILITATOR, **more: Any) -> Recorded:
        """Records a session a week after the step before."""
        self.clock.advance(WEEK)
        return (await self.record(group, attendance, by, **more)).recorded

    async def view(self, group: str, by: Principal = SUPERVISOR) -> GroupView:
        return await self.groups.one(by, group)

    async def is_whole(self) -> bool:
        return (await verify(self.clinic)).ok


def write(body: Any, version: int | None = None, key: IdempotencyKey | None = None) -> GroupWrite:
    return GroupWrite(decode=lambda: body, version=version, version_required=False, key=key)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[GroupWalk]:
    clock = VirtualClock(service_walk.START)
    clinic = await open_clinic(settings, clock)
    try:
        yield GroupWalk(clinic, clock)
    finally:
        await clinic.installation.close()


def run(settings: Settings, work: Callable[[GroupWalk], Awaitable[Any]]) -> Any:
    """Runs a coroutine function on an open clinic; every journal in it must verify afterwards."""

    async def inside() -> Any:
        async with opened(settings) as clinic:
            result = await work(clinic)
            assert await clinic.is_whole()
            return result

    return asyncio.run(inside())
