"""Databases with courses that the service made without HTTP, for tests of stored data."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import examples
from ipt_workflow.course.triggers import Command
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.views import Committed
from ipt_workflow.service.writes import Opening, Write
from support import databases

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
THERAPIST = Principal(person="therapist-1", role="therapist", via="api")
SUPERVISOR = Principal(person="supervisor-1", role="supervisor", via="api")
AUDITOR = Principal(person="auditor-1", role="auditor", via="api")
A_DOZEN = ("record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_history",
           "record_inventory", "record_timeline", "record_formulation", "accept_formulation", "record_measure")  # fmt: skip


def importing(therapist: str) -> Principal:
    """An import that repeats what this therapist did, who may be nobody here."""
    return Principal(person=therapist, role="therapist", via="cli", importing=True)


@asynccontextmanager
async def opened(settings: Settings, clock: VirtualClock | None = None) -> AsyncIterator[Clinic]:
    clinic = await open_clinic(settings, clock or VirtualClock(START))
    try:
        yield clinic
    finally:
        await clinic.installation.close()


def with_clinic(settings: Settings, work: Callable[[Clinic], Awaitable[Any]], clock: VirtualClock | None = None) -> Any:
    """Runs a coroutine function on an open clinic."""

    async def inside() -> Any:
        async with opened(settings, clock) as clinic:
            return await work(clinic)

    return asyncio.run(inside())


def database(folder: Path, work: Callable[[Clinic], Awaitable[Any]] | None = None, server: str | None = None) -> Settings:
    """A migrated database in a folder, or on a PostgreSQL server, filled by `work`."""
    settings = databases.empty(folder, server)
    if work:
        with_clinic(settings, work)
    return settings


def opening(ref: str = "EHR-1", **more: Any) -> Opening:
    data = {"source": "General practitioner", "indication": "depression"}
    return msgspec.structs.replace(Opening(client_ref=ref, protocol="ipt", data=data), **more)


async def open_course(clinic: Clinic, ref: str = "EHR-1", principal: Principal = THERAPIST) -> str:
    return (await Courses(clinic).open_course(principal, lambda: opening(ref))).course.id


async def example(clinic: Clinic, course_id: str, trigger: str, principal: Principal = THERAPIST) -> Command:
    """The example that `options` offers for a trigger."""
    stored = await clinic.visible_course(principal, course_id)
    context = clinic.context(principal, clinic.clock.now(), example_supervisor=SUPERVISOR.person)
    return msgspec.convert(examples.example(clinic.machine_of(stored.course).protocol, stored.course, trigger, context), Command)


async def offered(clinic: Clinic, course_id: str, trigger: str) -> tuple[int, dict[str, Any]]:
    """The version, and the body that `options` offers for one trigger; it overrides soft rules. `options` itself tries every trigger."""
    course = (await clinic.visible_course(THERAPIST, course_id)).course
    now = max(clinic.clock.now(), course.last_recorded_at)
    context = clinic.with_history(
        clinic.context(THERAPIST, now, example_supervisor=SUPERVISOR.person), (await clinic.entries(course_id))[: course.version]
    )
    machine = clinic.machine_of(course)
    command = msgspec.convert(examples.example(machine.protocol, course, trigger, context), Command)
    option, _ = machine.option(course, (command,), context)
    return course.version, option.example


async def fire(clinic: Clinic, course_id: str, command: Command, principal: Principal = THERAPIST, **more: Any) -> Committed:
    write = Write(decode=lambda: (command,), version_required=False, **more)
    return await Courses(clinic).fire(principal, course_id, write)


async def walk(clinic: Clinic, course_id: str, *triggers: str) -> None:
    """Fires examples, a minute apart."""
    for trigger in triggers:
        if isinstance(clinic.clock, VirtualClock):
            clinic.clock.advance(dt.timedelta(minutes=1))
        await fire(clinic, course_id, await example(clinic, course_id, trigger))
