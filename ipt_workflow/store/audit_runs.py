"""Verifications and exports: begun, their progress noted, and ended. The database refuses any change after that."""

import datetime as dt
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import structs
from ipt_workflow.store.schema import tables


class StoredVerification(msgspec.Struct, frozen=True, kw_only=True):
    """A verification of one course, or of all. It has `ended_at` and `outcome` once it has ended."""

    id: str
    course_id: str | None
    chains_only: bool
    person: str
    role: str
    via: str
    started_at: dt.datetime
    seen_at: dt.datetime
    total: int
    courses: int = 0
    entries: int = 0
    erased: int = 0
    ended_at: dt.datetime | None = None
    outcome: str | None = None
    bad_course: str | None = None
    bad_seq: int | None = None
    fault: str | None = None
    leaves: int | None = None
    kept_size: int | None = None
    bad_position: int | None = None


class StoredExport(msgspec.Struct, frozen=True, kw_only=True):
    """An export of the audit log. `filters` is the JSON of those that were set."""

    id: str
    format: str
    filters: bytes
    person: str
    role: str
    via: str
    started_at: dt.datetime
    seen_at: dt.datetime
    records: int = 0
    reached_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    outcome: str | None = None


Run = TypeVar("Run", StoredVerification, StoredExport)
TABLES: dict[type[msgspec.Struct], sa.Table] = {StoredVerification: tables.verification, StoredExport: tables.audit_export}


def begin(connection: sa.Connection, organisation: str, run: StoredVerification | StoredExport) -> None:
    connection.execute(sa.insert(TABLES[type(run)]), structs.row_of(organisation, run))


def keep(connection: sa.Connection, organisation: str, run: StoredVerification | StoredExport) -> None:
    """Notes how far a run is, or how it ended."""
    table = TABLES[type(run)]
    statement = sa.update(table).where(table.c.organisation == organisation, table.c.id == run.id)
    connection.execute(statement.values(msgspec.structs.asdict(run)))


def find(connection: sa.Connection, organisation: str, kind: type[Run], run_id: str) -> Run | None:
    table = TABLES[kind]
    statement = sa.select(*structs.columns(table, kind)).where(table.c.organisation == organisation, table.c.id == run_id)
    return structs.read_first(connection, statement, kind)


def newest(connection: sa.Connection, organisation: str, kind: type[Run], limit: int) -> list[Run]:
    """The runs of a kind that began last, the newest first (ids are UUIDv7)."""
    table = TABLES[kind]
    statement = sa.select(*structs.columns(table, kind)).where(table.c.organisation == organisation)
    return structs.read_all(connection, statement.order_by(table.c.id.desc()).limit(limit), kind)
