"""The verifier in the background: it reads everything again, a slice a minute, so that all is read within a week."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import ceil

import msgspec

from ipt_workflow.access.client_keys import KeyRing
from ipt_workflow.course import Course, attention
from ipt_workflow.errors import IptError, JournalBroken, SecretUnreadable
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import verification
from ipt_workflow.service.background import each_minute
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import log_checks
from ipt_workflow.store import verification_rounds as stored
from ipt_workflow.store.clinic_database import ClinicDatabase
from ipt_workflow.store.database import Database
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.integrity import check_courses
from ipt_workflow.store.verification_rounds import StoredRound

SLICES = 4320  # minutes of three days for the log, and as many for the courses: a day remains for processes that start again
LEAVES_MIN, COURSES_MIN = 2048, 50  # of a slice, so that a small clinic is read in minutes
LEAVES_AT_ONCE, COURSES_AT_ONCE = 256, 5  # requests wait for some milliseconds while these are checked
PAUSE = dt.timedelta(hours=1)  # between two rounds
TURN = dt.timedelta(seconds=45)  # for which other processes leave a round to the one that has just read on
FAULT_MAX = 500


class VerifierMayWrite(IptError):
    """The role of the verifier can do more than read."""


@asynccontextmanager
async def database_of_verifier(settings: Settings, keys: KeyRing) -> AsyncIterator[Database | None]:
    """The database for the verifier's own role; None if it has none. `keys` open the texts. Raises VerifierMayWrite, or DatabaseNotReady."""
    if not settings.verifier_database_url:
        yield None
        return
    database = open_database(settings.verifier_database_url, statement_seconds=settings.statement_seconds, connections=1, keys=keys)
    try:
        if await database.read(stored.may_write):
            raise VerifierMayWrite(
                "IPT_VERIFIER_DATABASE_URL: the role can write. Use one that only reads, such as PREFIX_verifier of `db upgrade --roles PREFIX`."
            )
        yield database
    finally:
        await database.close()


class Verifier:
    """Reads a clinic's log and courses again and again. `database` is read with a role of its own, if there is one."""

    def __init__(self, clinic: Clinic, database: Database | None = None) -> None:
        self.clinic = clinic
        self._reads = ClinicDatabase(database, clinic.organisation) if database else clinic.database

    async def run(self, stop: asyncio.Event) -> None:
        """Reads a slice each minute until `stop` is set."""
        waits, fails = "the verifier waits for the database", "the verifier stopped in a slice"
        await each_minute(self.read_on, stop, waits=waits, fails=fails, at_the_end=False)

    async def read_on(self) -> None:
        """Reads the next slice, unless another process has just done so."""
        now = self.clinic.clock.now()
        last = await self._newest()
        if last is None or (last.ended_at is not None and now - last.ended_at >= PAUSE):
            last = await self.clinic.write(stored.begin, now)
        elif last.ended_at is not None or (now - last.seen_at < TURN and last.seen_at > last.started_at):
            await self._show()
            return
        read = await (self._leaves(last) if last.leaves < last.size else self._courses(last))
        await self.clinic.write(stored.advance, last, msgspec.structs.replace(read, seen_at=now))
        await self._show()

    async def _newest(self) -> StoredRound | None:
        return next(iter(await self.clinic.read(stored.newest)), None)

    async def _show(self) -> None:
        """Lets `/health/ready` say how far this is without a question to the database."""
        found = stored.view(await self.clinic.read(stored.newest, 2))
        if found:
            self.clinic.installation.rounds[self.clinic.organisation] = found

    async def _leaves(self, last: StoredRound) -> StoredRound:
        end = min(last.size, last.leaves + max(LEAVES_MIN, ceil(last.size / SLICES)))
        check = partial(log_checks.check_slice, organisation=self.clinic.organisation, whole=False)
        for start in range(last.leaves, end, LEAVES_AT_ONCE):
            found = await self._reads.read(partial(check, start=start, end=min(end, start + LEAVES_AT_ONCE)))
            fault = found.fault
            if found.size < last.size and fault is None:
                fault = log_checks.LogFault(position=found.size, fault="log_head: the log was longer when this round began")
            if fault:
                last = _with_fault(last, fault.fault, fault.position, fault.course, fault.seq)
        return msgspec.structs.replace(last, leaves=end)

    async def _courses(self, last: StoredRound) -> StoredRound:
        organisation, limit = self.clinic.organisation, max(COURSES_MIN, ceil(last.total / SLICES))
        ids = await self._reads.read(
            lambda connection: verification.every_course(connection, organisation, last.course_after, limit)
        )
        if not ids or ids[-1] == last.course_after:
            return msgspec.structs.replace(last, ended_at=self.clinic.clock.now())
        for first in range(0, len(ids), COURSES_AT_ONCE):
            last = await self._checked(last, ids[first : first + COURSES_AT_ONCE])
        ended = self.clinic.clock.now() if len(ids) < limit else None
        return msgspec.structs.replace(last, course_after=ids[-1], ended_at=ended)

    async def _checked(self, last: StoredRound, ids: list[str]) -> StoredRound:
        """The round after these courses. Those of which one cannot be read are not counted."""
        organisation = self.clinic.organisation
        try:
            checked = await self._reads.read(lambda connection: check_courses(connection, organisation, ids, self._due))
            missing = await self._reads.read(lambda connection: log_checks.unlogged(connection, organisation, ids))
        except (JournalBroken, SecretUnreadable) as error:
            return _with_fault(last, str(error), None, ids[0], None)
        bad = next(((course, found) for course, found in checked if found.fault), None)
        if bad:
            last = _with_fault(last, bad[1].fault or "", None, bad[0], bad[1].bad_seq)
        elif missing:
            last = _with_fault(last, "log_leaf: the entry is not in the log", None, *missing)
        return msgspec.structs.replace(last, courses=last.courses + len(ids))

    def _due(self, course: Course) -> Mapping[str, dt.datetime]:
        machine = self.clinic.machine_of(course)
        return attention.attention(machine.protocol, machine.bound, course, self.clinic.zone)


def _with_fault(last: StoredRound, fault: str, position: int | None, course: str | None, seq: int | None) -> StoredRound:
    """The round with its first fault. Later ones are not kept: whoever looks for them verifies everything."""
    if last.fault:
        return last
    return msgspec.structs.replace(last, fault=fault[:FAULT_MAX], bad_position=position, bad_course=course, bad_seq=seq)
