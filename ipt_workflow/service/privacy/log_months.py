"""The verbs about months of the audit log that a law wants gone: which are due, and their removal. A person decides, and the log still proves.

What goes are whole months of records of reads, refusals, sign-ins, or of exports and deliveries. Their leaves in the log stay, with the newest
checkpoint, and the record of the deed says which positions they have. Records of what was decided or configured always stay.
"""

import calendar
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ipt_workflow.access import retention
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.retention import REAPED, ReapedLog
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.holds import in_words
from ipt_workflow.service.privacy.policies import CHANGE, READ
from ipt_workflow.store import holds as stored_holds
from ipt_workflow.store import log_months as stored
from ipt_workflow.store import retention as stored_retention
from ipt_workflow.store.database import Connection
from ipt_workflow.store.log_months import StoredReaping
from ipt_workflow.store.retention import StoredPolicy
from ipt_workflow.values.canonical import canonical
from ipt_workflow.values.types import whole

Month = Annotated[str, Meta(pattern=whole(r"[0-9]{4}-(0[1-9]|1[0-2])"))]
REAP = "audit log reaped"
Stop = Literal["hold", "floor", "unnumbered", "no_checkpoint"]
BECAUSE: Mapping[Stop, str] = {
    "hold": "It names clients on whose records there are holds.",
    "floor": "A floor keeps it: {}.",
    "unnumbered": "Some of its records have no position in the log yet. Wait until the relay has given them one.",
    "no_checkpoint": "No checkpoint of the log covers it. Give the log a key (IPT_LOG_KEY_FILE), and wait for the next checkpoint.",
}


class DueMonth(msgspec.Struct, frozen=True, kw_only=True):
    """A month of a part of the audit log that a ceiling wants gone since a day. `stopped_by` is what stops that now, and `because` says it.

    `policies` are the ceilings that have passed. `holds` are those on records of clients whom the month names.
    """

    kind: ReapedLog
    month: str
    records: int
    since: dt.date
    policies: tuple[str, ...]
    holds: tuple[str, ...]
    stopped_by: Stop | None
    because: str | None


class ToReap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A month of a part of the audit log."""

    kind: ReapedLog
    month: Month


class ReapedMonth(msgspec.Struct, frozen=True, kw_only=True):
    """A month that was removed: how many records, at which positions of the log, and the checkpoint that proves these leaves."""

    kind: ReapedLog
    month: str
    records: int
    policies: tuple[str, ...]
    positions: tuple[tuple[int, int], ...]
    checkpoint_size: int
    checkpoint: str
    person: str
    decided_at: dt.datetime


class MonthReaping(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, or with `dry_run` what would be."""

    dry_run: bool
    month: DueMonth
    reaped: ReapedMonth | None


def bounds(month: str) -> tuple[dt.datetime, dt.datetime]:
    """Where a month begins and ends, in UTC."""
    begins = dt.datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    return begins, begins + dt.timedelta(days=calendar.monthrange(begins.year, begins.month)[1])


class LogMonths:
    """The months of a clinic's audit log that are due."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def due(self, principal: Principal) -> list[DueMonth]:
        """The months that a ceiling in force wants gone, the oldest first."""
        await self.clinic.require(principal, READ)
        found = await self.clinic.read(self._due)
        await self.clinic.log(principal, "read", "months due")
        return found

    async def reaped(self, principal: Principal) -> list[ReapedMonth]:
        """What was removed, the oldest month first."""
        await self.clinic.require(principal, READ)
        found = await self.clinic.read(stored.reaped)
        await self.clinic.log(principal, "read", "months reaped")
        return [_view(each) for each in found]

    async def reap(self, principal: Principal, decode: Callable[[], ToReap], *, dry_run: bool = False) -> MonthReaping:
        """Removes a month that is due. Raises CommandInvalid if it is not, or if something stops it; PersonNeeded, ReauthenticationNeeded."""
        await self.clinic.require(principal, CHANGE)
        await self.clinic.require_fresh(principal, CHANGE)
        asked = decode()
        if dry_run:
            month = await self.clinic.read(self._asked, asked)
            return MonthReaping(dry_run=True, month=month, reaped=None)
        month, reaped = await self.clinic.write(self._reap, principal, asked)
        return MonthReaping(dry_run=False, month=month, reaped=_view(reaped))

    def _due(self, connection: Connection, organisation: str) -> list[DueMonth]:
        policies = stored_retention.policies(connection, organisation)
        return [
            month
            for kind in REAPED
            for name in self._months(connection, organisation, kind, policies)
            if (month := self._month(connection, organisation, kind, name, policies)) is not None
        ]

    def _months(self, connection: Connection, organisation: str, kind: ReapedLog, policies: Sequence[StoredPolicy]) -> list[str]:
        """The months of which a ceiling may want records gone."""
        if not any(each.kind == kind and each.bound == "ceiling" for each in policies):
            return []
        first = stored.first_recorded_at(connection, organisation, REAPED[kind])
        today, names = self.clinic.clock.now().date(), []
        day = first.date().replace(day=1) if first else today
        while day < today.replace(day=1):
            names.append(f"{day:%Y-%m}")
            day = retention.after(day, 1)
        return names

    def _month(
        self, connection: Connection, organisation: str, kind: ReapedLog, name: str, policies: Sequence[StoredPolicy]
    ) -> DueMonth | None:
        """A month, if it is due and has records."""
        starts, ends = bounds(name)
        terms = retention.of_month(policies, kind, (ends - dt.timedelta(days=1)).date())
        since = retention.overdue_since(terms)
        if since is None or since > self.clinic.clock.now().date():
            return None
        counted = stored.month(connection, organisation, REAPED[kind], starts, ends)
        if counted.records == 0:
            return None
        held = stored.held_clients(connection, organisation, REAPED[kind], starts, ends)
        holds = [in_words(each) for found in stored_holds.of_clients(connection, organisation, held).values() for each in found]
        covered = counted.last is not None and stored.covering(connection, organisation, counted.last) is not None
        floors = [each for each in terms if each.bound == "floor" and each.until and each.until >= self.clinic.clock.now().date()]
        stops: dict[Stop, bool] = {
            "hold": bool(holds),
            "floor": bool(floors),
            "unnumbered": counted.numbered < counted.records,
            "no_checkpoint": not covered,
        }
        stop = next((each for each, stopped in stops.items() if stopped), None)
        kept = ", ".join(f"{each.policy} until {each.until}" for each in floors)
        return DueMonth(
            kind=kind,
            month=name,
            records=counted.records,
            since=since,
            policies=tuple(each.policy for each in terms if each.bound == "ceiling" and each.until and each.until < since),
            holds=tuple(holds),
            stopped_by=stop,
            because=BECAUSE[stop].format(kept) if stop else None,
        )

    def _asked(self, connection: Connection, organisation: str, asked: ToReap) -> DueMonth:
        """The month that is asked for. Raises CommandInvalid if it is not due, or if something stops it."""
        policies = stored_retention.policies(connection, organisation)
        month = self._month(connection, organisation, asked.kind, asked.month, policies)
        if month is None:
            raise CommandInvalid([Fault("month", "is not due: no ceiling in force wants records of it gone")])
        if month.because:
            raise CommandInvalid([Fault("month", f"stays for now. {month.because}")])
        return month

    def _reap(
        self, connection: Connection, organisation: str, principal: Principal, asked: ToReap
    ) -> tuple[DueMonth, StoredReaping]:
        month = self._asked(connection, organisation, asked)
        kinds, (starts, ends) = REAPED[asked.kind], bounds(asked.month)
        positions = stored.positions(connection, organisation, kinds, starts, ends)
        checkpoint = stored.covering(connection, organisation, positions[-1])
        assert checkpoint is not None  # `_asked` looked in the same transaction
        ranges = stored.ranges(positions)
        reaping = StoredReaping(
            kind=asked.kind,
            month=asked.month,
            starts_at=starts,
            ends_at=ends,
            records=len(positions),
            policies=",".join(month.policies),
            positions=canonical([[*each] for each in ranges]),
            checkpoint_size=checkpoint.size,
            checkpoint=checkpoint.note,
            person=principal.person,
            role=principal.role,
            via=principal.via,
            decided_at=self.clinic.clock.now(),
        )
        details = {
            "kind": asked.kind,
            "month": asked.month,
            "records": len(positions),
            "positions": [[*each] for each in ranges],
            "checkpoint": {"size": checkpoint.size, "root": checkpoint.root},
            "policies": [*month.policies],
        }
        record = self.clinic.event(principal, "config", REAP, (), [asked.kind, asked.month, *month.policies])
        record = msgspec.structs.replace(record, details=details)
        stored.reap(connection, organisation, kinds, reaping, record)
        return month, reaping


def _view(stored_reaping: StoredReaping) -> ReapedMonth:
    return ReapedMonth(
        kind=stored_reaping.kind,  # type: ignore[arg-type]
        month=stored_reaping.month,
        records=stored_reaping.records,
        policies=tuple(stored_reaping.policies.split(",")),
        positions=msgspec.json.decode(stored_reaping.positions, type=tuple[tuple[int, int], ...]),
        checkpoint_size=stored_reaping.checkpoint_size,
        checkpoint=stored_reaping.checkpoint,
        person=stored_reaping.person,
        decided_at=stored_reaping.decided_at,
    )
