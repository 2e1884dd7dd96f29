"""Waking the relay as soon as something was committed: in its own process by the committer, across processes by PostgreSQL.

A relay that is not woken finds the same at its next look. So a lost signal costs time and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from ipt_workflow.errors import Busy, DatabaseNotReady
from ipt_workflow.service.clinic import Clinic

CHANNEL = "ipt_relay"
NOTIFY_SECONDS = 0.01  # the least time between two notifications of a process


@asynccontextmanager
async def heard(clinic: Clinic, wake: Callable[[], None]) -> AsyncIterator[None]:
    """Calls `wake` after commits of this process, and of others if the database can tell."""

    def listen(organisation: str) -> None:
        if organisation == clinic.organisation:
            wake()

    listening = asyncio.create_task(clinic.database.listen(CHANNEL, listen))
    clinic.committer.listeners.add(wake)
    try:
        yield
    finally:
        clinic.committer.listeners.discard(wake)
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


@asynccontextmanager
async def told(clinic: Clinic) -> AsyncIterator[None]:
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

    notifying = asyncio.create_task(notify())
    clinic.committer.listeners.add(committed.set)
    try:
        yield
    finally:
        clinic.committer.listeners.discard(committed.set)
        notifying.cancel()
        with suppress(asyncio.CancelledError):
            await notifying
