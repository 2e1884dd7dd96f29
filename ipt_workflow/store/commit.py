"""Writing what was accepted: entries, snapshots, outbox and idempotency rows, in one transaction or not at all."""

import datetime as dt
from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from ipt_workflow.course import Course
from ipt_workflow.errors import IptError, StaleVersion
from ipt_workflow.journal import Entry
from ipt_workflow.store import tables

ATTENTION = ("overdue", "blocked", "ending", "risk", "unsigned", "deviation", "notices", "unassigned", "contradicted")


class ActiveCourseExists(IptError):
    """The client has another open acute course: the unique index stands for the rule `one_active_course`."""


class KeyTaken(IptError):
    """Another request with this idempotency key was committed first."""


class ClientTaken(IptError):
    """Another request made the record of this client first."""


class NewClient(msgspec.Struct, frozen=True):
    id: str
    ref: str


class CourseChange(msgspec.Struct, frozen=True, kw_only=True):
    """One course's new entries and what they make of it. `expected` is the version they were decided on, 0 for a new course."""

    course: Course
    expected: int
    entries: tuple[Entry, ...]
    attention: Mapping[str, dt.datetime]


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an idempotency key is to be answered with from now on."""

    scope: str
    body: str
    course_id: str
    first_seq: int
    last_seq: int
    committed_at: dt.datetime
    expires_at: dt.datetime


class DecidedProposal(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    by: str
    at: dt.datetime
    status: str
    entry_seq: int | None = None


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """What wins or loses as a whole: one or several entries of one or several courses."""

    organisation: str
    changes: tuple[CourseChange, ...]
    client: NewClient | None = None
    answer: KeptAnswer | None = None
    proposal: DecidedProposal | None = None


def commit(connection: sa.Connection, unit: Unit) -> None:
    """Writes a unit. Raises StaleVersion, ActiveCourseExists, KeyTaken or ClientTaken; the caller's transaction is then rolled back."""
    try:
        if unit.answer:
            _keep_answer(connection, unit.organisation, unit.answer)
        if unit.client:
            connection.execute(_insert_client, _client(unit))
        for change in unit.changes:
            _write_course(connection, unit.organisation, change)
        entries = [entry for change in unit.changes for entry in change.entries]
        connection.execute(_insert_entry, [_entry(entry) for entry in entries])
        connection.execute(_insert_entry_data, [_entry_data(entry) for entry in entries])
        connection.execute(_insert_outbox, [_outbox(entry) for entry in entries])
        if unit.proposal:
            decide_proposal(connection, unit.organisation, unit.proposal)
    except sa.exc.IntegrityError as error:
        raise _meaning(str(error.orig), unit) from error


def _meaning(message: str, unit: Unit) -> IptError:
    """What a violated unique index stands for. The message names the index on PostgreSQL, its columns on SQLite."""
    if "uq_course_one_active" in message or "course.organisation, course.client_id" in message:
        return ActiveCourseExists("The client has another open acute course.")
    if "idempotency" in message:
        return KeyTaken("The key was used first by another request.")
    if "client" in message:
        return ClientTaken("The client's record was made first by another request.")
    return StaleVersion(unit.changes[0].expected + 1)


def _keep_answer(connection: sa.Connection, organisation: str, answer: KeptAnswer) -> None:
    """Keeps the answer under its key, in the place of one that has expired."""
    table = tables.idempotency
    connection.execute(
        sa.delete(table).where(
            table.c.organisation == organisation, table.c.scope == answer.scope, table.c.expires_at <= answer.committed_at
        )
    )
    values = {name: value for name, value in msgspec.structs.asdict(answer).items() if name != "committed_at"}
    connection.execute(sa.insert(table), {"organisation": organisation, **values})


def _client(unit: Unit) -> dict[str, object]:
    assert unit.client is not None
    created_at = unit.changes[0].entries[0].written.recorded_at
    return {"organisation": unit.organisation, "id": unit.client.id, "ref": unit.client.ref, "created_at": created_at}


def _write_course(connection: sa.Connection, organisation: str, change: CourseChange) -> None:
    values = course_columns(organisation, change)
    if change.expected == 0:
        connection.execute(_insert_course, values)
        return
    table = tables.course
    changed = connection.execute(
        sa.update(table)
        .where(table.c.organisation == organisation, table.c.id == change.course.id, table.c.version == change.expected)
        .values(values)
    )
    if changed.rowcount != 1:
        raise StaleVersion(current_version(connection, organisation, change.course.id))


def current_version(connection: sa.Connection, organisation: str, course_id: str) -> int:
    table = tables.course
    found = connection.execute(
        sa.select(table.c.version).where(table.c.organisation == organisation, table.c.id == course_id)
    ).scalar()
    return int(found or 0)


def course_columns(organisation: str, change: CourseChange) -> dict[str, object]:
    course = change.course
    return {
        "organisation": organisation,
        "id": course.id,
        "client_id": course.client,
        "therapist": course.therapist,
        "protocol": course.protocol,
        "protocol_version": course.protocol_version,
        "protocol_digest": course.protocol_digest,
        "state": course.state,
        "phase": course.phase,
        "active_acute": course.acute and course.open,
        "version": course.version,
        "head": change.entries[-1].hash,
        "last_recorded_at": course.last_recorded_at,
        "snapshot": snapshot(course),
        **{f"{kind}_from": change.attention.get(kind) for kind in ATTENTION},
    }


def snapshot(course: Course) -> bytes:
    """The fold as it is stored; the same course always gives the same bytes."""
    return msgspec.json.encode(course, order="deterministic")


def _entry(entry: Entry) -> dict[str, object]:
    return {**entry_columns(entry), "canonical": entry.canonical}


def entry_columns(entry: Entry) -> dict[str, object]:
    """Every column beside the canonical bytes, as the bytes have it. `audit verify` compares them."""
    written = entry.written
    return {
        "organisation": written.organisation,
        "course_id": written.course,
        "seq": written.seq,
        "id": written.id,
        "trigger": written.trigger,
        "from_state": written.from_,
        "to_state": written.to,
        "person": written.actor.person,
        "role": written.actor.role,
        "via": written.actor.via,
        "cosigned_by": written.cosigned_by,
        "occurred_at": written.occurred_at,
        "recorded_at": written.recorded_at,
        "protocol_digest": written.protocol_digest,
        "data_digest": written.data_digest,
        "prev_hash": written.prev_hash,
        "hash": entry.hash,
    }


def _entry_data(entry: Entry) -> dict[str, object]:
    written = entry.written
    return {
        "organisation": written.organisation,
        "course_id": written.course,
        "seq": written.seq,
        "salt": entry.salt,
        "sealed": entry.sealed,
    }


def _outbox(entry: Entry) -> dict[str, object]:
    written = entry.written
    return {
        "organisation": written.organisation,
        "id": written.id,
        "course_id": written.course,
        "seq": written.seq,
        "created_at": written.recorded_at,
    }


def decide_proposal(connection: sa.Connection, organisation: str, decided: DecidedProposal) -> None:
    """Ends a proposal and empties its body. Raises StaleVersion where it was decided before."""
    table = tables.proposal
    changed = connection.execute(
        sa.update(table)
        .where(table.c.organisation == organisation, table.c.id == decided.id, table.c.status == "waiting")
        .values(status=decided.status, decided_by=decided.by, decided_at=decided.at, entry_seq=decided.entry_seq, body=None)
    )
    if changed.rowcount != 1:
        raise StaleVersion(0)


_insert_client = sa.insert(tables.client)
_insert_course = sa.insert(tables.course)
_insert_entry = sa.insert(tables.entry)
_insert_entry_data = sa.insert(tables.entry_data)
_insert_outbox = sa.insert(tables.outbox)
