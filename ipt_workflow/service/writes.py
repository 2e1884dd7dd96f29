"""Requests to write, as HTTP, the command line and imports make them."""

import datetime as dt
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from ipt_workflow.course.triggers import Command, Override
from ipt_workflow.errors import IptError
from ipt_workflow.values.types import ClientRef, Code, Moment, Person, Seq, Text


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body that opens a course."""

    client_ref: ClientRef
    protocol: Code
    protocol_version: Seq | None = None
    therapist: Person | None = None
    trigger: Literal["refer", "adopt"] = "refer"
    occurred_at: Moment | None = None
    reason: Text | None = None
    override: Override | None = None
    data: dict[str, Any]


class CrisisCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a client in a crisis: the commands that record it, among them a contact of the kind `crisis`."""

    client_ref: ClientRef
    together: tuple[Command, ...]


FOR_EVER = dt.timedelta(days=36_500)


class IdempotencyKey(msgspec.Struct, frozen=True):
    """An idempotency key. `scope` is the digest of principal, method, path and key; `body` is the digest of the body.

    `kept` is how long the answer is kept; None means as long as the setting says.
    """

    scope: str
    body: str
    kept: dt.timedelta | None = None


class GroupWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A request to write a line of a group's log. `decode` returns the decoded body, or raises its faults.

    `problem` is the error of malformed headers. Without a `version`, if none is required, the present group is decided on.
    """

    decode: Callable[[], Any]
    problem: IptError | None = None
    version: int | None = None
    version_required: bool = True
    key: IdempotencyKey | None = None


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A request to write a course. `decode` returns its commands, or raises the faults of the body.

    `triggers` are the names read before the body is decoded. `problem` is the error of malformed headers. With `entries_only` the
    answer leaves out the course.
    """

    decode: Callable[[], tuple[Command, ...]]
    triggers: tuple[str, ...] = ()
    problem: IptError | None = None
    version: int | None = None
    version_required: bool = True
    key: IdempotencyKey | None = None
    entries_only: bool = False
