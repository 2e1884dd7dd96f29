"""Verification from a kept checkpoint: a thousand new entries after many old ones, beside a thousand alone."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench import copies, goals
from bench.figures import Row, row
from bench.processes import BenchFailed
from bench.run import Run
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.journal.proof.ipt_verify import Checkpoint
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.service.audit import log_verification
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.store import log

GROWN, ALONE = "kept_grown", "kept_alone"
NEW = 1000  # entries
STATEMENT_SECONDS = "300"  # to enter a million entries at once


def run_all(run: Run) -> list[Row]:
    new, old = NEW // run.whole.entries, run.sizes.many_courses // run.whole.entries
    kept = {name: _grown(run, name, courses, new) for name, courses in ((GROWN, old), (ALONE, 0))}
    measured = run.rounds({name: functools.partial(_on, run, name, _timed, kept[name]) for name in kept})
    note = f"{new * run.whole.entries} entries after {kept[GROWN].size} places in the log"
    return [row(goals.VERIFY_NEW, measured[GROWN], measured[ALONE], each=" s", against="alone", note=note)]


def _grown(run: Run, name: str, old: int, new: int) -> Checkpoint:
    """Makes a database with old courses and then new ones, all in the log. Returns the checkpoint between."""
    run.database(name, run.whole, old)
    kept: Checkpoint = _on(run, name, _entered)
    asyncio.run(copies.fill_postgres(run.postgres.place(name), run.whole, new, lambda _: None, after=old))
    _on(run, name, _entered)
    run.postgres.settle(name)
    return kept


def _on(run: Run, name: str, work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Runs work on an open clinic of a database."""
    environ = {"IPT_DATABASE_URL": run.postgres.url(name), "IPT_STATEMENT_SECONDS": STATEMENT_SECONDS}

    async def inside() -> Any:
        clinic = await open_clinic(configuration.load(environ))
        try:
            return await work(clinic, *args)
        finally:
            await clinic.installation.close()

    return asyncio.run(inside())


async def _entered(clinic: Clinic) -> Checkpoint:
    """Gives every entry its position. Returns the log's size and root."""
    await clinic.database.write(log.enter_earlier, [clinic.organisation])
    await fan_out.bring_up_to_date(clinic)
    size = await clinic.read(log.size)
    return Checkpoint(clinic.organisation, size, await clinic.read(log.root, size))


async def _timed(clinic: Clinic, kept: Checkpoint) -> float:
    """Seconds of the verification of what is new, once its statements are prepared."""
    await log_verification.verify_log(clinic, kept, whole=True)
    started = time.perf_counter()
    found = await log_verification.verify_log(clinic, kept, whole=True)
    if found.fault or not found.leaves:
        raise BenchFailed(f"the log is not as it was written: {found}")
    return time.perf_counter() - started
