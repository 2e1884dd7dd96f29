"""Reading requests: bodies, preconditions, idempotency keys, cursors, filters. Every fault says what would be valid."""

import base64
import binascii
import contextlib
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
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
from ipt_workflow.api.request_reader import incoming_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course import references, triggers
from ipt_workflow.course.commands import faults_as_sent
from ipt_workflow.course.triggers import Command, Together
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.protocols.definition import PHASE_ID
from ipt_workflow.runtime.documents import json_value
from ipt_workflow.service.writes import CrisisCall, IdempotencyKey, Opening, Write
from ipt_workflow.values.faults import IN_YEARS, YEARS, schema_faults, shaped
from ipt_workflow.values.types import Moment, whole

ApiRequest = Request[Any, Any, State]
Shape = TypeVar("Shape", bound=msgspec.Struct)
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"|([0-9]{1,9})')
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_BEGIN = re.compile(triggers.BEGIN_PREFIX + PHASE_ID.pattern)

FilterText = Annotated[str, Meta(max_length=128, pattern=whole(r"[^\x00-\x1f]*"))]  # a filter's value
_ID = re.compile("[0-9a-f-]{36}")
WITH_COMMANDS = (Opening, CrisisCall)  # bodies that hold commands, or are one
Id = Annotated[str, Meta(pattern=whole(_ID.pattern))]


class NoNul(ASGIMiddleware):
    """Refuses a URL that contains a NUL: no name has one, and PostgreSQL takes none. Raises CommandMalformed."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if "\x00" in scope["path"] or b"%00" in scope["query_string"] or b"\x00" in scope["query_string"]:
            raise CommandMalformed("The URL contains a NUL character (%00). Remove it.")
        await next_app(scope, receive, send)


class UnsupportedMediaType(HTTPException):
    status_code = 415


class RequestParts(Protocol):
    """The parts of a request that a write needs. The router's request has them, and so has `Incoming`."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def method(self) -> str: ...
    @property
    def scope(self) -> Any: ...
    @property
    def path_params(self) -> Mapping[str, Any]: ...


class Body:
    """A body that is read but not yet decoded. Its faults are raised only after the checks of access and precondition."""

    def __init__(self, raw: bytes, problem: Exception | None) -> None:
        self.raw = raw
        self._problem = problem
        self._value: Any = None

    def value(self) -> dict[str, Any]:
        """The JSON object. Raises the error that reading it met, or CommandMalformed."""
        if self._problem:
            raise self._problem
        return self._object()

    def _object(self) -> dict[str, Any]:
        if self._value is None:
            try:
                self._value = json_value(self.raw)
            except CommandMalformed as error:
                raise CommandMalformed(f"The body {error}.") from None
        if not isinstance(self._value, dict):
            raise CommandMalformed("The body must be a JSON object.")
        return self._value

    def shape(self, struct: type[Shape]) -> Shape:
        """The body as a Struct. Raises CommandInvalid with every fault."""
        value = self.value()
        try:
            return shaped(struct, value)
        except CommandInvalid as error:
            inner = _command_faults(value) if struct in WITH_COMMANDS else []
            raise CommandInvalid(_all(error.faults, inner)) from None

    def commands(self) -> tuple[Command, ...]:
        """One command, or several together. Raises CommandInvalid with every fault, including those of the data."""
        value = self.value()
        shape: type[Together | Command] = Together if "together" in value else Command
        try:
            found = msgspec.convert(value, shape)
        except msgspec.ValidationError as error:
            raise CommandInvalid(_all(schema_faults(shape, value, "", str(error)), _command_faults(value))) from None
        return found.together if isinstance(found, Together) else (found,)

    def triggers(self) -> list[str]:
        """The names of the triggers. A name that no trigger can have becomes empty, so that free text is neither logged nor recorded."""
        try:
            value = self._object()
        except CommandMalformed:
            return []
        commands = value.get("together", [value])
        commands = commands if isinstance(commands, list) else []
        names = [str(each.get("trigger")) for each in commands if isinstance(each, dict)]
        return [name if name in triggers.BY_NAME or _BEGIN.fullmatch(name) else "" for name in names]


def _all(of_shape: Sequence[Fault], of_commands: list[Fault]) -> list[Fault]:
    """The faults of a body's shape, and those of its commands in other places: of what cannot be read, nothing is also missing."""
    places = tuple({fault.where for fault in of_shape})
    inside = tuple(f"{place}." for place in places)
    return [*of_shape, *(each for each in of_commands if each.where not in places and not each.where.startswith(inside))]


def _command_faults(value: dict[str, Any]) -> list[Fault]:
    """The faults of every command whose trigger is known, beside those of the body's shape."""
    together = value.get("together")
    if not isinstance(together, list):
        return _faults_of(value)
    return [
        msgspec.structs.replace(fault, where=f"together[{index}].{fault.where}")
        for index, each in enumerate(together)
        if isinstance(each, dict)
        for fault in _faults_of(each)
    ]


def _faults_of(sent: dict[str, Any]) -> list[Fault]:
    """The faults of a command as it was sent: in its data, its reason, its time and the rules that it overrides."""
    name = str(sent.get("trigger", "refer" if "client_ref" in sent else None))
    data, override, occurred_at = sent.get("data"), sent.get("override"), None
    rules = override.get("rules") if isinstance(override, dict) else None
    with contextlib.suppress(msgspec.ValidationError):  # that is a fault of the shape
        occurred_at = msgspec.convert(sent.get("occurred_at"), Moment | None)
    known = references.numbered(name, data if isinstance(data, dict) else {})
    return faults_as_sent(name, known, sent.get("reason"), rules if isinstance(rules, list) else (), occurred_at)


def media_type(request: RequestParts) -> str:
    """The type of the body, without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: RequestParts) -> Body:
    problem: HTTPException | None = None if media_type(request) == "application/json" else UnsupportedMediaType()
    try:
        raw = await incoming_of(request).body()
    except HTTPException as error:
        return Body(b"", error)
    return Body(raw, problem)


def write_of(request: RequestParts, body: Body, principal: Principal) -> Write:
    """The write in the form that the service takes."""
    names = body.triggers()
    rows = [triggers.BY_NAME.get(name) for name in names]
    never_blocked = bool(rows) and all(row is not None and row.never_blocked for row in rows)
    course = str(request.path_params.get("course_id", ""))
    request.scope["ipt_log"] = {
        "trigger": ",".join(filter(None, names))[:200],
        "course_id": course if _ID.fullmatch(course) else None,  # anything else may be free text, which must not reach a log
    }
    key, body = keyed(request, body, principal)
    try:
        version, problem = if_match(request), None
    except CommandMalformed as error:
        version, problem = None, error
    return Write(
        decode=body.commands,
        triggers=tuple(names),
        problem=problem,
        version=version,
        version_required=not never_blocked,
        key=key,
        entries_only=prefers_minimal(request),
    )


def prefers_minimal(request: RequestParts) -> bool:
    """Whether the request prefers an answer without the course: `Prefer: return=minimal` (RFC 7240)."""
    return preferred_return(request.headers.get("prefer", "")) == "minimal"


def preferred_return(header: str) -> str:
    """What `return` says in a Prefer header (RFC 7240), in lower case; empty if it says nothing. Of several, the first applies."""
    preferences = header.lower().split(",")
    named = [preference.partition(";")[0].replace('"', "").replace(" ", "") for preference in preferences]
    return next((name.removeprefix("return=") for name in named if name.startswith("return=")), "")


def if_match(request: RequestParts) -> int | None:
    """The version in If-Match, or None without the header. Raises CommandMalformed.

    `W/"7"` is version 7 too: a proxy weakens the ETag of an answer that it compresses.
    """
    header = request.headers.get("if-match")
    if header is None:
        return None
    match = _ETAG.fullmatch(header.strip())
    if match is None:
        raise CommandMalformed('If-Match must be the one version that ETag gave, such as "7".')
    return int(match[1] or match[2])


def has_current(request: RequestParts, version: str | None) -> bool:
    """Whether If-None-Match names this version, or with `*` any. Weak and strong tags are alike. `version` is None without an ETag."""
    header = request.headers.get("if-none-match", "").strip()
    return header == "*" or version in _TAG.findall(header)


def keyed(request: RequestParts, body: Body, principal: Principal) -> tuple[IdempotencyKey | None, Body]:
    """The idempotency key and the body. If the key is malformed, decoding the body raises that error."""
    try:
        return key_of(request, body, principal), body
    except CommandMalformed as error:
        return None, Body(body.raw, error)


def key_of(request: RequestParts, body: Body, principal: Principal) -> IdempotencyKey | None:
    """The idempotency key, scoped to caller, role, method and path. Raises CommandMalformed."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise CommandMalformed("Idempotency-Key must have 1 to 255 visible ASCII characters.")
    scope = "\n".join([principal.person, principal.role, request.method, request.scope["path"], header])
    return IdempotencyKey(hashlib.sha256(scope.encode()).hexdigest(), hashlib.sha256(body.raw).hexdigest())


def moment(name: str, text: str | None) -> dt.datetime | None:
    """A time in a query: RFC 3339 with an offset. URL decoding makes a space of `+`; here it becomes `+` again."""
    if text is None:
        return None
    try:
        found = msgspec.convert(text.replace(" ", "+"), Moment)
    except msgspec.ValidationError:
        raise CommandInvalid([Fault(name, "must be an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z")]) from None
    if found.year not in YEARS:
        raise CommandInvalid([Fault(name, IN_YEARS)])
    return found.astimezone(dt.UTC)


def limit_of(request: ApiRequest, requested: int | None) -> int:
    settings = services_of(request).clinic.settings
    limit: int = settings.page_limit_default if requested is None else requested
    if not 1 <= limit <= settings.page_limit_max:
        raise CommandInvalid([Fault("limit", f"must be from 1 to {settings.page_limit_max}")])
    return limit


def one_of(name: str, value: str | None, known: tuple[str, ...]) -> str | None:
    if value is not None and value not in known:
        raise CommandInvalid([Fault(name, f"must be one of {', '.join(known)}")])
    return value


def cursor(text: str | None, struct: type[Shape], start: Shape) -> Shape:
    """The position after which a list continues. Raises CommandMalformed for a cursor that this list did not give."""
    if text is None:
        return start
    try:
        position = msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=struct)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        position = None
    if position is None or cursor_text(position) != text:
        raise CommandMalformed("The cursor does not belong to this list. Start again without it.")
    return position


def cursor_text(position: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def page(items: list[Any], limit: int, position: Callable[[Any], msgspec.Struct]) -> tuple[list[Any], str | None]:
    """The items of one page, and the cursor of the next page or None. `items` holds up to one more than the limit."""
    if len(items) <= limit:
        return items, None
    return items[:limit], cursor_text(position(items[limit - 1]))
