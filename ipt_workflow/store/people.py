"""People of the staff: added, changed, and read. A person's row stays for ever, so that an id is never given to another person."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType

from ipt_workflow.access.people import StaffMember, in_order
from ipt_workflow.errors import IptError
from ipt_workflow.store import roles
from ipt_workflow.store.courses import by_ids, execute_by_ids, one_of
from ipt_workflow.store.schema.tables import person as table
from ipt_workflow.store.schema.tables import person_supervisor as supervision
from ipt_workflow.store.upserts import insert_or


class PersonLeft(IptError):
    """The person has left, so nothing may be given to them."""


class StoredPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person with their supervisors. A `status` other than `active` has `left_at`."""

    id: str
    name: str
    roles: tuple[str, ...]
    status: str = "active"
    language: str | None = None
    zone: str | None = None
    created_at: dt.datetime
    left_at: dt.datetime | None = None
    supervisors: tuple[str, ...] = ()


class PersonUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a person that change. Fields that are not set keep their values."""

    name: str | UnsetType = UNSET
    roles: tuple[str, ...] | UnsetType = UNSET
    status: str | UnsetType = UNSET
    language: str | UnsetType | None = UNSET
    zone: str | UnsetType | None = UNSET
    left_at: dt.datetime | UnsetType | None = UNSET
    supervisors: tuple[str, ...] | UnsetType = UNSET


class PersonFilters(msgspec.Struct, frozen=True, kw_only=True):
    status: str | None = None
    role: str | None = None
    ids: tuple[str, ...] | None = None


_COLUMNS = [table.c[name] for name in StoredPerson.__struct_fields__ if name != "supervisors"]
_names = by_ids(sa.select(table.c.id, table.c.name), table.c.organisation, table.c.id)
_members = by_ids(sa.select(*roles.MEMBER_COLUMNS), table.c.organisation, table.c.id)
_supervisors_of = by_ids(
    sa.select(supervision.c.person, supervision.c.supervisor).order_by(supervision.c.person, supervision.c.supervisor),
    supervision.c.organisation,
    supervision.c.person,
)


def insert(connection: sa.Connection, organisation: str, new: StoredPerson) -> bool:
    """Inserts a person. Returns False if the id is taken."""
    row = {name: getattr(new, name) for name in new.__struct_fields__ if name != "supervisors"}
    row |= {"organisation": organisation, "roles": roles.stored(new.roles)}
    if not connection.execute(insert_or(connection, table).values(row).on_conflict_do_nothing()).rowcount:
        return False
    _supervise(connection, organisation, new.id, new.supervisors)
    return True


def make_known(connection: sa.Connection, organisation: str, person: str, role: str, now: dt.datetime) -> None:
    """Makes sure that a person is known and has a role. Until the transaction ends they cannot leave. Raises PersonLeft."""
    insert(connection, organisation, StoredPerson(id=person, name=person, roles=(role,), created_at=now))
    require_not_left(connection, organisation, person)
    known = find(connection, organisation, person)
    assert known is not None  # rows of people are never removed
    if role not in known.roles:
        change(connection, organisation, person, PersonUpdate(roles=in_order([*known.roles, role])))


def require_not_left(connection: sa.Connection, organisation: str, person: str) -> None:
    """Makes sure that nobody of this id has left. Until the transaction ends they cannot leave. Raises PersonLeft."""
    known = lock(connection, organisation, person)
    if known is not None and known.status != "active":
        raise PersonLeft


def lock(connection: sa.Connection, organisation: str, person: str) -> StoredPerson | None:
    """A person, whom nobody else changes until the transaction ends. None if nobody has the id."""
    connection.execute(_where(organisation, person).with_for_update())
    return find(connection, organisation, person)


def find(connection: sa.Connection, organisation: str, person: str) -> StoredPerson | None:
    found = page(connection, organisation, PersonFilters(ids=(person,)), "", 1)
    return found[0] if found else None


def names(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, str]:
    """The names of those of these people who are known, by id."""
    found = execute_by_ids(connection, _names, organisation, ids)
    return {row.id: row.name for row in found}


def page(connection: sa.Connection, organisation: str, filters: PersonFilters, after: str, limit: int | None) -> list[StoredPerson]:
    """People after an id, in the order of their ids."""
    conditions = [table.c.organisation == organisation, table.c.id > after]
    if filters.status is not None:
        conditions.append(table.c.status == filters.status)
    if filters.role is not None:
        conditions.append(roles.has_role(filters.role))
    if filters.ids is not None:
        conditions.append(one_of(table.c.id, "ids", filters.ids)[connection.dialect.name])
    statement = sa.select(*_COLUMNS).where(*conditions).order_by(table.c.id).limit(limit)
    rows = list(connection.execute(statement).mappings())
    supervisors = _supervisors(connection, organisation, [row["id"] for row in rows])
    return [
        StoredPerson(**{**row, "roles": roles.read(row["roles"]), "supervisors": supervisors.get(row["id"], ())}) for row in rows
    ]


def members(connection: sa.Connection, organisation: str, ids: Collection[str]) -> dict[str, StaffMember]:
    """The people who are known among these ids."""
    found: Iterable[Any] = execute_by_ids(connection, _members, organisation, ids)
    return {row.id: roles.staff_member(*row) for row in found}


def change(connection: sa.Connection, organisation: str, person: str, update: PersonUpdate) -> None:
    """Changes a person who exists."""
    values = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not UNSET}
    supervisors = values.pop("supervisors", None)
    if "roles" in values:
        values["roles"] = roles.stored(values["roles"])
    if values:
        connection.execute(sa.update(table).where(table.c.organisation == organisation, table.c.id == person).values(values))
    if supervisors is not None:
        connection.execute(sa.delete(supervision).where(supervision.c.organisation == organisation, supervision.c.person == person))
        _supervise(connection, organisation, person, supervisors)


def _supervise(connection: sa.Connection, organisation: str, person: str, supervisors: Iterable[str]) -> None:
    rows = [{"organisation": organisation, "person": person, "supervisor": each} for each in supervisors]
    if rows:
        connection.execute(sa.insert(supervision), rows)


def _supervisors(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The supervisors of people, by person."""
    by_person: dict[str, tuple[str, ...]] = {}
    for row in execute_by_ids(connection, _supervisors_of, organisation, ids):
        by_person[row.person] = (*by_person.get(row.person, ()), row.supervisor)
    return by_person


def _where(organisation: str, person: str) -> sa.Select[tuple[str]]:
    return sa.select(table.c.id).where(table.c.organisation == organisation, table.c.id == person)
