"""The rows that a commit writes, by table: values by column name."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.client_keys import ClientKey
from ipt_workflow.course import Course
from ipt_workflow.journal import Entry, entry_hash
from ipt_workflow.journal.audit import record_bytes
from ipt_workflow.store.schema import tables
from ipt_workflow.store.schema.tables import ATTENTION
from ipt_workflow.store.units import CourseChange, KeptAnswer, LoggedEvent, Unit

Row = dict[str, Any]
SINCE = tuple((kind, f"{kind}_from") for kind in ATTENTION)  # each kind of attention with its column
NOT_COMMITTED = frozenset({tables.course.c.restricted})  # no part of the fold: changed by itself, and kept by every commit
BESIDE_THE_BYTES = frozenset({"canonical", "request_id", "basis", "purpose"})  # the columns of an entry that no hash covers
RULES_MAX = 2000  # characters that the column holds


def course_columns(organisation: str, change: CourseChange) -> Row:
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
        "shared": course.shared,
        **{column: change.attention.get(kind) for kind, column in SINCE},
    }


def snapshot(course: Course) -> bytes:
    """A course as it is stored in its row. The same course always gives the same bytes."""
    return msgspec.json.encode(course, order="deterministic")


def journal(unit: Unit, change: CourseChange) -> list[Row]:
    """The rows of a change's entries in three tables, each entry's as one. Columns with the same name hold the same value."""
    return [
        {**outbox(each), **entry_data(each, change.key), **row}
        for each, row in zip(change.entries, entries(unit, change), strict=True)
    ]


def entries(unit: Unit, change: CourseChange) -> list[Row]:
    why = change.relation
    beside = {"request_id": unit.request_id, "basis": why.basis if why else None, "purpose": why.purpose if why else None}
    return [{**entry_columns(each), "canonical": each.canonical, **beside} for each in change.entries]


def entry_columns(entry: Entry) -> Row:
    """Every column that repeats a value of the canonical bytes. `audit verify` compares the two."""
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
        "on_behalf_of": written.on_behalf_of,
        "occurred_at": written.occurred_at,
        "recorded_at": written.recorded_at,
        "protocol_digest": written.protocol_digest,
        "data_digest": written.data_digest,
        "prev_hash": written.prev_hash,
        "hash": entry.hash,
        "group_session": written.data.get("group_session"),
    }


def entry_data(entry: Entry, key: ClientKey | None = None) -> Row:
    """The text of an entry as it is stored: under a key, if there is one."""
    written, salt, sealed = entry.written, entry.salt, entry.sealed
    if key and salt is not None and sealed is not None:
        salt, sealed = key.seal(salt, sealed)
    return {
        "organisation": written.organisation,
        "course_id": written.course,
        "seq": written.seq,
        "salt": salt,
        "sealed": sealed,
    }


def outbox(entry: Entry) -> Row:
    written = entry.written
    return {
        "organisation": written.organisation,
        "id": written.id,
        "kind": "entry",
        "course_id": written.course,
        "seq": written.seq,
        "detail": None,
        "subscription_id": None,
        "created_at": written.recorded_at,
    }


def of_events(events: Sequence[LoggedEvent]) -> dict[sa.Table, list[Row]]:
    """The rows of events, by table."""
    records = [audit_event(event) for event in events]
    return {
        tables.audit_event: records,
        tables.audit_subject: [row for event in events for row in subjects(event)],
        tables.log_outbox: [log_outbox(each) for each in records],
        tables.outbox: [row for event in events for row in outbox_of_event(event)],
    }


def audit_event(event: LoggedEvent) -> Row:
    row = {
        "organisation": event.organisation,
        "id": event.id,
        "kind": event.kind,
        "recorded_at": event.recorded_at,
        "person": event.person,
        "role": event.role,
        "via": event.via,
        "action": event.action,
        "rules": ",".join(event.rules)[:RULES_MAX] or None,
        "request_id": event.request_id,
        "basis": event.basis,
        "purpose": event.purpose,
        "command": event.command,
    }
    hashed = record_bytes(row, event.courses, event.details)
    return {**row, "canonical": hashed, "hash": entry_hash(hashed)}


def log_outbox(record: Row) -> Row:
    """What gives a record of the audit log its position in the log."""
    return {
        "organisation": record["organisation"],
        "id": record["id"],
        "course_id": None,
        "seq": None,
        "hash": record["hash"],
        "created_at": record["recorded_at"],
    }


def outbox_of_event(event: LoggedEvent) -> list[Row]:
    """The event as subscribers will receive it; nothing if it is not published."""
    if not event.published:
        return []
    return [
        {
            "organisation": event.organisation,
            "id": event.id,
            "kind": event.kind,
            "course_id": event.courses[0],
            "seq": None,
            "detail": None,
            "subscription_id": None,
            "created_at": event.recorded_at,
        }
    ]


def kept_answer(organisation: str, answer: KeptAnswer) -> Row:
    return {
        "organisation": organisation,
        "scope": answer.scope,
        "body": answer.body,
        "course_id": answer.course_id,
        "first_seq": answer.first_seq,
        "last_seq": answer.last_seq,
        "expires_at": answer.expires_at,
    }


def client(unit: Unit) -> Row:
    assert unit.client is not None
    return {"organisation": unit.organisation, "id": unit.client.id, "ref": unit.client.ref, "created_at": unit.recorded_at}


def subjects(event: LoggedEvent) -> list[Row]:
    """The courses an event touched, each once."""
    return [
        {"organisation": event.organisation, "event_id": event.id, "course_id": course} for course in dict.fromkeys(event.courses)
    ]
