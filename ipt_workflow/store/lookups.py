"""Lookups by ids that every request needs, many at once: courses, tokens, sources with their keys, and kept answers.

A lookup is a statement that is made once from the tables. It has the same text for any number of ids, and runs on the bare driver:
every request needs it, and the layers above the driver cost more time than the database itself.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ipt_workflow.journal import Entry, read
from ipt_workflow.store import courses, notices, processing, roles, sources, structs
from ipt_workflow.store.access import StoredSession
from ipt_workflow.store.courses import StoredCourse, one_of, to_driver
from ipt_workflow.store.schema import row_security, tables
from ipt_workflow.store.units import KeptAnswer

Found = TypeVar("Found")
DriverRow = Sequence[Any]  # a row as the bare driver returns it: values by position
DIALECTS: Mapping[str, sa.Dialect] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.asyncpg.dialect(),  # type: ignore[no-untyped-call]
}


class Lookup(Generic[Found]):
    """Finds rows by id, `only` those that fulfil conditions. `columns` are selected, the id first; `make` turns their values into a result."""

    def __init__(
        self,
        columns: Sequence[sa.ColumnElement[Any]],
        make: Callable[..., Found],
        joined: sa.FromClause | None = None,
        *only: sa.ColumnElement[bool],
    ) -> None:
        id_column = columns[0]
        assert isinstance(id_column, sa.Column)
        found = sa.select(*columns).where(*only)
        found = found.select_from(joined) if joined is not None else found
        ours = found.where(id_column.table.c.organisation == sa.bindparam("organisation"))
        self._make = make
        self.sql = {dialect: _text(ours.where(named), dialect, "ids") for dialect, named in one_of(id_column, "ids").items()}
        self.sql_of_pairs = _of_pairs(found, columns)
        self._read = {name: [from_driver(column, dialect) for column in columns] for name, dialect in DIALECTS.items()}

    def found(self, dialect: str, rows: Iterable[DriverRow]) -> dict[str, Found]:
        """The results that `make` returns for the driver's rows, by id."""
        return {values[0]: self._make(*values) for values in self._values(dialect, rows)}

    def found_each(self, rows: Iterable[DriverRow]) -> dict[str | None, dict[str, Found]]:
        """The results for the rows of `sql_of_pairs`, by organisation and id."""
        by_organisation: dict[str | None, list[DriverRow]] = {}
        for organisation, *values in rows:
            by_organisation.setdefault(organisation, []).append(values)
        return {organisation: self.found("postgresql", own) for organisation, own in by_organisation.items()}

    def _values(self, dialect: str, rows: Iterable[DriverRow]) -> Iterator[list[Any]]:
        """The rows' values, converted."""
        readers = self._read[dialect]
        for row in rows:
            yield [read(value) if read else value for read, value in zip(readers, row, strict=True)]


class CredentialLookup(Lookup[Found]):
    """Finds credentials of any organisation by their digests, with their organisation's status and version.

    Nobody knows the organisation before. So on PostgreSQL a function finds them, which sees the credentials of all.
    """

    def __init__(self, table: sa.Table, digest: str, names: Sequence[str], make: Callable[..., Found]) -> None:
        """`names` are the columns that `make` takes, the digest's first. It takes status and version after them."""
        find = getattr(sa.func, row_security.function_of(table.name))
        given = sa.bindparam("ids", type_=postgresql.ARRAY(sa.String))
        by_function = find(given).table_valued(*(sa.column(each.name, each.type) for each in table.c), name=table.name)
        listed = one_of(table.c[digest], "ids")["sqlite"]
        columns = [*(table.c[name] for name in names), tables.organisation.c.status, tables.organisation.c.version]
        self._make = make
        self.sql = {
            "sqlite": _text(_with_organisation(table, names).where(listed), "sqlite", "ids"),
            "postgresql": _text(_with_organisation(by_function, names), "postgresql", "ids"),
        }
        self._read = {name: [from_driver(column, dialect) for column in columns] for name, dialect in DIALECTS.items()}


def _with_organisation(rows: sa.FromClause, names: Sequence[str]) -> sa.Select[Any]:
    """Columns of rows, then the status and the version of their organisation."""
    theirs = tables.organisation.c
    joined = rows.join(tables.organisation, theirs.id == rows.c.organisation)
    return sa.select(*(rows.c[name] for name in names), theirs.status, theirs.version).select_from(joined)


class ManyRowLookup(Lookup[Found]):
    """Finds an id's row with every row that is joined to it. `make` turns the list of their values into one result."""

    def found(self, dialect: str, rows: Iterable[DriverRow]) -> dict[str, Found]:
        by_id: dict[str, list[list[Any]]] = {}
        for values in self._values(dialect, rows):
            by_id.setdefault(values[0], []).append(values)
        return {row_id: self._make(joined) for row_id, joined in by_id.items()}


def _text(select: sa.Select[Any], dialect: str, *parameters: str) -> str:
    """The SQL of a statement that takes these parameters by position, after the organisation if it is one's own."""
    compiled = select.compile(dialect=DIALECTS[dialect])
    assert compiled.positiontup in (["organisation", *parameters], [*parameters])
    return str(compiled)


def _of_pairs(found: sa.Select[Any], columns: Sequence[sa.ColumnElement[Any]]) -> dict[str, str]:
    """The SQL, for PostgreSQL, of a statement that takes a list of organisations and one of ids, of the same length.

    It returns the organisation before the other columns.
    """
    lists = (sa.bindparam(name, type_=postgresql.ARRAY(sa.String)) for name in ("organisations", "ids"))
    wanted = sa.func.unnest(*lists).table_valued("organisation", "id").render_derived("wanted")
    id_column: Any = columns[0]
    organisation = id_column.table.c.organisation
    pairs = found.where(organisation == wanted.c.organisation, id_column == wanted.c.id)
    own = pairs.with_only_columns(organisation, *columns, maintain_column_froms=True)
    return {"postgresql": _text(own, "postgresql", "organisations", "ids")}


class NamedStatement:
    """A statement that takes its parameters by name, in any number."""

    def __init__(self, select: sa.Select[Any], dialect: str) -> None:
        compiled = select.compile(dialect=DIALECTS[dialect])
        self.sql = {dialect: str(compiled)}
        self._own = compiled.params
        self._forms = [(name, to_driver(compiled.binds[name], DIALECTS[dialect])) for name in compiled.positiontup or ()]

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The parameters' values in the driver's order and form."""
        known = {**self._own, **parameters}
        return [form(known[name]) if form else known[name] for name, form in self._forms]


def from_driver(column: sa.ColumnElement[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """Converts what the driver returns into a value of this column; None if no conversion is needed."""
    read: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).result_processor(dialect, None)
    return read


def of_organisation(organisation: str | None) -> tuple[str, ...]:
    """The parameters before the ids."""
    return () if organisation is None else (organisation,)


def _version(_id: str, version: int) -> int:
    return version


class StoredToken(msgspec.Struct, frozen=True):
    """A token as requests are checked against it, with its organisation's status and version."""

    secret_hash: str
    id: str
    organisation: str
    role: str
    subject: str
    expires_at: dt.datetime
    revoked_at: dt.datetime | None
    source: str | None
    scopes: str | None
    organisation_status: str
    organisation_version: int


class TokenTerms(msgspec.Struct, frozen=True):
    """For how long a token is valid."""

    expires_at: dt.datetime
    revoked_at: dt.datetime | None


class KnownSession(msgspec.Struct, frozen=True):
    """A session as requests are checked against it, with its organisation's status and version."""

    session: StoredSession
    organisation_status: str
    organisation_version: int


def _session(*values: Any) -> KnownSession:
    return KnownSession(StoredSession(**dict(zip(StoredSession.__struct_fields__, values, strict=False))), *values[-2:])


class Preferences(msgspec.Struct, frozen=True):
    """A person's name, and in which language and time zone they read, if they have said so."""

    id: str
    name: str
    language: str | None
    zone: str | None


class KnownClient(msgspec.Struct, frozen=True):
    """A client's record, with their courses in the order they were opened, without the attention of notices."""

    id: str
    ref: str
    courses: tuple[StoredCourse, ...]


def _terms(_id: str, *terms: Any) -> TokenTerms:
    return TokenTerms(*terms)


def _notice(_key: str, *found: Any) -> notices.StoredNotice:
    return notices.stored_notice(*found)


def _versions(rows: list[list[Any]]) -> list[notices.StoredNotice]:
    """A resource's notices in the order they were kept: by id, and those of one part by their ordinals, whatever the clocks said."""
    found = sorted((notices.stored_notice(*values[1:]) for values in rows), key=lambda each: each.id)
    counted: dict[str, list[notices.StoredNotice]] = {}
    for each in sorted((each for each in found if each.ordinal), key=lambda each: each.ordinal or 0, reverse=True):
        counted.setdefault(each.part, []).append(each)
    return [counted[each.part].pop() if each.ordinal else each for each in found]


def _client(rows: list[list[Any]]) -> KnownClient:
    ref, client_id = rows[0][:2]
    held = sorted(row[2:] for row in rows if row[2] is not None)
    return KnownClient(
        client_id,
        ref,
        tuple(
            StoredCourse(courses.course_decoder.decode(snapshot), head, ref, restricted=restricted, processing=ground)
            for _, snapshot, head, restricted, ground in held
        ),
    )


def _measures(rows: list[list[Any]]) -> list[Entry]:
    """The measures of a course with their amendments and moves, in the order they were recorded."""
    found = (read(canonical, salt=salt, sealed=sealed) for _, canonical, salt, sealed in rows)
    entries = sorted(found, key=lambda each: each.written.seq)
    known: set[int] = set()
    kept = []
    for entry in entries:
        if entry.written.trigger in {"record_measure", "move_entries"} or entry.written.data.get("supersedes") in known:
            known.add(entry.written.seq)
            kept.append(entry)
    return kept


_course, _client_row, _notice_row, _entry = tables.course, tables.client, tables.notice, tables.entry
_of_client = sa.and_(_course.c.organisation == _client_row.c.organisation, _course.c.client_id == _client_row.c.id)

NOTICES = Lookup((_notice_row.c.key, *notices.COLUMNS), _notice)  # by the digest of the message
VERSIONS_OF_RESOURCE = ManyRowLookup((_notice_row.c.resource_key, *notices.COLUMNS), _versions)
CLIENTS = ManyRowLookup(
    (
        _client_row.c.ref,
        _client_row.c.id,
        _course.c.id,
        _course.c.snapshot,
        _course.c.head,
        _course.c.restricted,
        processing.ground_of(),
    ),
    _client,
    _client_row.outerjoin(_course, _of_client),
)
MEASURES = ManyRowLookup(
    (_entry.c.course_id, _entry.c.canonical, tables.entry_data.c.salt, tables.entry_data.c.sealed),
    _measures,
    courses.WITH_DATA,
    (_entry.c.trigger + sa.literal_column("''")).in_(
        [sa.literal_column(f"'{name}'") for name in ("record_measure", "amend", "move_entries")]
    ),
)  # the bare column would let the database search all measures of the organisation by their index
COURSES = Lookup(courses.COLUMNS, courses.stored_course, courses.WITH_PEOPLE)
PREFERENCES = Lookup(structs.columns(tables.person, Preferences), Preferences)
PEOPLE = Lookup(roles.MEMBER_COLUMNS, roles.staff_member)
TOKENS = CredentialLookup(tables.token, "secret_hash", StoredToken.__struct_fields__[:-2], StoredToken)
TOKEN_TERMS = Lookup((tables.token.c.id, *structs.columns(tables.token, TokenTerms)), _terms)
SESSIONS = CredentialLookup(tables.sign_in_session, "id", StoredSession.__struct_fields__, _session)
SOURCES = ManyRowLookup(sources.WITH_KEYS_COLUMNS, sources.keyed_source, sources.WITH_KEYS)
ANSWERS = Lookup(structs.columns(tables.idempotency, KeptAnswer), KeptAnswer)
VERSIONS = Lookup((tables.course.c.id, tables.course.c.version), _version)
STANDINGS = Lookup(
    (tables.course.c.id, tables.course.c.version, processing.ground_of(), processing.objected()), processing.standing
)

_linked = (
    sa.select(_entry.c.canonical, _entry.c.hash, _entry.c.course_id)
    .where(_entry.c.organisation == sa.bindparam("organisation"))
    .order_by(_entry.c.course_id, _entry.c.seq)
)
_one = _linked.where(_entry.c.course_id == sa.bindparam("course", type_=sa.String))
_neighbours = _linked.where(
    _entry.c.course_id > sa.bindparam("after", type_=sa.String), _entry.c.course_id <= sa.bindparam("last", type_=sa.String)
).limit(sa.bindparam("most", type_=sa.Integer))
# The chain of one course: canonical bytes, hash and course of each entry, unconverted.
CHAIN = {dialect: _text(_one, dialect, "course") for dialect in DIALECTS}
# The same for the courses after one id up to the `last`, at `most` entries.
CHAINS = {dialect: NamedStatement(_neighbours, dialect) for dialect in DIALECTS}
