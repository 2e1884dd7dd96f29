"""An auditor's unmasking of the sealed text of a course: recorded with its audit record, and in force for a while."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import attempts, structs
from ipt_workflow.store.emergencies import REASON, SealedText, keep_text
from ipt_workflow.store.schema.tables import access_text as text
from ipt_workflow.store.schema.tables import unmasking as table
from ipt_workflow.store.units import LoggedEvent


class StoredUnmasking(msgspec.Struct, frozen=True, kw_only=True):
    """An unmasking. `reason` is the sealed text, None if it was erased."""

    id: str
    course_id: str
    person: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    reason: bytes | None = None


_OWN = ("id", "course_id", "person", "starts_at", "ends_at")
_reason = sa.and_(text.c.organisation == table.c.organisation, text.c.id == table.c.id, text.c.kind == REASON)
_select = sa.select(*(table.c[name] for name in _OWN), text.c.sealed.label("reason")).select_from(table.outerjoin(text, _reason))


def insert(connection: sa.Connection, organisation: str, new: StoredUnmasking, reason: SealedText, record: LoggedEvent) -> None:
    row = {"organisation": organisation, **{name: getattr(new, name) for name in _OWN}, "text_digest": reason.digest}
    connection.execute(sa.insert(table), row)
    keep_text(connection, organisation, new.id, REASON, reason)
    attempts.log(connection, [record])


def in_force(connection: sa.Connection, organisation: str, person: str, now: dt.datetime) -> set[str]:
    """The courses whose text a person has unmasked, at this moment."""
    statement = sa.select(table.c.course_id).where(
        table.c.organisation == organisation, table.c.person == person, table.c.starts_at <= now, table.c.ends_at > now
    )
    return set(connection.execute(statement).scalars())


def page(connection: sa.Connection, organisation: str, after: str, limit: int) -> list[StoredUnmasking]:
    """A page of unmaskings after an id, in the order in which they began."""
    statement = _select.where(table.c.organisation == organisation, table.c.id > after)
    return structs.read_all(connection, statement.order_by(table.c.id).limit(limit), StoredUnmasking)
