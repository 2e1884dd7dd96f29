"""Reading requests: bodies, preconditions, idempotency keys, cursors, filters. Every fault says what would be right."""

import base64
import binascii
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Meta

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import triggers
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.protocols.definition import PHASE_ID
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.values.faults import IN_YEARS, YEARS, decode, schema_faults
from ipt_workflow.values.types import Moment

ApiRequest = Request[Any, Any, State]
Shape = TypeVar("Shape", bound=msgspec.Struct)
_ETAG = re.compile(r'"?([0-9]{1,9})"?')
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_BEGIN = re.compile(triggers.BEGIN_PREFIX + PHASE_ID.pattern)

Sought = Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f]*$")]  # what a list is searched by
_ID = re.compile("[0-9a-f-]{36}")
Id = Annotated[str, Meta(pattern=rf"^{_ID.pattern}$")]


class NoNul(ASGIMiddleware):
    """Refuses a URL with a NUL in it: no name has one, and not every database can be asked for it. Raises CommandMalformed."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if "\x00" in scope["path"] or b"%00" in scope["query_string"] or b"\x00" in scope["query_string"]:
            raise CommandMalformed("The URL has a NUL in it.")
        await next_app(scope, receive, send)


class Together(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several commands: placed, folded and committed as one."""

    together: tuple[Command, ...]


class UnsupportedMediaType(HTTPException):
    status_code = 415


class TooLarge(HTTPException):
    status_code = 413


class RequestParts(Protocol):
    """What a write needs of a request: the router's, or the one of the hot route."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def method(self) -> str: ...
    @property
    def scope(self) -> Any: ...
    @property
    def path_params(self) -> Mapping[str, Any]: ...
    async def body(self) -> bytes: ...


class Body:
    """A body that has been read but not looked at: what is wrong with it is said after access and precondition."""

    def __init__(self, raw: bytes, problem: Exception | None) -> None:
        self.raw = raw
        self._problem = problem
        self._value: Any = None

    def value(self) -> dict[str, Any]:
        """The JSON object. Raises what stood against reading it, or CommandMalformed."""
        if self._problem:
            raise self._problem
        return self._object()

    def _object(self) -> dict[str, Any]:
        if self._value is None:
            try:
                self._value = msgspec.json.decode(self.raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise CommandMalformed(f"The body is not JSON: {error}.") from None
        if not isinstance(self._value, dict):
            raise CommandMalformed("The body must be a JSON object.")
        return self._value

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
        shape: type[Together | Command] = Together if "together" in value else Command
        try:
            told = msgspec.convert(value, shape)
        except msgspec.ValidationError as error:
            raise CommandInvalid([*schema_faults(shape, value, "", str(error)), *_data_faults(value)]) from None
        return told.together if isinstance(told, Together) else (told,)

    def triggers(self) -> list[str]:
        """The triggers' names: empty for what cannot be one, which may be anything, and is neither logged nor recorded."""
        try:
            value = self._object()
        except CommandMalformed:
            return []
        told = value.get("together", [value])
        names = [str(each.get("trigger")) for each in told if isinstance(each, dict)] if isinstance(told, list) else []
        return [name if name in triggers.BY_NAME or _BEGIN.fullmatch(name) else "" for name in names]


def _data_faults(value: dict[str, Any]) -> list[Fault]:
    """What is wrong with the data of every command whose trigger can be made out."""
    together = value.get("together")
    if not isinstance(together, list):
        return _data_faults_of(value)
    return [
        msgspec.structs.replace(fault, where=f"together[{index}].{fault.where}")
        for index, each in enumerate(together)
        if isinstance(each, dict)
        for fault in _data_faults_of(each)
    ]


def _data_faults_of(command: dict[str, Any]) -> list[Fault]:
    row = triggers.BY_NAME.get(str(command.get("trigger")))
    data = command.get("data", {})
    return decode(row.payload, data)[1] if row and isinstance(data, dict) else []


async def read_body(request: RequestParts) -> Body:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    problem: HTTPException | None = None if kind == "application/json" else UnsupportedMediaType()
    try:
        raw = await request.body()
    except HTTPException as error:
        return Body(b"", error)
    return Body(raw, problem)


def write_of(request: RequestParts, body: Body, principal: Principal) -> Write:
    """A write as the service takes it."""
    names = body.triggers()
    rows = [triggers.BY_NAME.get(name) for name in names]
    free = bool(rows) and all(row is not None and row.never_blocked for row in rows)
    course = str(request.path_params.get("course_id", ""))
    request.scope["ipt_log"] = {
        "trigger": ",".join(filter(None, names))[:200],
        "course_id": course if _ID.fullmatch(course) else None,  # what is no id is what somebody wrote, and not for a log
    }
    key, body = keyed(request, body, principal)
    try:
        version, problem = if_match(request), None
    except CommandMalformed as error:
        version, problem = None, error
    return Write(decode=body.commands, triggers=tuple(names), problem=problem, version=version, version_required=not free, key=key)


def if_match(request: RequestParts) -> int | None:
    """The version in If-Match; None where there is none. Raises CommandMalformed."""
    told = request.headers.get("if-match")
    if told is None:
        return None
    match = _ETAG.fullmatch(told.strip())
    if match is None:
        raise CommandMalformed('If-Match must be one version as in ETag, such as "7".')
    return int(match[1])


def keyed(request: RequestParts, body: Body, principal: Principal) -> tuple[IdempotencyKey | None, Body]:
    """The idempotency key and the body; of a key that cannot be read, the body will tell when it is decoded."""
    try:
        return key_of(request, body, principal), body
    except CommandMalformed as error:
        return None, Body(body.raw, error)


def key_of(request: RequestParts, body: Body, principal: Principal) -> IdempotencyKey | None:
    """The idempotency key with all that it is scoped to. Raises CommandMalformed."""
    told = request.headers.get("idempotency-key")
    if told is None:
        return None
    if not _KEY.fullmatch(told):
        raise CommandMalformed("Idempotency-Key must have 1 to 255 visible ASCII characters.")
    scope = "\n".join([principal.person, principal.role, request.method, request.scope["path"], told])
    return IdempotencyKey(hashlib.sha256(scope.encode()).hexdigest(), hashlib.sha256(body.raw).hexdigest())


def moment(name: str, told: str | None) -> dt.datetime | None:
    """A time in a query: RFC 3339 with an offset. A `+` that arrived as a space is taken for what it was."""
    if told is None:
        return None
    try:
        found = msgspec.convert(told.replace(" ", "+"), Moment)
    except msgspec.ValidationError:
        raise CommandInvalid([Fault(name, "must be an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z")]) from None
    if found.year not in YEARS:
        raise CommandInvalid([Fault(name, IN_YEARS)])
    return found.astimezone(dt.UTC)


def limit_of(request: ApiRequest, told: int | None) -> int:
    settings = request.app.state.clinic.settings
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
        position = msgspec.json.decode(base64.urlsafe_b64decode(told.encode()), type=struct)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        position = None
    if position is None or cursor_text(position) != told:
        raise CommandMalformed("The cursor is not one of this list. Start again without it.")
    return position


def cursor_text(position: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def page(items: list[Any], limit: int, position: Callable[[Any], msgspec.Struct]) -> tuple[list[Any], str | None]:
    """The items of a page, and where the next one begins if there is one; `items` were asked for with one more than the limit."""
    if len(items) <= limit:
        return items, None
    return items[:limit], cursor_text(position(items[limit - 1]))
