"""What callers see of the entries of a journal."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

import msgspec

from ipt_workflow.course import carry_over
from ipt_workflow.course.carry_over import Move
from ipt_workflow.course.fold import contradictions, superseded_by
from ipt_workflow.course.triggers import MOVES
from ipt_workflow.journal import Entry, EntryActor


class EntryView(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One entry. `data_digest` is SHA-256(salt ‖ JCS of `{data, reason, override}`); `hash` is the SHA-256 of `canonical`.

    `on_behalf_of` is the therapist for whom the actor covered.
    If the entry put the course under another protocol or version, `move` says what carried over and what did not.
    If the entry was erased, or is `masked` for an auditor, `data` is the part that the canonical bytes keep, and `salt`, `reason` and `override` are null.
    """

    id: str
    seq: int
    trigger: str
    from_: str | None
    to: str
    actor: EntryActor
    cosigned_by: str | None
    on_behalf_of: str | None
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    reason: str | None
    override: dict[str, Any] | None
    data: dict[str, Any]
    structural: dict[str, Any]
    move: Move | None
    superseded_by: int | None
    contradicted_by: int | None
    erased: bool
    masked: bool
    protocol_digest: str
    canonical: str
    salt: str | None
    data_digest: str
    prev_hash: str
    hash: str


def entry_views(entries: Iterable[Entry], known: Iterable[Entry]) -> tuple[EntryView, ...]:
    """Views of `entries`. Each names the entry among `known` that supersedes or contradicts it."""
    facts = [entry.fact for entry in known]
    superseded = superseded_by(facts)
    contradicted = contradictions(facts)
    return tuple(_entry(entry, superseded.get(entry.written.seq), contradicted.get(entry.written.seq)) for entry in entries)


def _entry(entry: Entry, superseded: int | None, contradicted: int | None) -> EntryView:
    written, document = entry.written, entry.document
    return EntryView(
        id=written.id,
        seq=written.seq,
        trigger=written.trigger,
        from_=written.from_,
        to=written.to,
        actor=written.actor,
        cosigned_by=written.cosigned_by,
        on_behalf_of=written.on_behalf_of,
        occurred_at=written.occurred_at,
        recorded_at=written.recorded_at,
        reason=document.reason if document else None,
        override=document.override if document else None,
        data=document.data if document else written.data,
        structural=written.data,
        move=carry_over.move(written.data) if written.trigger in MOVES else None,
        superseded_by=superseded,
        contradicted_by=contradicted,
        erased=document is None and not entry.masked,
        masked=entry.masked,
        protocol_digest=written.protocol_digest,
        canonical=entry.canonical.decode(),
        salt=entry.salt,
        data_digest=written.data_digest,
        prev_hash=written.prev_hash,
        hash=entry.hash,
    )
