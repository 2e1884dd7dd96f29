"""What a write asks for, as the service takes it from HTTP, the command line and the importer."""

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


class IdempotencyKey(msgspec.Struct, frozen=True):
    """An idempotency key: the digest of principal, method, path and key, and that of the body. `kept` is how long; None: a setting."""

    scope: str
    body: str
    kept: dt.timedelta | None = None


class GroupWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A request to write a line of a group's log. `decode` gives what it says, and raises what is wrong with the body.

    `problem` is what is wrong with its headers; without a `version` that is required, it is decided on the group as it is.
    """

    decode: Callable[[], Any]
    problem: IptError | None = None
    version: int | None = None
    version_required: bool = True
    key: IdempotencyKey | None = None


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A request to write. `decode` gives its commands, and raises what is wrong with the body.

    `triggers` are the names that can be made out before it is decoded; `problem` is what is wrong with its headers.
    """

    decode: Callable[[], tuple[Command, ...]]
    triggers: tuple[str, ...] = ()
    problem: IptError | None = None
    version: int | None = None
    version_required: bool = True
    key: IdempotencyKey | None = None
