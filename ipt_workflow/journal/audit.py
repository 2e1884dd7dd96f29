"""A record of the audit log: its canonical bytes, and as auditors read it."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.course.facts import EntryActor
from ipt_workflow.journal.entries import moment
from ipt_workflow.values.canonical import canonical


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One record of the audit log. `action` is the trigger, or the name of the read. `courses` are all courses that it touched.

    `rules` are those that refused, or that the actor of a transition overrode. Transitions with the same `group_session` belong to one session of a group.

    `basis` is why the actor might: their relation to the courses; nothing if they might not. `purpose` is a code of v3-PurposeOfUse.
    """

    id: str
    kind: str
    recorded_at: dt.datetime
    actor: EntryActor
    cosigned_by: str | None
    action: str
    trigger: str | None
    from_: str | None
    to: str | None
    courses: tuple[str, ...]
    seq: int | None
    hash: str | None
    rules: tuple[str, ...]
    request_id: str | None
    group_session: str | None = None
    basis: str | None = None
    purpose: str | None = None
    on_behalf_of: str | None = None


def record_bytes(row: Mapping[str, Any], courses: Iterable[str], details: Mapping[str, Any] | None = None) -> bytes:
    """The canonical bytes of a record, from the columns of its row, the courses it touched, and further facts about what was done.

    They are hashed, and the hash is in the log. What an erasure may empty is not in them.
    """
    return canonical(
        {
            **{name: row[name] for name in RECORD_COLUMNS},
            "recorded_at": moment(row["recorded_at"]),
            "rules": row["rules"].split(",") if row["rules"] else [],
            "courses": sorted(set(courses)),
            **({"details": details} if details else {}),
        }
    )


RECORD_COLUMNS = ("organisation", "id", "kind", "person", "role", "via", "action", "request_id", "basis", "purpose")
OVERRIDING = b'"overridden":["'  # in the canonical bytes of an entry that overrode rules


class OverriddenRules(msgspec.Struct, frozen=True):
    """The part of an entry's canonical bytes that the audit log shows."""

    overridden: tuple[str, ...]


def audit_record(row: Sequence[Any], touched: Mapping[str, tuple[str, ...]]) -> AuditRecord:
    """The record of a row, with values in the order of the statement in `store.audit`. `touched` are the courses of each event."""
    (
        recorded_at,
        record_id,
        kind,
        person,
        role,
        via,
        action,
        from_state,
        to_state,
        course_id,
        seq,
        cosigned_by,
        digest,
        rules,
        request_id,
        group_session,
        basis,
        purpose,
        on_behalf_of,
        canonical,
    ) = row
    is_trigger = kind == "transition" or (kind == "refusal" and " " not in action)  # a refused read has a name of several words
    return AuditRecord(
        id=record_id,
        kind=kind,
        recorded_at=recorded_at,
        actor=EntryActor(person, role, via),
        cosigned_by=cosigned_by,
        action=action,
        trigger=action if is_trigger else None,
        from_=from_state,
        to=to_state,
        courses=(course_id,) if course_id else touched.get(record_id, ()),
        seq=seq,
        hash=digest,
        rules=tuple(rules.split(",")) if rules else _overridden(canonical),
        request_id=request_id,
        group_session=group_session,
        basis=basis,
        purpose=purpose,
        on_behalf_of=on_behalf_of,
    )


def _overridden(canonical: bytes | None) -> tuple[str, ...]:
    """The rules that an entry overrode. `canonical` is given if there may be some."""
    return msgspec.json.decode(canonical, type=OverriddenRules).overridden if canonical else ()
