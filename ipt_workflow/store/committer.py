"""The committer: one lane a process, through which everything about courses is written.

Callers put a unit (or an event of the audit log) into the queue and wait. The lane takes what is waiting, at most one unit a course,
commits it in one transaction, and tells each caller whether their unit won. One whose course has moved on meanwhile, or whose
idempotency key was used, has lost, and costs no transaction of its own. Units that touch more than one course go alone. A unit that
violates a constraint, or holds what the database does not take, would fail its whole batch, so such a batch is taken again one by one.

When the connection is lost, or the database gives up on a deadlock, the batch is tried again for a while. Trying again is safe: a
unit swaps its course's version, so it cannot be written twice; and one that finds itself written has won.

A caller that is cancelled leaves its unit in the queue. It is committed or not; the idempotency key tells which.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from ipt_workflow.errors import Busy, DatabaseNotReady, IptError, StaleVersion, Unreachable
from ipt_workflow.store.commits import single
from ipt_workflow.store.database import Database
from ipt_workflow.store.lookups import VERSIONS
from ipt_workflow.store.units import KeyTaken, LoggedEvent, Unit

FIRST_PAUSE = 0.02  # seconds before a batch is tried again; doubled each time
LONGEST_PAUSE = 1.0
DATABASE_AWAY = (Busy, DatabaseNotReady)  # no unit's fault: one by one they would fare no better


class CommitJob:
    """A unit or an event on its way, and who waits for it."""

    __slots__ = ("done", "until", "work")

    def __init__(self, work: Unit | LoggedEvent, done: "asyncio.Future[None]", until: float) -> None:
        self.work = work
        self.done = done
        self.until = until

    def end(self, error: BaseException | None = None) -> None:
        """Tells the caller, unless it has stopped waiting."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # an error that nobody waits for any more is no news


class Committer:
    """The lane. `queue_max` jobs may wait and `batch_max` share a transaction; `patience` is how long, in seconds, a job may
    wait for its turn, and again how long it is tried."""

    def __init__(self, database: Database, *, queue_max: int, batch_max: int, patience: float) -> None:
        self._database = database
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._patience = patience
        self._waiting: deque[CommitJob] = deque()
        self._lane: asyncio.Task[None] | None = None
        self._closed = False

    async def commit(self, work: Unit | LoggedEvent, meanwhile: Callable[[], Any] | None = None) -> Any:
        """Writes it durably. Returns what `meanwhile` makes, which is made while the database writes.

        Raises StaleVersion, ActiveCourseExists, KeyTaken, ClientTaken, or Busy.
        """
        if self._closed or len(self._waiting) >= self._queue_max:
            raise Busy("Too many writes are waiting. Try again.")
        loop = asyncio.get_running_loop()
        job = CommitJob(work, loop.create_future(), loop.time() + self._patience)
        self._waiting.append(job)
        if self._lane is None or self._lane.done():
            self._lane = loop.create_task(self._drain())
        made = None
        if meanwhile:
            await asyncio.sleep(0)  # the lane has its turn first
            made = meanwhile()
        await job.done
        return made

    async def close(self) -> None:
        """Takes nothing more, and ends when everything that waits is committed."""
        self._closed = True
        if self._lane:
            await self._lane

    async def _drain(self) -> None:
        while self._waiting:
            self._give_up_the_late()
            jobs = self._next()
            try:
                await self._take(jobs)
            except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it, and the lane goes on
                for job in jobs:
                    job.end(error)

    def _give_up_the_late(self) -> None:
        """Those who waited too long are told so; nothing of theirs was written."""
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0].until < now:
            self._waiting.popleft().end(Busy("The write waited too long. Try again."))

    def _next(self) -> list[CommitJob]:
        """Those in front: one that goes alone, or as many as share a transaction. A course's later units wait their turn."""
        if self._waiting and not _shares(self._waiting[0]):
            return [self._waiting.popleft()]
        taken: list[CommitJob] = []
        left: list[CommitJob] = []
        courses: set[str] = set()
        while self._waiting and len(taken) < self._batch_max:
            job = self._waiting.popleft()
            touched = job.work.courses if isinstance(job.work, Unit) else ()
            if not _shares(job) or not courses.isdisjoint(touched):
                left.append(job)
            else:
                taken.append(job)
            courses.update(touched)
        self._waiting.extendleft(reversed(left))
        return taken

    async def _take(self, jobs: list[CommitJob]) -> None:
        """Commits a batch, or a unit that goes alone."""
        if not jobs:
            return
        if not _shares(jobs[0]):
            await self._alone(jobs[0])
            return
        units = [job.work for job in jobs if isinstance(job.work, Unit)]
        events = [job.work for job in jobs if isinstance(job.work, LoggedEvent)]
        tries = Tries(self._patience)
        try:
            won = iter(await tries.of(self._database.put, units, events))
        except DATABASE_AWAY:
            raise
        except Exception:  # noqa: BLE001 - one of them cannot be written, whatever is wrong with it: not the others' fault
            for job in jobs:
                await self._alone(job, tries.made)
            return
        lost = []
        for job in jobs:
            if isinstance(job.work, LoggedEvent) or next(won):
                job.end()
            else:
                lost.append(job)
        await self._tell_lost(lost, tries.made)

    async def _tell_lost(self, jobs: list[CommitJob], made: int) -> None:
        """Tells those whose course has moved on, or whose key was used; one that was tried before may have been written by that."""
        units = [job.work for job in jobs if isinstance(job.work, Unit)]
        versions: dict[str, int] = {}
        try:
            for organisation in {unit.organisation for unit in units}:
                versions |= await self._database.find(VERSIONS, organisation, [course for unit in units for course in unit.courses])
            for job, unit in zip(jobs, units, strict=True):
                lost = _why_lost(unit, versions.get(unit.courses[0], 0))
                job.end(await self._truth(unit, lost) if made > 1 else lost)
        except IptError as error:
            for job in jobs:
                job.end(error)

    async def _alone(self, job: CommitJob, made: int = 0) -> None:
        """Commits one job in a transaction of its own, after so many tries in a batch."""
        tries = Tries(self._patience, made)
        try:
            if isinstance(job.work, LoggedEvent):
                await tries.of(self._database.put, [], [job.work])
            else:
                await tries.of(self._database.write, single.commit, job.work)
        except Exception as error:  # noqa: BLE001 - this job failed alone, and whoever waits for it must hear of it
            job.end(await self._truth(job.work, error) if tries.made > 1 else error)
        else:
            job.end()

    async def _truth(self, work: Unit | LoggedEvent, error: Exception) -> Exception | None:
        """What to tell of work that failed after several tries: nothing where one of them has written it."""
        try:
            return None if await self._database.read(single.is_written, work) else error
        except IptError as unknown:
            return unknown


class Tries:
    """Tries something again while the database cannot be reached or gives up on a deadlock, for so many seconds."""

    def __init__(self, patience: float, made: int = 0) -> None:
        self._patience = patience
        self.made = made

    async def of(self, run: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        clock, pause = asyncio.get_running_loop().time, FIRST_PAUSE
        give_up = clock() + self._patience
        while True:
            self.made += 1
            try:
                return await run(*args)
            except (Unreachable, Busy):
                if clock() + pause > give_up:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _why_lost(unit: Unit, version: int) -> IptError:
    """What a unit was told that lost in a batch, by the version that its course has."""
    if version == unit.changes[0].expected:
        return KeyTaken("The key was used first by another request.")
    return StaleVersion(version)


def _shares(job: CommitJob) -> bool:
    return isinstance(job.work, LoggedEvent) or job.work.plain
