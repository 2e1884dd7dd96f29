"""The committer writes everything about courses: one queue and one writing task, the lane, in each process.

A caller puts a unit (or an event of the audit log) into the queue and waits. The lane takes the waiting jobs as a batch, at most one
unit a course. It commits the batch in one transaction, and reports to each caller whether its unit won. A unit loses if its course has a
newer version or its idempotency key was used; losing costs no further transaction. A unit that touches more than one course is committed
alone. A unit that violates a constraint, or holds a value the database rejects, fails its whole batch. The lane then commits the units of
that batch one by one.

A row that another transaction holds makes the batch wait a moment, and then fail. Its units are tried one by one. The unit that waits for
the row goes on waiting beside the lane, and later units of its course wait behind it. Records of the audit log have a lane of their own
where the database can write both at once, since they wait for no row.

If the connection is lost, or the database gives up on a deadlock, the lane tries the batch again for a while. This is safe: a unit
compares and swaps its course's version, so it cannot be written twice; and a unit that is found in the database has won.

A cancelled caller leaves its unit in the queue. The unit may still be committed; a request with the same idempotency key finds out.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ipt_workflow.errors import Busy, DatabaseNotReady, IptError, Locked, StaleVersion, Unreachable
from ipt_workflow.store.commits import single
from ipt_workflow.store.database import Database
from ipt_workflow.store.held import HeldJobs
from ipt_workflow.store.lookups import VERSIONS
from ipt_workflow.store.units import KeyTaken, LoggedEvent, Unit

FIRST_PAUSE = 0.02  # seconds before the second attempt; doubled after each further one
LONGEST_PAUSE = 1.0  # seconds
DATABASE_AWAY = (Busy, DatabaseNotReady)  # no unit caused this, so committing one by one would not help
WAITED_TOO_LONG = "The write waited too long and was not made. Try again."
HELD_AT_ONCE = 2  # held units that are tried at once; each needs a connection


class CommitJob:
    """A unit or an event in the queue. `done` reports its outcome to the caller; `deadline` is the loop's time."""

    __slots__ = ("deadline", "done", "work")

    def __init__(self, work: Unit | LoggedEvent, done: "asyncio.Future[None]", deadline: float) -> None:
        self.work = work
        self.done = done
        self.deadline = deadline

    def end(self, error: BaseException | None = None) -> None:
        """Reports success or the error to the caller, unless it was cancelled."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # marks it as seen: the caller may have been cancelled

    def expires(self) -> bool:
        """Ends the job with Busy if its deadline has passed. Nothing of it was written."""
        passed = self.deadline < asyncio.get_running_loop().time()
        if passed:
            self.end(Busy(WAITED_TOO_LONG))
        return passed


class Committer:
    """The queue and its lane. At most `queue_max` jobs wait, and at most `batch_max` share a transaction.

    A job may wait `patience` seconds in the queue, and is then tried for `patience` seconds at most.
    """

    def __init__(self, database: Database, *, queue_max: int, batch_max: int, patience: float, records: bool = False) -> None:
        """With `records`, this is the lane of a committer's records."""
        apart = not records and database.records_apart
        self._records = (
            Committer(database, queue_max=queue_max, batch_max=batch_max, patience=patience, records=True) if apart else None
        )
        self._held: HeldJobs[CommitJob] = HeldJobs(self._commit_held)
        self._held_tries = asyncio.Semaphore(HELD_AT_ONCE)
        self._database = database
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._patience = patience
        self._waiting: deque[CommitJob] = deque()
        self._lane: asyncio.Task[None] | None = None
        self._writing = False
        self._closed = False
        # called when an organisation may have events to deliver
        self.listeners: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)
        if self._records:
            self._records.listeners = self.listeners

    def signal(self, *organisations: str) -> None:
        """Calls the listeners of these organisations. For writes that do not go through the committer."""
        for organisation in organisations:
            for heard in self.listeners[organisation]:
                heard()

    async def commit(self, work: Unit | LoggedEvent, meanwhile: Callable[[], Any] | None = None) -> Any:
        """Writes a unit or an event durably. Calls `meanwhile` while the database writes, and returns its result.

        Raises StaleVersion, ActiveCourseExists, KeyTaken, ClientTaken, or Busy.
        """
        if self._records and isinstance(work, LoggedEvent):
            return await self._records.commit(work, meanwhile)
        if self._closed or len(self._waiting) + self._held.count >= self._queue_max:
            raise Busy("Too many writes are waiting. Try again.")
        loop = asyncio.get_running_loop()
        job = CommitJob(work, loop.create_future(), loop.time() + self._patience)
        self._waiting.append(job)
        if self._lane is None or self._lane.done():
            self._lane = loop.create_task(self._drain())
        result = None
        if meanwhile:
            if not self._writing:
                await asyncio.sleep(0)  # lets the lane start the write first
            result = meanwhile()
        await job.done
        return result

    async def close(self) -> None:
        """Accepts no further work, and returns when everything in the queue is committed."""
        self._closed = True
        if self._lane:
            await self._lane
        await self._held.wait()
        if self._records:
            await self._records.close()

    async def _drain(self) -> None:
        while self._waiting:
            while self._waiting and self._waiting[0].expires():
                self._waiting.popleft()
            self._queue_behind_held()
            jobs = self._next_batch()
            self._writing = True
            try:
                await self._commit_batch(jobs)
            except Exception as error:  # noqa: BLE001 - every caller must get the error, whatever it is, and the lane continues
                for job in jobs:
                    job.end(error)
            finally:
                self._writing = False
            self.signal(*{job.work.organisation for job in jobs if isinstance(job.work, Unit) or job.work.published})

    def _queue_behind_held(self) -> None:
        """Moves jobs of courses that are held out of the queue, behind those."""
        if self._held.count:
            waiting, self._waiting = self._waiting, deque()
            self._waiting.extend(job for job in waiting if not self._held.take(job, _courses(job)))

    def _next_batch(self) -> list[CommitJob]:
        """The next job if it must go alone; else as many as may share a transaction. Later units of the same course stay in the queue."""
        if self._waiting and not _may_share(self._waiting[0]):
            return [self._waiting.popleft()]
        taken: list[CommitJob] = []
        left: list[CommitJob] = []
        courses: set[tuple[str, str]] = set()
        while self._waiting and len(taken) < self._batch_max:
            job = self._waiting.popleft()
            touched = _courses(job)
            if not _may_share(job) or not courses.isdisjoint(touched):
                left.append(job)
            else:
                taken.append(job)
            courses.update(touched)
        self._waiting.extendleft(reversed(left))
        return taken

    async def _commit_batch(self, jobs: list[CommitJob], made: int = 0) -> None:
        """Commits what `_next_batch` took. `made` attempts were made in a larger batch before."""
        if not jobs:
            return
        if not _may_share(jobs[0]):
            await self._commit_alone(jobs[0])
            return
        units = [job.work for job in jobs if isinstance(job.work, Unit)]
        events = [job.work for job in jobs if isinstance(job.work, LoggedEvent)]
        attempts = Attempts(self._patience, made)
        try:
            won = iter(await attempts.run(self._database.put, units, events, until=Locked if units else None))
        except Locked:
            await self._commit_unlocked(jobs, attempts.made)
            return
        except DATABASE_AWAY:
            raise
        except Exception:  # noqa: BLE001 - one of the jobs cannot be written, whatever is wrong with it; the others must be
            for job in jobs:
                await self._commit_alone(job, attempts.made)
            return
        lost = []
        for job in jobs:
            if isinstance(job.work, LoggedEvent) or next(won):
                job.end()
            else:
                lost.append(job)
        await self._report_lost(lost, attempts.made)

    async def _commit_unlocked(self, jobs: list[CommitJob], made: int) -> None:
        """Commits one by one the jobs of a batch that waited too long for a row. Holds the one that waits for it."""
        if len(jobs) == 1:
            self._held.hold(jobs[0], _courses(jobs[0]))
            return
        for job in jobs:
            if not job.expires():
                await self._commit_batch([job], made)

    async def _commit_held(self, job: CommitJob) -> None:
        """Tries a held job until it is written, or its time is over."""
        if job.expires():
            return
        try:
            await self._commit_alone(job, 1, self._write_held)
        except Exception as error:  # noqa: BLE001 - the caller must get the error, whatever it is, and those behind it their turn
            job.end(error)
        self.signal(job.work.organisation)

    async def _write_held(self, *args: Any, **named: Any) -> Any:
        try:
            async with asyncio.timeout(self._patience):
                await self._held_tries.acquire()
        except TimeoutError:
            raise Busy(WAITED_TOO_LONG) from None
        try:
            return await self._database.write(*args, **named)
        finally:
            self._held_tries.release()

    async def _report_lost(self, jobs: list[CommitJob], attempts: int) -> None:
        """Reports StaleVersion or KeyTaken to losers of a batch. After a retry, first checks whether the earlier attempt committed."""
        units = [job.work for job in jobs if isinstance(job.work, Unit)]
        asked: defaultdict[str | None, list[str]] = defaultdict(list)  # two organisations may have courses of the same id
        for unit in units:
            asked[unit.organisation] += unit.courses
        try:
            versions = await self._database.find_each(VERSIONS, asked)
            for job, unit in zip(jobs, units, strict=True):
                lost = _why_lost(unit, versions[unit.organisation].get(unit.courses[0], 0))
                job.end(await self._outcome(unit, lost) if attempts > 1 else lost)
        except IptError as error:
            for job in jobs:
                job.end(error)

    async def _commit_alone(self, job: CommitJob, made: int = 0, held: Callable[..., Awaitable[Any]] | None = None) -> None:
        """Commits one job in a transaction of its own. `made` attempts were made before. `held` writes a job that waits for a row."""
        attempts = Attempts(self._patience, made)
        try:
            if isinstance(job.work, LoggedEvent):
                await attempts.run(self._database.put, [], [job.work])
            else:
                write = partial(held or self._database.write, single.commit, job.work, organisations=job.work.organisations)
                await attempts.run(write, until=None if held else Locked)
        except Locked as error:
            if held:
                job.end(await self._outcome(job.work, error))
            else:
                self._held.hold(job, _courses(job))
        except Exception as error:  # noqa: BLE001 - the job's caller must get the error, whatever it is
            job.end(await self._outcome(job.work, error) if attempts.made > 1 else error)
        else:
            job.end()

    async def _outcome(self, work: Unit | LoggedEvent, error: Exception) -> Exception | None:
        """The error to report for work that failed after several attempts; None if an earlier attempt has written it."""
        try:
            return None if await self._database.read(single.is_written, work, organisations=work.organisations) else error
        except IptError as unknown:
            return unknown


class Attempts:
    """Repeats a call while the database cannot be reached or gives up on a deadlock, for `patience` seconds. Counts the attempts."""

    def __init__(self, patience: float, made: int = 0) -> None:
        self._patience = patience
        self.made = made

    async def run(self, call: Callable[..., Awaitable[Any]], *args: Any, until: type[Busy] | None = None) -> Any:
        """The call's result. An error of the kind `until` ends the attempts."""
        clock, pause = asyncio.get_running_loop().time, FIRST_PAUSE
        give_up = clock() + self._patience
        while True:
            self.made += 1
            try:
                return await call(*args)
            except (Unreachable, Busy) as error:
                if clock() + pause > give_up or (until and isinstance(error, until)):
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _why_lost(unit: Unit, version: int) -> IptError:
    """Why a unit lost in a batch, by its course's version: at the expected version only its key can have been used."""
    if version == unit.changes[0].expected:
        return KeyTaken("Another request used the key first.")
    return StaleVersion(version)


def _may_share(job: CommitJob) -> bool:
    """Whether the job may share a transaction with others."""
    return isinstance(job.work, LoggedEvent) or job.work.plain


def _courses(job: CommitJob) -> tuple[tuple[str, str], ...]:
    """The courses that the job writes, each with its organisation; none for an event."""
    return tuple((job.work.organisation, course) for course in job.work.courses) if isinstance(job.work, Unit) else ()
