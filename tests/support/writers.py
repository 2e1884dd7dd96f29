"""What each of several processes writes to one database at one signal, as the program of a fork. Prints its answer."""

import asyncio
import json
import sys
from threading import Barrier
from typing import Any

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import IptError, StaleVersion
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.writes import IdempotencyKey, Write
from support import databases, forks, service_walk

PROCESSES = 3
SECONDS = 60


async def notes(clinic: Clinic, course: str, rounds: int) -> dict[str, Any]:
    """Writes `rounds` times on the version it reads. Returns the versions it won and lost."""
    won, lost, service = [], [], Courses(clinic)
    for _ in range(rounds):
        version = (await clinic.visible_course(service_walk.THERAPIST, course)).course.version
        write = Write(decode=lambda: (Command("note", {"text": "She called."}),), version=version)
        try:
            await service.fire(service_walk.THERAPIST, course, write)
            won.append(version)
        except StaleVersion:
            lost.append(version)
    return {"won": won, "lost": lost}


async def opening(clinic: Clinic, ref: str, key: str | None) -> dict[str, Any]:
    kept = IdempotencyKey(key, "body") if key else None
    try:
        done = await Courses(clinic).open_course(service_walk.THERAPIST, lambda: service_walk.opening(ref), kept)
    except IptError as error:
        return {"error": type(error).__name__}
    return {"course": done.course.id, "replayed": done.replayed}


async def once(clinic: Clinic, course: str, key: str) -> dict[str, Any]:
    write = Write(decode=lambda: (Command("note", {"text": "Once."}),), version_required=False, key=IdempotencyKey(key, "body"))
    done = await Courses(clinic).fire(service_walk.THERAPIST, course, write)
    return {"seq": done.entries[-1].seq, "replayed": done.replayed}


def write(all_are_ready: Barrier, url: str, work: Any, *args: Any) -> None:
    async def main() -> None:
        async with service_walk.opened(databases.settings_of(url), SystemClock()) as clinic:
            all_are_ready.wait(SECONDS)
            sys.stdout.write(json.dumps(await work(clinic, *args)))

    asyncio.run(main())


def in_processes(url: str, work: Any, *args: Any) -> list[dict[str, Any]]:
    """The answers of one of these functions in several processes."""
    all_are_ready = forks.CONTEXT.Barrier(PROCESSES)
    started = [forks.Fork(all_are_ready, url, work, *args, program=write) for _ in range(PROCESSES)]
    answers = []
    for process in started:
        with process:
            assert process.stdout
            answers.append(json.loads(process.stdout.read()))
    assert [process.returncode for process in started] == [0] * PROCESSES
    return answers
