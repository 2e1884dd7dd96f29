"""Results of verbs: a committed write, a preview, options, proposals, tokens, a verification."""

import datetime as dt
from typing import Any

import msgspec

from ipt_workflow.errors import Refusal
from ipt_workflow.machine import Option
from ipt_workflow.service.views.course import CourseView
from ipt_workflow.service.views.entries import EntryView
from ipt_workflow.store.proposals import EntrySince, LapseReason

SINCE_MAX = 50


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a write. `replayed` says that an earlier request under the same key wrote it.

    `course` is None if the caller asked for the entries alone.
    """

    course_id: str
    course: CourseView | None
    entries: tuple[EntryView, ...]
    replayed: bool = False

    @property
    def version(self) -> int:
        """The course's version after the write."""
        return self.entries[-1].seq


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The result that a write would have. `course` is as the write would leave it, or as it is now if it would be refused."""

    option: Option
    course: CourseView | None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    items: tuple[Option, ...]


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal. `version` is the course's when it was made.

    While it waits, `since` lists what has been recorded on the course since then: the latest entries, at most SINCE_MAX.
    `status` is waiting, returned, cosigned, declined or lapsed; `reason` says why it lapsed. `comment` is of the supervisor who returned
    it for revision: its proposer proposes the command again, and then it lapses.
    """

    id: str
    course: str
    version: int
    trigger: str
    status: str
    proposed_by: str
    proposed_at: dt.datetime
    decided_by: str | None
    decided_at: dt.datetime | None
    entry_seq: int | None
    reason: LapseReason | None
    comment: str | None
    command: dict[str, Any] | None
    since: tuple[EntrySince, ...]


class ProposalReview(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal with what a cosigner decides on: the course's present version, and why the course would refuse the command now.

    `refusals` is empty if it would be accepted, and if the proposal no longer waits.
    """

    proposal: ProposalView
    course_version: int
    refusals: tuple[Refusal, ...]


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `audit verify`. `checked` counts entries, and `leaves` positions of the log. `erased` is None if only chains were checked.

    With `since`, the size of a checkpoint that was kept, only what came after it was checked.
    """

    ok: bool
    courses: int
    checked: int
    erased: int | None
    first_bad: dict[str, Any] | None = None
    leaves: int | None = None
    since: int | None = None


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    role: str
    name: str
    subject: str
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None
    source: str | None
    scopes: tuple[str, ...] | None
    last_used_at: dt.datetime | None
