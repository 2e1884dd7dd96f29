"""Waking the relay as soon as something was committed: in its own process by the committer, across processes by PostgreSQL.

A relay that is not woken finds the same at its next look. So a lost signal costs time and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from ipt_workflow.errors import Busy, DatabaseNotReady
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.installation import Installation

CHANNEL = "ipt_relay"
NOTIFY_SECONDS = 0.01  # the least time between two notifications of a process


@contextmanager
def listening(clinic: Clinic, committed: Callable[[], None]) -> Iterator[None]:
    """Calls `committed` after the clinic's commits in this process, and in others if the process is `hearing`."""
    listeners = clinic.committer.listeners[clinic.organisation]
    listeners.add(committed)
    try:
        yield
    finally:
        listeners.discard(committed)


@asynccontextmanager
async def hearing(installation: Installation) -> AsyncIterator[None]:
    """Hears the commits of other processes, of all organisations, if the database can tell."""
    async with _beside(installation.database.listen(CHANNEL, installation.committer.signal)):
        yield


@asynccontextmanager
async def notifying(clinic: Clinic) -> AsyncIterator[None]:
    """Notifies the relays of other processes after commits of this process, which has no relay itself.

    The notification is no part of the commit: PostgreSQL lets transactions that notify commit only one after another.
    """
    committed = asyncio.Event()

    async def notify() -> None:
        while True:
            await committed.wait()
            committed.clear()
            with suppress(Busy, DatabaseNotReady):  # the relay will look by itself
                await clinic.database.notify(CHANNEL, clinic.organisation)
            await asyncio.sleep(NOTIFY_SECONDS)

    with listening(clinic, committed.set):
        async with _beside(notify()):
            yield


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs `work` for the duration of the block."""
    running = asyncio.create_task(work)
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
