"""Waking the relay as soon as something was committed: in its own process by the committer, across processes by PostgreSQL.

A relay that is not woken finds the same at its next look. So a lost signal costs time and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from ipt_workflow.errors import Busy, DatabaseNotReady
from ipt_workflow.service.clinic import Clinic

CHANNEL = "ipt_relay"
NOTIFY_SECONDS = 0.01  # the least time between two notifications of a process


@asynccontextmanager
async def listening(clinic: Clinic, wake: Callable[[], None]) -> AsyncIterator[None]:
    """Calls `wake` after commits of this process, and of others if the database can tell."""

    def hear(organisation: str) -> None:
        if organisation == clinic.organisation:
            wake()

    async with _beside(clinic, wake, clinic.database.listen(CHANNEL, hear)):
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

    async with _beside(clinic, committed.set, notify()):
        yield


@asynccontextmanager
async def _beside(clinic: Clinic, committed: Callable[[], None], work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Calls `committed` after commits, and runs `work`, for the duration of the block."""
    running = asyncio.create_task(work)
    clinic.committer.listeners.add(committed)
    try:
        yield
    finally:
        clinic.committer.listeners.discard(committed)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
