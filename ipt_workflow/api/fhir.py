"""FHIR R4: the routes. They only read; under /fhir an error is an OperationOutcome (`fhir_outcomes`)."""

import re
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.fhir_outcomes import FHIR_JSON
from ipt_workflow.api.fhir_queries import BASE, FhirQuery, parameters, query_of, site_of, strict
from ipt_workflow.api.requests import ApiRequest, cursor, cursor_text, moment
from ipt_workflow.api.transitions import AfterSeq
from ipt_workflow.ehr.fhir.capability import capability_statement
from ipt_workflow.ehr.fhir.kinds import KINDS
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import Bundle, BundleEntry, BundleLink, BundleSearch, Issue, OperationOutcome, Request
from ipt_workflow.ehr.fhir.resources import Response as VersionResponse
from ipt_workflow.ehr.fhir.types import Resource, concept
from ipt_workflow.ehr.fhir_reads import NOT_THERE
from ipt_workflow.errors import CommandInvalid, Fault, NotFound

FORMATS = frozenset({"json", "application/json", "application/fhir+json", "text/json"})
ACCEPTED = frozenset({"application/fhir+json", "application/json", "application/*", "*/*"})


class NotAcceptable(HTTPException):
    status_code = 406


def negotiated(request: ApiRequest) -> Site:
    """This service's names. Raises NotAcceptable if the caller does not accept JSON."""
    requested = request.query_params.get("_format")
    if requested is not None and requested.partition(";")[0].strip() not in FORMATS:
        raise NotAcceptable
    kinds = {kind.partition(";")[0].strip().lower() for kind in request.headers.get("accept", "*/*").split(",")}
    if requested is None and not kinds & ACCEPTED:
        raise NotAcceptable
    return site_of(request)


def answer(body: Any, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(msgspec.json.encode(body), media_type=FHIR_JSON, headers=headers or {})


def versioned(request: ApiRequest, resource: Resource) -> Response[bytes]:
    """A resource with its ETag; 304 if the caller has this version already."""
    meta = resource.meta
    etag = f'W/"{meta.version_id}"' if meta and meta.version_id else None
    headers = {"ETag": etag} if etag else {}
    if meta and meta.last_updated:
        headers["Last-Modified"] = format_datetime(meta.last_updated, usegmt=True)
    known = re.findall(r'"([^"]*)"', request.headers.get("if-none-match", ""))
    if etag and meta and meta.version_id in known:
        return Response(b"", status_code=304, media_type=FHIR_JSON, headers=headers)
    return answer(resource, headers)


@get(f"{BASE}/metadata", summary="The FHIR capabilities", tags=["fhir"])
async def metadata(request: ApiRequest) -> Response[bytes]:
    """The CapabilityStatement: resources, interactions, search parameters."""
    return answer(capability_statement(negotiated(request), request.app.state.clinic.clock.now()))


@get(f"{BASE}/{{kind:str}}/{{resource_id:str}}", summary="Read a resource", tags=["fhir"])
async def read(request: ApiRequest, kind: FromPath[str], resource_id: FromPath[str]) -> Response[bytes]:
    """The resource as it is now. With `If-None-Match`, the answer is 304 if nothing has changed."""
    return versioned(request, await request.app.state.fhir.read(principal_of(request), negotiated(request), kind, resource_id))


@get(f"{BASE}/{{kind:str}}/{{resource_id:str}}/_history/{{version:str}}", summary="Read a version", tags=["fhir"])
async def vread(request: ApiRequest, kind: FromPath[str], resource_id: FromPath[str], version: FromPath[str]) -> Response[bytes]:
    """The resource at an earlier version. The version is the `seq` of an entry in the journal."""
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise NotFound(NOT_THERE)
    principal, site = principal_of(request), negotiated(request)
    return versioned(request, await request.app.state.fhir.read(principal, site, kind, resource_id, int(version)))


@get(f"{BASE}/{{kind:str}}", summary="Search", tags=["fhir"])
async def search(request: ApiRequest, kind: FromPath[str]) -> Response[bytes]:
    """Searches by the parameters in the CapabilityStatement, except by client: a URL must never name a client."""
    return await _search(request, kind)


@post(f"{BASE}/{{kind:str}}/_search", summary="Search with a form", tags=["fhir"], status_code=200)
async def search_with_form(request: ApiRequest, kind: FromPath[str]) -> Response[bytes]:
    """The same search with the parameters in the body, and also by client."""
    return await _search(request, kind)


async def _search(request: ApiRequest, kind: str) -> Response[bytes]:
    site, principal, fhir = negotiated(request), principal_of(request), request.app.state.fhir
    fhir.require(principal, kind)
    search = await query_of(request, site, kind)
    path = f"{site.base}/{kind}"
    if search.only_count:
        total = await fhir.count(principal, site, kind, search.query)
        return answer(Bundle(type="searchset", total=total, link=(BundleLink(relation="self", url=search.link(path)),)))
    found = await fhir.search(principal, site, kind, search.query, search.after, search.count)
    total = await fhir.count(principal, site, kind, search.query) if search.with_total else None
    links = [BundleLink(relation="self", url=search.link(path))]
    links += [BundleLink(relation="next", url=search.link(path, found.next))] if found.next else []
    entries = [*_ignored(search), *(_entry(site, each, BundleSearch(mode="match")) for each in found.resources)]
    return answer(Bundle(type="searchset", total=total, link=tuple(links), entry=tuple(entries)))


def _ignored(search: FhirQuery) -> list[BundleEntry]:
    """An OperationOutcome that names the ignored parameters; nothing if none was ignored."""
    issues = tuple(
        Issue(severity="warning", code="not-supported", details=concept(text="Ignored"), diagnostics=f"{name}: is not supported")
        for name in search.ignored
    )
    return [BundleEntry(resource=OperationOutcome(issue=issues), search=BundleSearch(mode="outcome"))] if issues else []


def _entry(site: Site, resource: Resource, mode: BundleSearch) -> BundleEntry:
    return BundleEntry(full_url=f"{site.base}/{resource.local}", resource=resource, search=mode)


@get(f"{BASE}/{{kind:str}}/{{resource_id:str}}/_history", summary="A course's versions", tags=["fhir"])
async def history(request: ApiRequest, kind: FromPath[str], resource_id: FromPath[str]) -> Response[bytes]:
    """Versions of an EpisodeOfCare, newest first: one for every entry of its journal. `_since` and `_count` limit the list."""
    site, principal = negotiated(request), principal_of(request)
    if kind not in KINDS or not KINDS[kind].history:
        raise NotFound("Only an EpisodeOfCare has a history. Read the history of the course that the resource belongs to.")
    query = dict((await parameters(request))[0])
    unknown = sorted(query.keys() - {"_since", "_count", "_cursor", "_format", "_pretty"})
    if unknown and strict(request):
        raise CommandInvalid([Fault(name, "is not supported") for name in unknown])
    since, count = moment("_since", query.get("_since")), _count(request, query.get("_count"))
    before = cursor(query.get("_cursor"), AfterSeq, AfterSeq()).seq or None
    versions, total = await request.app.state.fhir.history(principal, site, resource_id, since, before, count + 1)
    repeat = {name: query[name] for name in ("_since",) if name in query} | {"_count": str(count)}
    links = [BundleLink(relation="self", url=f"{site.base}/{kind}/{resource_id}/_history?{urlencode(repeat)}")]
    if len(versions) > count > 0:
        after = {**repeat, "_cursor": cursor_text(AfterSeq(_version(versions[count - 1])))}
        links.append(BundleLink(relation="next", url=f"{site.base}/{kind}/{resource_id}/_history?{urlencode(after)}"))
    entries = tuple(_version_entry(site, each) for each in versions[:count])
    return answer(Bundle(type="history", total=total, link=tuple(links), entry=entries))


def _count(request: ApiRequest, text: str | None) -> int:
    settings = request.app.state.clinic.settings
    if text is not None and not re.fullmatch("[0-9]{1,6}", text):
        raise CommandInvalid([Fault("_count", "must be a whole number of at most 6 digits")])
    count: int = min(settings.page_limit_default if text is None else int(text), settings.page_limit_max)
    return count


def _version(resource: Resource) -> int:
    assert resource.meta is not None
    return int(resource.meta.version_id or 0)


def _version_entry(site: Site, resource: Resource) -> BundleEntry:
    version = _version(resource)
    created = version == 1
    return BundleEntry(
        full_url=f"{site.base}/{resource.local}",
        resource=resource,
        request=Request(method="POST", url=resource.kind) if created else Request(method="PUT", url=resource.local),
        response=VersionResponse(
            status="201" if created else "200",
            etag=f'W/"{version}"',
            last_modified=resource.meta.last_updated if resource.meta else None,
        ),
    )


HANDLERS = (read, vread, search, search_with_form, history)
METADATA = (metadata,)
