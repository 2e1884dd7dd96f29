"""Measurements without a comparison: firing without HTTP and database, the start, the memory."""

import asyncio
import compileall
import time

import asyncpg

from bench import goals, product
from bench.copies import COURSE_ID
from bench.figures import Row, row
from bench.processes import ROOT, module, resident_mb
from bench.run import TRANSITIONS, Run

FIRED = "record_session"  # the trigger with the most rules that a course may fire again and again


def fire(run: Run) -> list[Row]:
    """Microseconds of deciding and sealing, on a course in its middle phase."""
    with product.serving(run.transitions(), run.log) as served:
        options = product.ask(served[0].port, "GET", f"/v1/courses/{COURSE_ID.format(course=2)}/options", run.tokens["therapist"])
    course = asyncio.run(_course(run))
    example = next(item["example"] for item in options["items"] if item["trigger"] == FIRED)
    commands = {FIRED: example, product.NOTE["trigger"]: product.NOTE}
    found = module("fire", {**course, "commands": commands, "rounds": max(3, run.sizes.rounds)})
    note = f"{FIRED}; a note takes {min(found['note']):.0f} µs"
    return [row(goals.FIRE, found[FIRED], each=" µs", note=note)]


async def _course(run: Run) -> dict[str, str]:
    place = run.postgres.place(TRANSITIONS)
    connection = await asyncpg.connect(host=place["host"], user=place["user"], database=place["dbname"])
    try:
        found = await connection.fetchrow("SELECT snapshot, head FROM course WHERE id = $1", COURSE_ID.format(course=2))
        return {"snapshot": found["snapshot"].decode(), "head": found["head"]}
    finally:
        await connection.close()


def start(run: Run) -> list[Row]:
    """Seconds from the start of a process to its first `ready`, and its memory after load."""
    # An installed package has bytecode; a source tree has none if PYTHONDONTWRITEBYTECODE is set.
    compileall.compile_dir(ROOT / "ipt_workflow", quiet=1)
    seconds, idle = [], []
    for number in range(max(3, run.sizes.rounds)):
        run.progress.step(f"start {number + 1}")
        started = time.perf_counter()
        with product.serving(run.transitions(), run.log) as served:
            seconds.append(time.perf_counter() - started)
            idle.append(resident_mb(served[0].pid))
    memory = run.memory or [_loaded(run)]
    return [
        row(goals.READY, seconds, each=" s"),
        row(goals.MEMORY, memory, each=" MB", note=f"{min(idle):.0f} MB once ready"),
    ]


def _loaded(run: Run) -> float:
    with product.serving(run.transitions(), run.log) as served:
        run.load(product.targets(served), max(goals.CLIENTS), product.notes(run.tokens["therapist"], run.sizes.courses))
        return resident_mb(served[0].pid)
