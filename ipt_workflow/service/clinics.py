"""The clinics of a process, one for each organisation, opened when they are first needed."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ipt_workflow.service.audit.witnesses import Witnesses
from ipt_workflow.service.background import one_round
from ipt_workflow.service.clinic import Clinic, clinic_of
from ipt_workflow.service.installation import Installation
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import deliveries as stored_deliveries
from ipt_workflow.store import notices as stored_notices
from ipt_workflow.store import organisations, verification_rounds
from ipt_workflow.store.organisations import StoredOrganisation
from ipt_workflow.store.verification_rounds import view

LOOK_SECONDS = 5.0  # after so long at most, a process knows of an organisation that another one created, changed or suspended


class Clinics:
    """The open clinics of an installation. `first` is that of the organisation in the settings."""

    def __init__(self, first: Clinic) -> None:
        self.first = first
        self.installation: Installation = first.installation
        self._open = {first.organisation: first}
        self._records: dict[str, StoredOrganisation] = {}
        self._opening = asyncio.Lock()

    async def of(self, organisation: str, version: int = 0) -> Clinic | None:
        """The clinic of an organisation, as of this version of its record or a later one. None if there is none."""
        known, record = self._open.get(organisation), self._records.get(organisation)
        if known is not None and record is not None and record.version >= version:
            return known
        async with self._opening:
            return await self._opened(organisation)

    async def _opened(self, organisation: str) -> Clinic | None:
        record = await self.installation.database.read(organisations.find, organisation)
        if record is None:
            return None
        if organisation not in self._open:
            self._open[organisation] = await clinic_of(self.installation, record)
        self._know(record)
        return self._open[organisation]

    def _know(self, record: StoredOrganisation) -> None:
        self._records[record.id] = record
        if record.id in self._open:
            self._open[record.id].follow(record)

    def is_active(self, organisation: str) -> bool:
        """Whether an organisation was active when this process last looked."""
        record = self._records.get(organisation)
        return record is not None and record.status == "active"

    async def look(self) -> list[Clinic]:
        """Reads every organisation, and returns the clinics of those that are active."""
        for record in await self.installation.database.read(organisations.every):
            self._know(record)
            await self.of(record.id)
        return [clinic for organisation, clinic in self._open.items() if self.is_active(organisation)]

    async def metrics(self, active: Iterable[Clinic]) -> bytes:
        """The metrics of the installation. What is counted in the database is the sum of the active organisations."""
        courses: Counter[tuple[str, str]] = Counter()
        deliveries: Counter[str] = Counter()
        waiting: Counter[tuple[str, bool]] = Counter()
        unwitnessed, rounds = 0.0, []
        for clinic in active:
            courses.update({(protocol, state): n for protocol, state, n in await clinic.read(stored_courses.courses_by_state)})
            deliveries.update(await clinic.read(stored_deliveries.counts))
            waiting.update({(source, risk): n for source, risk, n in await clinic.read(stored_notices.waiting_by_source)})
            if last := view(await clinic.read(verification_rounds.newest, 2)):
                rounds.append((last.share, last.age(clinic.clock.now()), last.fault is not None))
            unwitnessed = max(unwitnessed, await Witnesses(clinic).unwitnessed_seconds())
        metrics = self.installation.metrics
        metrics.set_courses([(*key, count) for key, count in courses.items()])
        metrics.set_deliveries(deliveries)
        metrics.set_verified(rounds)
        metrics.log_unwitnessed.set(unwitnessed)
        metrics.set_waiting([(*key, count) for key, count in waiting.items()])
        return metrics.text()

    async def run_each(self, run: Callable[[Clinic, asyncio.Event], Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
        """Runs a task for each active organisation until `stop` is set: from when it is known, until it is suspended."""
        running: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        while not stop.is_set():
            for organisation, clinic in self._open.items():
                if self.is_active(organisation) and organisation not in running:
                    ends = asyncio.Event()
                    running[organisation] = ends, asyncio.create_task(run(clinic, ends))
                elif not self.is_active(organisation) and organisation in running:
                    await _ended(*running.pop(organisation))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        await asyncio.gather(*(_ended(*each) for each in running.values()))

    async def watch(self, stop: asyncio.Event) -> None:
        """Looks every few seconds, until `stop` is set."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            await one_round(self.look(), waits="organisations wait for the database", fails="organisations were not read")


async def _ended(ends: asyncio.Event, task: asyncio.Task[None]) -> None:
    ends.set()
    await task
