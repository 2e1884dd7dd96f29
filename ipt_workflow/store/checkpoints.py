"""Signed checkpoints of an organisation's log, and the names under which they are signed."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.store import attempts, log, structs
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import LoggedEvent
from ipt_workflow.store.upserts import insert_or

checkpoint, origins = tables.log_checkpoint, tables.log_origin


class StoredCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as it was signed. `root` is in Base64."""

    size: int
    origin: str
    root: str
    note: str
    cosignatures: str = ""
    created_at: dt.datetime


class StoredOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """A name of the log. It signs trees larger than `began_at`. Of the first, nothing was lost."""

    nth: int
    origin: str
    began_at: int
    kept_size: int | None = None
    lost_size: int | None = None
    lost_root: str | None = None
    record_id: str | None = None
    created_at: dt.datetime


class LogStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The log as one snapshot of the database has it: its size, and the roots in Base64 at sizes that were asked for, up to its own."""

    size: int
    roots: dict[int, str]
    last: StoredCheckpoint | None
    origin: StoredOrigin | None


def standing(connection: sa.Connection, organisation: str, sizes: tuple[int, ...] = ()) -> LogStanding:
    """How the log stands. Roots are those of its own size, of its last checkpoint, and of `sizes`."""
    size, last = log.size(connection, organisation), newest(connection, organisation)
    wanted = {size, *sizes, *([last.size] if last else [])}
    read = log.reader(connection, organisation)
    return LogStanding(
        size=size,
        roots={each: ipt_verify.encoded(tree.root(each, read)) for each in wanted if each <= size},
        last=last,
        origin=current_origin(connection, organisation),
    )


def newest(connection: sa.Connection, organisation: str) -> StoredCheckpoint | None:
    """The checkpoint of the largest size."""
    return structs.read_first(connection, _newest, StoredCheckpoint, {"owner": organisation})


def of_size(connection: sa.Connection, organisation: str, size: int) -> StoredCheckpoint | None:
    return structs.read_first(connection, _of_size, StoredCheckpoint, {"owner": organisation, "of_size": size})


def keep(connection: sa.Connection, organisation: str, signed: StoredCheckpoint) -> StoredCheckpoint:
    """Keeps a checkpoint, unless there is one of its size. Returns the one that is there then, which may have another root."""
    found = of_size(connection, organisation, signed.size)
    if found is None:
        connection.execute(insert_or(connection, checkpoint).on_conflict_do_nothing(), structs.row_of(organisation, signed))
        found = of_size(connection, organisation, signed.size)
    return found or signed


def current_origin(connection: sa.Connection, organisation: str) -> StoredOrigin | None:
    """The name under which the log is signed now."""
    statement = sa.select(*structs.columns(origins, StoredOrigin)).where(origins.c.organisation == organisation)
    return structs.read_first(connection, statement.order_by(origins.c.nth.desc()).limit(1), StoredOrigin)


def all_origins(connection: sa.Connection, organisation: str) -> list[StoredOrigin]:
    """Every name that the log has had, the oldest first."""
    statement = sa.select(*structs.columns(origins, StoredOrigin)).where(origins.c.organisation == organisation)
    return structs.read_all(connection, statement.order_by(origins.c.nth), StoredOrigin)


def begin(connection: sa.Connection, organisation: str, new: StoredOrigin, record: LoggedEvent | None = None) -> StoredOrigin:
    """Begins a name, with the record of why. Returns the current name, which may be one that another process began at the same time."""
    found = current_origin(connection, organisation)
    if found is None or found.nth < new.nth:
        row = structs.row_of(organisation, new)
        inserted = connection.execute(insert_or(connection, origins).on_conflict_do_nothing(), row).rowcount
        if inserted and record:
            attempts.log(connection, [record])
        found = current_origin(connection, organisation)
    return found or new


_owner = sa.bindparam("owner", type_=sa.String)
_columns = structs.columns(checkpoint, StoredCheckpoint)
_newest = sa.select(*_columns).where(checkpoint.c.organisation == _owner).order_by(checkpoint.c.size.desc()).limit(1)
_of_size = sa.select(*_columns).where(
    checkpoint.c.organisation == _owner, checkpoint.c.size == sa.bindparam("of_size", type_=sa.BigInteger)
)
