"""Reading requests: bodies, preconditions, idempotency keys, cursors, filters. Every fault says what would be right."""

import base64
import binascii
import datetime as dt
import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from ipt_workflow import triggers
from ipt_workflow.access.principal import Principal
from ipt_workflow.commands import decode, schema_faults
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.payloads import Moment
from ipt_workflow.triggers import Command
from ipt_workflow.writes import Key, Write

ApiRequest = Request[Any, Any, State]
Shape = TypeVar("Shape", bound=msgspec.Struct)
_ETAG = re.compile(r'"?([0-9]{1,9})"?')
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Together(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several commands: placed, folded and committed as one."""

    together: tuple[Command, ...]


class UnsupportedMediaType(HTTPException):
    status_code = 415


class Body:
    """A body that has been read but not looked at: what is wrong with it is said after access and precondition."""

    def __init__(self, raw: bytes, problem: HTTPException | None) -> None:
        self.raw = raw
        self._problem = problem

    def value(self) -> dict[str, Any]:
        """The JSON object. Raises what stood against reading it, or CommandMalformed."""
        if self._problem:
            raise self._problem
        try:
            value = msgspec.json.decode(self.raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CommandMalformed(f"The body is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise CommandMalformed("The body must be a JSON object.")
        return value

    def shape(self, struct: type[Shape]) -> Shape:
        """The body as a Struct. Raises CommandInvalid with every fault."""
        value = self.value()
        try:
            return msgspec.convert(value, struct)
        except msgspec.ValidationError as error:
            raise CommandInvalid(schema_faults(struct, value, "", str(error))) from None

    def commands(self) -> tuple[Command, ...]:
        """One command, or several together. Raises CommandInvalid with every fault, also those of the data."""
        value = self.value()
        if "together" in value:
            return self.shape(Together).together
        try:
            return (msgspec.convert(value, Command),)
        except msgspec.ValidationError as error:
            faults = schema_faults(Command, value, "", str(error))
            raise CommandInvalid([*faults, *_data_faults(value)]) from None

    def triggers(self) -> list[str]:
        """The triggers' names, as far as they can be made out."""
        try:
            value = msgspec.json.decode(self.raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        told = value.get("together", [value]) if isinstance(value, dict) else []
        return [str(each.get("trigger")) for each in told if isinstance(each, dict)] if isinstance(told, list) else []


def _data_faults(value: dict[str, Any]) -> list[Fault]:
    row = triggers.BY_NAME.get(str(value.get("trigger")))
    data = value.get("data", {})
    return decode(row.payload, data)[1] if row and isinstance(data, dict) else []


async def read_body(request: ApiRequest) -> Body:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    problem: HTTPException | None = None if kind == "application/json" else UnsupportedMediaType()
    try:
        raw = await request.body()
    except HTTPException as error:
        return Body(b"", error)
    return Body(raw, problem)


def write_of(request: ApiRequest, body: Body, principal: Principal) -> Write:
    """A write as the service takes it."""
    names = body.triggers()
    rows = [triggers.BY_NAME.get(name) for name in names]
    free = bool(rows) and all(row is not None and row.never_blocked for row in rows)
    request.scope["ipt_log"] = {  # type: ignore[typeddict-unknown-key]
        "trigger": ",".join(name for name, row in zip(names, rows, strict=True) if row or name.startswith(triggers.BEGIN_PREFIX))[
            :200
        ],
        "course_id": request.path_params.get("course_id"),
    }
    try:
        version, key, problem = if_match(request), key_of(request, body, principal), None
    except CommandMalformed as error:
        version, key, problem = None, None, error
    return Write(decode=body.commands, triggers=tuple(names), problem=problem, version=version, version_required=not free, key=key)


def if_match(request: ApiRequest) -> int | None:
    """The version in If-Match; None where there is none. Raises CommandMalformed."""
    told = request.headers.get("if-match")
    if told is None:
        return None
    match = _ETAG.fullmatch(told.strip())
    if match is None:
        raise CommandMalformed('If-Match must be one version as in ETag, such as "7".')
    return int(match[1])


def key_of(request: ApiRequest, body: Body, principal: Principal) -> Key | None:
    """The idempotency key with all that it is scoped to. Raises CommandMalformed."""
    told = request.headers.get("idempotency-key")
    if told is None:
        return None
    if not _KEY.fullmatch(told):
        raise CommandMalformed("Idempotency-Key must have 1 to 255 visible ASCII characters.")
    scope = "\n".join([principal.person, principal.role, request.method, request.url.path, told])
    return Key(hashlib.sha256(scope.encode()).hexdigest(), hashlib.sha256(body.raw).hexdigest())


def moment(name: str, told: str | None) -> dt.datetime | None:
    """A time in a query: RFC 3339 with an offset. A `+` that arrived as a space is taken for what it was."""
    if told is None:
        return None
    try:
        return msgspec.convert(told.replace(" ", "+"), Moment).astimezone(dt.UTC)
    except (msgspec.ValidationError, OverflowError):
        raise CommandInvalid([Fault(name, "must be an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z")]) from None


def limit_of(request: ApiRequest, told: int | None) -> int:
    settings = request.app.state.shell.settings
    limit: int = settings.page_limit_default if told is None else told
    if not 1 <= limit <= settings.page_limit_max:
        raise CommandInvalid([Fault("limit", f"must lie from 1 to {settings.page_limit_max}")])
    return limit


def one_of(name: str, told: str | None, known: tuple[str, ...]) -> str | None:
    if told is not None and told not in known:
        raise CommandInvalid([Fault(name, f"must be one of {', '.join(known)}")])
    return told


def cursor(told: str | None, struct: type[Shape], start: Shape) -> Shape:
    """Where a list goes on. Raises CommandMalformed for what is no cursor of this list."""
    if told is None:
        return start
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(told.encode()), type=struct)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise CommandMalformed("The cursor is not one of this list. Start again without it.") from None


def cursor_text(position: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def page(items: list[Any], limit: int, position: Callable[[Any], msgspec.Struct]) -> tuple[list[Any], str | None]:
    """The items of a page, and where the next one begins if there is one; `items` were asked for with one more than the limit."""
    if len(items) <= limit:
        return items, None
    return items[:limit], cursor_text(position(items[limit - 1]))
