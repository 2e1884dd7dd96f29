"""Erases what is stored about a client, or the text of one entry. Plain statements: they find, remove and keep the register.

What is found is removed by the same conditions, in one transaction. So the register names just what went.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import attempts, structs
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import IMPORTED, LoggedEvent

Found = dict[str, list[str]]  # by kind of what there is to erase, the names of each
client, course, entry_data, notice = tables.client, tables.course, tables.entry_data, tables.notice
SOURCE_OF_GROUPS = "group"
SEALED_MARK = b"\x01"  # the first byte of a text under a key
LONG = dt.timedelta(days=3650)  # an answer that is kept for longer is that of a line of an imported file


class ErasedSubject(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure is about: a client with their courses, or with a `seq` one entry of a course. `ref` is None if it was erased."""

    client: str
    ref: str | None
    courses: tuple[str, ...]
    seq: int | None = None


class StoredErasure(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the register."""

    id: str
    client_id: str
    course_id: str | None
    seq: int | None
    ground: str
    person: str
    role: str
    via: str
    erased_at: dt.datetime
    removed: bytes
    remains: bytes
    again_of: str | None


class OpenNotice(msgspec.Struct, frozen=True):
    """A notice of nobody known, which still has words: its content, or why a person dismissed it.

    `prefix` goes before the id of a FHIR Patient in references.
    """

    id: str
    prefix: str
    words: bytes


def subject(connection: sa.Connection, organisation: str, client_id: str) -> ErasedSubject | None:
    """A client with their courses; None if there is no such client."""
    own = sa.select(client.c.id, client.c.ref).where(client.c.organisation == organisation, client.c.id == client_id)
    row = connection.execute(own).first()
    if row is None:
        return None
    theirs = sa.select(course.c.id).where(course.c.organisation == organisation, course.c.client_id == client_id)
    return ErasedSubject(client=row.id, ref=row.ref, courses=tuple(connection.execute(theirs.order_by(course.c.id)).scalars()))


def of_entry(connection: sa.Connection, organisation: str, course_id: str, seq: int) -> ErasedSubject | None:
    """One entry of a course; None if there is none."""
    of_course = sa.and_(entry_data.c.organisation == course.c.organisation, entry_data.c.course_id == course.c.id)
    own = sa.select(course.c.client_id).select_from(course.join(entry_data, of_course))
    found = own.where(course.c.organisation == organisation, course.c.id == course_id, entry_data.c.seq == seq)
    client_id = connection.execute(found).scalar()
    return ErasedSubject(client=client_id, ref=None, courses=(course_id,), seq=seq) if client_id else None


def open_notices(connection: sa.Connection, organisation: str) -> list[OpenNotice]:
    """The notices of nobody known that still have words."""
    words = sa.func.coalesce(notice.c.body, notice.c.detail)
    of_source = sa.and_(tables.source.c.organisation == notice.c.organisation, tables.source.c.id == notice.c.source_id)
    statement = (
        sa.select(notice.c.id, sa.func.coalesce(tables.source.c.client_prefix, "").label("prefix"), words.label("words"))
        .select_from(notice.outerjoin(tables.source, of_source))
        .where(notice.c.organisation == organisation, notice.c.client_id.is_(None), words.is_not(None))
    )
    return structs.read_all(connection, statement, OpenNotice)


class ErasedKind(msgspec.Struct, frozen=True):
    """One kind of what is erased: in which rows, how each is named, and what becomes of them. Without `changes`, they are deleted."""

    kind: str
    table: sa.Table
    where: sa.ColumnElement[bool]
    name: Callable[[Any], str]
    changes: Mapping[str, Any] | None

    @property
    def select(self) -> sa.Select[Any]:
        return sa.select(self.table).where(self.where)

    @property
    def removal(self) -> sa.Executable:
        changing: Any = sa.delete(self.table) if self.changes is None else sa.update(self.table).values(**self.changes)
        removal: sa.Executable = changing.where(self.where)
        return removal


def parts(organisation: str, of: ErasedSubject, naming: Sequence[str], now: dt.datetime) -> list[ErasedKind]:
    """What there is to erase. `naming` are the notices of nobody known that name the client."""
    if of.seq is not None:
        return _of_entry(organisation, of)
    return [
        *_texts(organisation, of),
        *_notices(organisation, of, naming),
        *_deliveries(organisation, of, now),
        *_digests(organisation, of, now),
        *_keys(organisation, of, now),
        *_names(organisation, of),
    ]


def find(connection: sa.Connection, wanted: Iterable[ErasedKind]) -> Found:
    """What there is of each kind."""
    found: Found = {}
    for part in wanted:
        names = sorted(part.name(row) for row in connection.execute(part.select))
        if names:
            found.setdefault(part.kind, []).extend(names)
    return found


def erase(
    connection: sa.Connection, organisation: str, wanted: Sequence[ErasedKind], line: StoredErasure, record: LoggedEvent
) -> None:
    """Removes it, and records that in the register and the audit log."""
    overwrite(connection)
    for part in wanted:
        connection.execute(part.removal)
    connection.execute(sa.insert(tables.erasure), structs.row_of(organisation, line))
    attempts.log(connection, [record])


def overwrite(connection: sa.Connection) -> None:
    """From now on, SQLite overwrites what this connection removes, instead of leaving it in free pages."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")


def register(connection: sa.Connection, organisation: str, after: str, limit: int) -> list[StoredErasure]:
    """The register after an id, in the order in which it was written."""
    return structs.read_all(connection, _lines(organisation).where(tables.erasure.c.id > after).limit(limit), StoredErasure)


def line(connection: sa.Connection, organisation: str, erasure_id: str) -> StoredErasure | None:
    return structs.read_first(connection, _lines(organisation).where(tables.erasure.c.id == erasure_id), StoredErasure)


def _lines(organisation: str) -> sa.Select[Any]:
    columns, own = structs.columns(tables.erasure, StoredErasure), tables.erasure.c.organisation == organisation
    return sa.select(*columns).where(own).order_by(tables.erasure.c.id)


def recipients(connection: sa.Connection, organisation: str, courses: Sequence[str]) -> list[str]:
    """Who has received something about these courses: subscriptions, by their ids."""
    event, touched = tables.audit_event, tables.audit_subject
    joined = event.join(touched, sa.and_(touched.c.organisation == event.c.organisation, touched.c.event_id == event.c.id))
    statement = sa.select(event.c.person).distinct().select_from(joined)
    theirs = (event.c.organisation == organisation, event.c.kind == "delivery", touched.c.course_id.in_(courses))
    return sorted(connection.execute(statement.where(*theirs)).scalars())


def under_keys(connection: sa.Connection, organisation: str, courses: Sequence[str]) -> int:
    """How many texts of these courses are sealed under a key."""
    theirs = (entry_data.c.organisation == organisation, entry_data.c.course_id.in_(courses))
    sealed = sa.func.substr(entry_data.c.sealed, 1, 1) == sa.literal(SEALED_MARK, sa.LargeBinary)
    return int(connection.execute(sa.select(sa.func.count()).select_from(entry_data).where(*theirs, sealed)).scalar() or 0)


def archives(connection: sa.Connection) -> bool:
    """Whether the server archives its WAL, which then holds what was erased."""
    if connection.dialect.name != "postgresql":
        return False
    return bool(connection.exec_driver_sql("SELECT current_setting('archive_mode')").scalar_one() != "off")


def _by_id(row: Any) -> str:
    return str(row.id)


def _called(name: str) -> Callable[[Any], str]:
    """Names every row alike: what it is, and nothing of it."""
    return lambda _row: name


def _texts(organisation: str, of: ErasedSubject) -> list[ErasedKind]:
    proposal, draft, access_text, restriction = tables.proposal, tables.draft, tables.access_text, tables.restriction
    texts = sa.and_(entry_data.c.organisation == organisation, entry_data.c.course_id.in_(of.courses), _there(entry_data))
    proposals = sa.and_(
        proposal.c.organisation == organisation,
        proposal.c.course_id.in_(of.courses),
        sa.or_(proposal.c.body.is_not(None), proposal.c.comment.is_not(None)),
    )
    declined = sa.case((proposal.c.body.is_(None), proposal.c.status), else_="declined")
    drafts = sa.and_(draft.c.organisation == organisation, draft.c.course_id.in_(of.courses))
    said = sa.and_(
        access_text.c.organisation == organisation, access_text.c.id.in_(_accesses(organisation, of)), _there(access_text)
    )
    reasons = sa.and_(
        restriction.c.organisation == organisation, restriction.c.course_id.in_(of.courses), restriction.c.reason != ""
    )
    return [
        ErasedKind("entry_texts", entry_data, texts, _of_place, EMPTIED),
        ErasedKind("proposals", proposal, proposals, _by_id, {"body": None, "comment": None, "status": declined}),
        ErasedKind("drafts", draft, drafts, lambda row: f"{row.course_id} {row.form}", None),
        ErasedKind("access_texts", access_text, said, lambda row: f"{row.id} {row.kind}", EMPTIED),
        ErasedKind("restriction_reasons", restriction, reasons, _by_id, {"reason": ""}),
    ]


EMPTIED = {"salt": None, "sealed": None}


def _there(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.salt.is_not(None), table.c.sealed.is_not(None))


def _of_place(row: Any) -> str:
    return f"{row.course_id} {row.seq}"


def _accesses(organisation: str, of: ErasedSubject) -> sa.CompoundSelect[Any]:
    """What has its texts beside it: emergency accesses, marks and disclosures of a client, and unmaskings of their courses."""
    unmasking, of_client = tables.unmasking, (tables.emergency_access, tables.client_mark, tables.disclosure)
    return sa.union_all(
        *(sa.select(each.c.id).where(each.c.organisation == organisation, each.c.client_id == of.client) for each in of_client),
        sa.select(unmasking.c.id).where(unmasking.c.organisation == organisation, unmasking.c.course_id.in_(of.courses)),
    )


# Of a notice nothing is left but that there was one, of which kind, when, and what became of it.
FORGOTTEN = {
    **dict.fromkeys(("body", "detail", "resource", "content_digest", "resource_key", "ordinal")),
    "key": notice.c.id,
    "body_hash": "",
    "part": "",
    "awaits_course": False,
    "status": sa.case((notice.c.status.in_(("received", "waiting")), "dismissed"), else_=notice.c.status),
}
_ANYTHING = sa.or_(
    notice.c.body.is_not(None),
    notice.c.detail.is_not(None),
    notice.c.resource.is_not(None),
    notice.c.body_hash != "",
    notice.c.key != notice.c.id,
)


def _notices(organisation: str, of: ErasedSubject, naming: Sequence[str]) -> list[ErasedKind]:
    theirs = sa.or_(notice.c.client_id == of.client, notice.c.course_id.in_(of.courses), notice.c.id.in_(naming))
    left = sa.and_(notice.c.organisation == organisation, theirs, _ANYTHING)
    held = notice.c.source_id == SOURCE_OF_GROUPS
    return [
        ErasedKind("held_records", notice, sa.and_(left, held), _by_id, FORGOTTEN),
        ErasedKind("notices", notice, sa.and_(left, sa.not_(held)), _by_id, FORGOTTEN),
    ]


def _deliveries(organisation: str, of: ErasedSubject, now: dt.datetime) -> list[ErasedKind]:
    delivery, event = tables.delivery, tables.event
    theirs = sa.exists().where(
        event.c.organisation == delivery.c.organisation, event.c.position == delivery.c.position, event.c.course_id.in_(of.courses)
    )
    unsent = sa.and_(delivery.c.organisation == organisation, delivery.c.status.in_(("waiting", "dead")), theirs)
    return [ErasedKind("deliveries", delivery, unsent, _by_id, {"status": "cancelled", "ended_at": now, "lease": None})]


def _digests(organisation: str, of: ErasedSubject, now: dt.datetime) -> list[ErasedKind]:
    """Digests of bodies. Where neither course, group nor client is known, all go: nobody could tell which are about this client.

    Before revision 0033, the scope of an imported line was made of its text. Such a row goes whole.
    """
    kept = tables.idempotency
    ours = kept.c.organisation == organisation
    of_course = kept.c.course_id.in_(of.courses)
    member, group = tables.group_member, tables.therapy_group
    groups = sa.select(member.c.group_id).where(member.c.organisation == organisation, member.c.course_id.in_(of.courses))
    known = sa.union_all(
        sa.select(course.c.id).where(course.c.organisation == organisation),
        sa.select(group.c.id).where(group.c.organisation == organisation),
    )
    elsewhere = sa.or_(kept.c.course_id.in_(groups), kept.c.course_id.not_in(known))
    lines = sa.and_(of_course, kept.c.expires_at > now + LONG, sa.not_(kept.c.scope.startswith(IMPORTED, autoescape=True)))
    nobodys = sa.and_(
        notice.c.organisation == organisation,
        notice.c.client_id.is_(None),
        notice.c.course_id.is_(None),
        notice.c.body.is_(None),
        sa.or_(notice.c.body_hash != "", notice.c.content_digest.is_not(None)),
    )
    unreadable = sa.case((notice.c.type.endswith("unreadable"), notice.c.id), else_=notice.c.key)
    return [
        ErasedKind("digests", kept, sa.and_(ours, lines), _called("line"), None),
        ErasedKind(
            "digests",
            kept,
            sa.and_(ours, sa.or_(of_course, elsewhere), kept.c.body != "", sa.not_(lines)),
            _called("request"),
            {"body": ""},
        ),
        ErasedKind("digests", notice, nobodys, _called("message"), {"body_hash": "", "content_digest": None, "key": unreadable}),
    ]


def _keys(organisation: str, of: ErasedSubject, now: dt.datetime) -> list[ErasedKind]:
    key = tables.client_key
    theirs = sa.and_(key.c.organisation == organisation, key.c.course_id.in_(of.courses), key.c.wrapped.is_not(None))
    return [ErasedKind("keys", key, theirs, _by_id, {"wrapped": None, "shredded_at": now})]


def _names(organisation: str, of: ErasedSubject) -> list[ErasedKind]:
    """What they are called. It goes last: the other conditions do not need it, and people who look on read the lines in this order."""
    label = tables.client_label
    called = sa.and_(label.c.organisation == organisation, label.c.client_id == of.client, label.c.sealed.is_not(None))
    named = sa.and_(client.c.organisation == organisation, client.c.id == of.client, client.c.ref.is_not(None))
    return [
        ErasedKind("client_label", label, called, lambda row: str(row.client_id), {"sealed": None}),
        ErasedKind("client_reference", client, named, _by_id, {"ref": None}),
    ]


def _of_entry(organisation: str, of: ErasedSubject) -> list[ErasedKind]:
    kept, seq = tables.idempotency, of.seq or 0
    (course_id,) = of.courses
    own = sa.and_(
        entry_data.c.organisation == organisation, entry_data.c.course_id == course_id, entry_data.c.seq == seq, _there(entry_data)
    )
    requests = sa.and_(
        kept.c.organisation == organisation,
        kept.c.course_id == course_id,
        kept.c.first_seq <= seq,
        kept.c.last_seq >= seq,
        kept.c.body != "",
    )
    made = sa.and_(
        notice.c.organisation == organisation,
        notice.c.course_id == course_id,
        sa.or_(notice.c.seq == seq, notice.c.about_seq == seq),
        sa.or_(notice.c.body_hash != "", notice.c.content_digest.is_not(None)),
    )
    return [
        ErasedKind("entry_texts", entry_data, own, _of_place, EMPTIED),
        ErasedKind("digests", kept, requests, _called("request"), {"body": ""}),
        ErasedKind("digests", notice, made, _called("message"), {"body_hash": "", "content_digest": None}),
    ]
