"""Work beside the requests: a task that goes on for as long as the process must outlive an error in one of its rounds."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ipt_workflow.errors import Busy, DatabaseNotReady
from ipt_workflow.runtime import logs

MINUTE = 60.0  # seconds


async def one_round(work: Awaitable[object], *, waits: str, fails: str) -> None:
    """Awaits one round, and logs its error: `waits` if the database is away or busy, `fails` for any other."""
    try:
        await work
    except (Busy, DatabaseNotReady) as error:
        logs.logger().warning(waits, error_type=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - the task must outlive it, whatever it is
        logs.logger().error(fails, exc_info=error)


async def each_minute(
    work: Callable[[], Awaitable[object]], stop: asyncio.Event, *, waits: str, fails: str, at_the_end: bool = True
) -> None:
    """Does the work once a minute, and a last time when `stop` is set, unless it can wait. Errors are logged as `one_round` does."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), MINUTE)
        if at_the_end or not stop.is_set():
            await one_round(work(), waits=waits, fails=fails)
