"""Prepares a commit: seals accepted drafts onto their course's chain, and makes the answer that a key keeps."""

import datetime as dt
import secrets
from collections.abc import Sequence

from ipt_workflow import journal
from ipt_workflow.access.relations import Relation
from ipt_workflow.course import Course, attention
from ipt_workflow.course.drafts import Draft
from ipt_workflow.journal import Entry
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.idempotency import kept_body
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store.units import CourseChange, KeptAnswer


def change(
    clinic: Clinic,
    course: Course,
    drafts: Sequence[Draft],
    head: str,
    expected: int,
    relation: Relation | None = None,
    key: str | None = None,
) -> CourseChange:
    """The course with these drafts sealed as entries. Before them it was at version `expected`, and `head` was its last hash.

    `relation` is that of the person who writes. `key` is the id of the key that the course has, if that is known.
    """
    entries: list[Entry] = []
    for draft in drafts:
        sealed = journal.seal(
            draft,
            organisation=clinic.organisation,
            entry_id=new_id(),
            prev_hash=entries[-1].hash if entries else head,
            salt=secrets.token_bytes(journal.SALT_BYTES),
            on_behalf_of=relation.on_behalf_of if relation else None,
        )
        entries.append(sealed)
    assert [entry.written.seq for entry in entries] == list(range(expected + 1, expected + len(entries) + 1))
    machine = clinic.machine_of(course)
    due = attention.attention(machine.protocol, machine.bound, course, clinic.zone)
    return CourseChange(course=course, expected=expected, entries=tuple(entries), attention=due, relation=relation, known_key=key)


def kept_answer(
    clinic: Clinic, key: IdempotencyKey, subject: str, first_seq: int, last_seq: int, at: dt.datetime, first: Entry | None = None
) -> KeptAnswer:
    """The answer that a key gets from now on. `subject` is the id of a course, whose entry `first_seq` is `first`, or of something else."""
    return KeptAnswer(
        scope=key.scope,
        body=kept_body(key.body, first.salt if first else None),
        course_id=subject,
        first_seq=first_seq,
        last_seq=last_seq,
        expires_at=at + (key.kept or dt.timedelta(hours=clinic.settings.idempotency_hours)),
    )
