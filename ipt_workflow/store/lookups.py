"""What every request asks: courses, tokens and kept answers by their ids, many at once.

A question is a statement made once from the tables, with the same text for any number of ids, and run on the bare driver: on the way
that every request takes, what the layers above a driver cost is more than what the database does.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ipt_workflow.course import Course
from ipt_workflow.store.courses import WAITS, StoredCourse, one_of, to_driver
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import KeptAnswer

Found = TypeVar("Found")
DIALECTS: Mapping[str, sa.Dialect] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.asyncpg.dialect(),  # type: ignore[no-untyped-call]
}
_course_decoder = msgspec.json.Decoder(Course)


class Lookup(Generic[Found]):
    """`columns` of what is found under an id, the id first; `make` turns their values into an answer."""

    def __init__(
        self, columns: Sequence[sa.ColumnElement[Any]], make: Callable[..., Found], joined: sa.FromClause | None = None
    ) -> None:
        its_id = columns[0]
        assert isinstance(its_id, sa.Column)
        table = its_id.table
        ours = sa.select(*columns).where(table.c.organisation == sa.bindparam("organisation"))
        ours = ours.select_from(joined) if joined is not None else ours
        self._make = make
        self.sql = {dialect: _text(ours.where(found), dialect, "ids") for dialect, found in one_of(its_id, "ids").items()}
        self._read = {name: [from_driver(column, dialect) for column in columns] for name, dialect in DIALECTS.items()}

    def answers(self, dialect: str, rows: Iterable[Sequence[Any]]) -> dict[str, Found]:
        """Rows as the driver gives them, as answers by their ids."""
        readers = self._read[dialect]
        found = {}
        for row in rows:
            values = [read(value) if read else value for read, value in zip(readers, row, strict=True)]
            found[values[0]] = self._make(*values)
        return found


def _text(select: sa.Select[Any], dialect: str, *given: str) -> str:
    """A statement of what is `given` about an organisation."""
    compiled = select.compile(dialect=DIALECTS[dialect])
    assert compiled.positiontup == ["organisation", *given]
    return str(compiled)


class NamedStatement:
    """A statement that is given more, and by name."""

    def __init__(self, select: sa.Select[Any], dialect: str) -> None:
        compiled = select.compile(dialect=DIALECTS[dialect])
        self.sql = {dialect: str(compiled)}
        self._own = compiled.params
        self._forms = [(name, to_driver(compiled.binds[name], DIALECTS[dialect])) for name in compiled.positiontup or ()]

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        """What is given, in the order and the form that the driver takes it."""
        told = {**self._own, **given}
        return [form(told[name]) if form else told[name] for name, form in self._forms]


def from_driver(column: sa.ColumnElement[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """How a value of this column is made from what the driver gives; None where it is taken as it is."""
    read: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).result_processor(dialect, None)
    return read


def _course(_id: str, snapshot: bytes, head: str, ref: str | None, *waits: dt.datetime | None) -> StoredCourse:
    since = {kind: at for kind, at in zip(("notices", "risk"), waits, strict=True) if at is not None}
    return StoredCourse(_course_decoder.decode(snapshot), head, ref, since)


def _version(_id: str, version: int) -> int:
    return version


class StoredToken(msgspec.Struct, frozen=True):
    """A token as its row has it."""

    id: str
    secret_hash: str
    role: str
    subject: str
    expires_at: dt.datetime
    revoked_at: dt.datetime | None


_client_of = sa.and_(tables.client.c.organisation == tables.course.c.organisation, tables.client.c.id == tables.course.c.client_id)
COURSES = Lookup(
    (tables.course.c.id, tables.course.c.snapshot, tables.course.c.head, tables.client.c.ref, *WAITS),
    _course,
    tables.course.outerjoin(tables.client, _client_of),
)
TOKENS = Lookup([tables.token.c[name] for name in StoredToken.__struct_fields__], StoredToken)
ANSWERS = Lookup([tables.idempotency.c[name] for name in KeptAnswer.__struct_fields__], KeptAnswer)
VERSIONS = Lookup((tables.course.c.id, tables.course.c.version), _version)

_entry = tables.entry
_linked = (
    sa.select(_entry.c.canonical, _entry.c.hash, _entry.c.course_id)
    .where(_entry.c.organisation == sa.bindparam("organisation"))
    .order_by(_entry.c.course_id, _entry.c.seq)
)
_one = _linked.where(_entry.c.course_id == sa.bindparam("course", type_=sa.String))
_neighbours = _linked.where(
    _entry.c.course_id > sa.bindparam("after", type_=sa.String), _entry.c.course_id <= sa.bindparam("last", type_=sa.String)
).limit(sa.bindparam("most", type_=sa.Integer))
# What links the entries of a course, and those of neighbouring courses, after one id up to the `last`, so many at `most`: their bytes
# and hashes, as they lie; and whose they are.
CHAIN = {dialect: _text(_one, dialect, "course") for dialect in DIALECTS}
CHAINS = {dialect: NamedStatement(_neighbours, dialect) for dialect in DIALECTS}
