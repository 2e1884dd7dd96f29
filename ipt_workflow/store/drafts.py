"""Drafts: forms that somebody has begun and not recorded yet."""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import people, structs
from ipt_workflow.store.schema.tables import draft as table
from ipt_workflow.store.upserts import insert_or


class DraftPlace(msgspec.Struct, frozen=True):
    """Which draft: of which course, whose, and of which form."""

    course_id: str
    person: str
    form: str


class StoredDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft. `sealed` is its text, sealed."""

    course_id: str
    person: str
    form: str
    saved_at: dt.datetime
    sealed: bytes


_select = sa.select(*structs.columns(table, StoredDraft))
_one = _select.where(*(table.c[name] == sa.bindparam(name) for name in ("organisation", *DraftPlace.__struct_fields__)))


def keep(connection: sa.Connection, organisation: str, draft: StoredDraft) -> None:
    """Keeps a draft in the place of the one before."""
    insert = insert_or(connection, table).values(structs.row_of(organisation, draft))
    changed = {"saved_at": insert.excluded.saved_at, "sealed": insert.excluded.sealed}
    connection.execute(insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed))


def find(connection: sa.Connection, organisation: str, place: DraftPlace) -> StoredDraft | None:
    return structs.read_first(connection, _one, StoredDraft, {"organisation": organisation, **msgspec.structs.asdict(place)})


def of_person(connection: sa.Connection, organisation: str, person: str, limit: int) -> list[StoredDraft]:
    """A person's drafts, the oldest first."""
    statement = _select.where(table.c.organisation == organisation, table.c.person == person)
    return structs.read_all(connection, statement.order_by(table.c.saved_at, table.c.course_id).limit(limit), StoredDraft)


def drop(connection: sa.Connection, organisation: str, place: DraftPlace) -> bool:
    """Removes a draft. Returns False if there is none."""
    return connection.execute(sa.delete(table).where(*_at(organisation, place))).rowcount == 1


def end_of(connection: sa.Connection, organisation: str, person: str, roles: Sequence[str], _now: dt.datetime) -> int:
    """Removes the drafts of a person who is no therapist any more, and no supervisor who is none: nobody else may read them. Returns how many."""
    if "therapist" not in roles and ("supervisor" not in roles or _is_therapist(connection, organisation, person)):
        return 0
    where = (table.c.organisation == organisation, table.c.person == person)
    return connection.execute(sa.delete(table).where(*where)).rowcount


def _is_therapist(connection: sa.Connection, organisation: str, person: str) -> bool:
    known = people.find(connection, organisation, person)
    return known is not None and "therapist" in known.roles


def _at(organisation: str, place: DraftPlace) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.c.organisation == organisation,
        table.c.course_id == place.course_id,
        table.c.person == place.person,
        table.c.form == place.form,
    )
