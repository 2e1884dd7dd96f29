"""A batch of FHIR reads. Each entry goes through the router as a request of its own, with the caller's token and request id."""

from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

import msgspec
from litestar.datastructures import Headers

from ipt_workflow.api import fhir_outcomes as outcomes
from ipt_workflow.api.fhir_queries import BASE
from ipt_workflow.api.request_reader import incoming_of
from ipt_workflow.api.requests import ApiRequest, UnsupportedMediaType, media_type
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import Bundle, BundleEntry, OperationOutcome, Response
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.runtime.documents import json_value
from ipt_workflow.values.faults import schema_faults

ENTRIES_MAX = 100
BYTES_MAX = 8_000_000  # of all answers together
JSON = frozenset({outcomes.FHIR_JSON, "application/json"})
KEPT = frozenset({b"authorization", b"accept", b"prefer"})  # headers of the batch that also hold for each entry


class SentRequest(msgspec.Struct, frozen=True, rename="camel"):
    method: str
    url: str
    if_none_match: str | None = None


class SentEntry(msgspec.Struct, frozen=True):
    request: SentRequest


class SentBundle(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str
    type: str
    entry: tuple[SentEntry, ...] = ()


async def answers(request: ApiRequest, site: Site) -> Bundle:
    """The answers to a batch, in its order. Raises CommandMalformed or CommandInvalid if the Bundle is no batch of reads."""
    sent = await _read(request)
    entries: list[BundleEntry] = []
    size = 0
    for each in sent.entry:
        if size > BYTES_MAX:
            entries.append(
                _refused(
                    "413 Content Too Large", "too-costly", "The answers to earlier entries fill the batch. Send this by itself."
                )
            )
            continue
        entry, length = await _answer(request, site, each.request)
        entries.append(entry)
        size += length
    return Bundle(type="batch-response", entry=tuple(entries))


async def _read(request: ApiRequest) -> SentBundle:
    if media_type(request) not in JSON:
        raise UnsupportedMediaType
    raw = await incoming_of(request).body()
    try:
        document = json_value(raw)
    except CommandMalformed as error:
        raise CommandMalformed(f"The body {error}.") from None
    try:
        sent = msgspec.convert(document, SentBundle)
    except msgspec.ValidationError as error:
        faults = schema_faults(SentBundle, document, "", str(error)) if isinstance(document, dict) else []
        raise CommandInvalid(faults or [Fault("", "must be a Bundle of type batch")]) from None
    if sent.resource_type != "Bundle" or sent.type != "batch":
        raise CommandInvalid(
            [Fault("type", "must be batch: this service only reads, so it takes no transaction and no other Bundle")]
        )
    if len(sent.entry) > ENTRIES_MAX:
        raise CommandInvalid([Fault("entry", f"must have at most {ENTRIES_MAX} entries: send several batches")])
    return sent


async def _answer(request: ApiRequest, site: Site, sent: SentRequest) -> tuple[BundleEntry, int]:
    """The answer to one entry, and the length of its body."""
    if sent.method != "GET":
        return _refused("405 Method Not Allowed", "not-supported", "A batch takes GET alone."), 0
    path, _, query = sent.url.removeprefix(f"{site.base}/").removeprefix(f"{BASE}/").removeprefix("/").partition("?")
    if "://" in path or any(part in {"", ".", ".."} for part in unquote(path).split("/")):
        return _refused(
            "404 Not Found", "not-found", "The URL must name a resource or a search of this service, such as Encounter?_count=5."
        ), 0
    status, headers, body = await _routed(request, f"{BASE}/{path}", query, sent.if_none_match)
    response = Response(
        status=f"{status}",
        etag=headers.get("etag"),
        last_modified=parsedate_to_datetime(headers["last-modified"]) if "last-modified" in headers else None,
        outcome=msgspec.Raw(body) if status >= 400 else None,
    )
    return BundleEntry(resource=msgspec.Raw(body) if status == 200 else None, response=response), len(body)


async def _routed(request: ApiRequest, path: str, query: str, if_none_match: str | None) -> tuple[int, Headers, bytes]:
    """Sends a GET through the router, and collects its answer."""
    outer = request.scope
    headers = [(name, value) for name, value in outer["headers"] if name in KEPT]
    headers += [(b"if-none-match", if_none_match.encode())] if if_none_match else []
    scope: Any = {
        **{
            name: outer[name]
            for name in ("type", "asgi", "http_version", "scheme", "root_path", "client", "server")
            if name in outer
        },
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "state": {},
        "ipt_request_id": outer.get("ipt_request_id"),
    }
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await request.app(scope, receive, send)
    start = next(each for each in messages if each["type"] == "http.response.start")
    body = b"".join(each.get("body", b"") for each in messages if each["type"] == "http.response.body")
    return start["status"], Headers(start["headers"]), body


def _refused(status: str, code: str, sentence: str) -> BundleEntry:
    outcome: OperationOutcome = outcomes.outcome(code, "Refused", [sentence])
    return BundleEntry(response=Response(status=status, outcome=outcome))
