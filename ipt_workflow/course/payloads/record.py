"""Payloads about the record: notes, transfers, protocol, client, amendments."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    LIST_MAX,
    ClientRef,
    Code,
    Moment,
    Person,
    RecordedSeq,
    Seq,
    Text,
)


class Note(Payload, frozen=True, kw_only=True):
    text: Text


class Transfer(Payload, frozen=True, kw_only=True):
    therapist: Person
    handover: Text


class ChangeProtocol(Payload, frozen=True, kw_only=True):
    protocol: Code
    protocol_version: Seq | None = None


class MigrateProtocol(Payload, frozen=True, kw_only=True):
    """Another version of the protocol that the course has."""

    protocol: Code
    protocol_version: Seq


class RelinkClient(Payload, frozen=True, kw_only=True):
    kind: Literal["merge", "unmerge", "wrong_client"]
    client_ref: ClientRef


class OpenFollowup(Payload, frozen=True, kw_only=True):
    protocol: Code
    protocol_version: Seq | None = None
    therapist: Person | None = None


class Amend(Payload, frozen=True, kw_only=True):
    """Makes an entry void, or corrects it: `data` is a merge patch (RFC 7396) on the entry's data, `occurred_at` its new time.

    To void an amendment restores what was before it. `whole` voids the entry with all its amendments.
    """

    supersedes: RecordedSeq
    void: bool = False
    whole: bool = False
    data: dict[str, Any] | None = None
    occurred_at: Moment | None = None


class MoveEntries(Payload, frozen=True, kw_only=True):
    """Moves entries to `course`, the course of the client whom they are about. `entries` are their numbers here.

    A session takes its references along. Its signature does not move: the session is signed anew in the other course.
    """

    course: Code
    entries: Annotated[tuple[Seq, ...], Meta(min_length=1, max_length=LIST_MAX)]
