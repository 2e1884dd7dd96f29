"""FHIR R4: the routes. They only read; under /fhir an error is an OperationOutcome (`fhir_outcomes`)."""

import re
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api import oauth_errors
from ipt_workflow.api.addresses import absolute
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.fhir_batch import answers
from ipt_workflow.api.fhir_bundles import searchset, version_entry
from ipt_workflow.api.fhir_outcomes import FHIR_JSON
from ipt_workflow.api.fhir_queries import BASE, count_of, negotiated, parameters, query_of, strict, subset_of
from ipt_workflow.api.requests import ApiRequest, cursor, cursor_text, has_current, moment
from ipt_workflow.api.scopes import require_brought
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.fhir.capability import capability_statement
from ipt_workflow.ehr.fhir.kinds import KINDS
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import Bundle, BundleLink
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.ehr.fhir_charts import NOT_THERE
from ipt_workflow.ehr.fhir_histories import HistoryPosition, Versions
from ipt_workflow.ehr.fhir_searches import Found
from ipt_workflow.errors import CommandInvalid, Fault, NotFound

OF_HISTORY = frozenset({"_since", "_count", "_cursor", "_format", "_pretty"})


def answer(body: Any, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(msgspec.json.encode(body), media_type=FHIR_JSON, headers=headers or {})


def versioned(request: ApiRequest, resource: Resource) -> Response[bytes]:
    """A resource, or the part that the caller wants, with its ETag; 304 if the caller has this version already."""
    meta = resource.meta
    headers = {"ETag": f'W/"{meta.version_id}"'} if meta and meta.version_id else {}
    if meta and meta.last_updated:
        headers["Last-Modified"] = format_datetime(meta.last_updated, usegmt=True)
    if has_current(request, meta.version_id if meta else None):
        return Response(b"", status_code=304, media_type=FHIR_JSON, headers=headers)
    return answer(subset_of(request, resource.kind).of(resource), headers)


@get(f"{BASE}/metadata", summary="The FHIR capabilities", tags=["fhir"])
async def metadata(request: ApiRequest) -> Response[bytes]:
    """The CapabilityStatement: resources, interactions, search parameters."""
    return answer(capability_statement(negotiated(request), absolute(request, oauth_errors.PATH)))


@post(BASE, summary="A batch of FHIR reads", tags=["fhir"], status_code=200)
async def batch(request: ApiRequest) -> Response[bytes]:
    """Takes a Bundle of type batch whose entries are GETs. Each entry is answered as if it had been sent by itself."""
    return answer(await answers(request, negotiated(request)))


@get(f"{BASE}/{{kind:str}}/{{resource_id:str}}", summary="Read a resource", tags=["fhir"])
async def read(request: ApiRequest, kind: FromPath[str], resource_id: FromPath[str]) -> Response[bytes]:
    """The resource as it is now. With `If-None-Match`, the answer is 304 if nothing has changed."""
    return versioned(request, await services_of(request).fhir.read(principal_of(request), negotiated(request), kind, resource_id))


@get(f"{BASE}/{{kind:str}}/{{resource_id:str}}/_history/{{version:str}}", summary="Read a version", tags=["fhir"])
async def vread(request: ApiRequest, kind: FromPath[str], resource_id: FromPath[str], version: FromPath[str]) -> Response[bytes]:
    """The resource at an earlier version. The version is the `seq` of an entry in the journal."""
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise NotFound(NOT_THERE)
    principal, site = principal_of(request), negotiated(request)
    return versioned(request, await services_of(request).fhir.read(principal, site, kind, resource_id, int(version)))


@get(f"{BASE}/{{kind:str}}", summary="Search", tags=["fhir"])
async def search(request: ApiRequest, kind: FromPath[str]) -> Response[bytes]:
    """Searches by the parameters in the CapabilityStatement. A URL must never name a client by the EHR's identifier."""
    return await _search(request, kind)


@post(f"{BASE}/{{kind:str}}/_search", summary="Search with a form", tags=["fhir"], status_code=200)
async def search_with_form(request: ApiRequest, kind: FromPath[str]) -> Response[bytes]:
    """The same search with the parameters in the body, and also by the EHR's identifier of a client."""
    return await _search(request, kind)


@get(f"{BASE}/{{kind:str}}/{{resource_id:str}}/{{member:str}}", summary="Search a client's resources", tags=["fhir"])
async def compartment(
    request: ApiRequest, kind: FromPath[str], resource_id: FromPath[str], member: FromPath[str]
) -> Response[bytes]:
    """Searches resources of one kind (`member`) among those of a Patient. `kind` is `Patient`."""
    if kind != "Patient" or member not in KINDS or not KINDS[member].patient:
        raise NotFound("Only a Patient has a compartment, and only resources of a client are in it. See /fhir/R4/metadata.")
    site, principal, fhir = negotiated(request), principal_of(request), services_of(request).fhir
    await fhir.require(principal, member)
    await fhir.require_client(principal, site, resource_id)
    return await _search(request, member, client=resource_id)


async def _search(request: ApiRequest, kind: str, client: str | None = None) -> Response[bytes]:
    site, principal = negotiated(request), principal_of(request)
    await services_of(request).fhir.require(principal, kind)
    searches, search = services_of(request).fhir_searches, await query_of(request, site, kind, client)
    await require_brought(searches.clinic, principal, kind, search.query)
    path = f"{site.base}/Patient/{client}/{kind}" if client else f"{site.base}/{kind}"
    found = (
        Found(()) if search.only_count else await searches.search(principal, site, kind, search.query, search.after, search.count)
    )
    counted = search.only_count or search.with_total
    total = await searches.count(principal, site, kind, search.query) if counted else None
    return answer(searchset(site, path, search, found, total))


@get(f"{BASE}/{{kind:str}}/_history", summary="The versions of a kind", tags=["fhir"])
async def history_of_kind(request: ApiRequest, kind: FromPath[str]) -> Response[bytes]:
    """Versions of all resources of a kind that the caller may see, newest first. `_since` and `_count` limit the list."""
    return await _history(request, kind, None)


@get(f"{BASE}/{{kind:str}}/{{resource_id:str}}/_history", summary="A resource's versions", tags=["fhir"])
async def history(request: ApiRequest, kind: FromPath[str], resource_id: FromPath[str]) -> Response[bytes]:
    """Versions of a resource, newest first, each as it was known when it was recorded. `_since` and `_count` limit the list."""
    return await _history(request, kind, resource_id)


async def _history(request: ApiRequest, kind: str, resource_id: str | None) -> Response[bytes]:
    site, principal, histories = negotiated(request), principal_of(request), services_of(request).fhir_histories
    await services_of(request).fhir.require(principal, kind)
    query = dict((await parameters(request))[0])
    unknown = sorted(query.keys() - OF_HISTORY)
    if unknown and strict(request):
        raise CommandInvalid([Fault(name, "is not supported") for name in unknown])
    since, count = moment("_since", query.get("_since")), count_of(request, query.get("_count"))
    if isinstance(count, Fault):
        raise CommandInvalid([count])
    before = cursor(query.get("_cursor"), HistoryPosition, HistoryPosition())
    if resource_id is None:
        found: Versions = await histories.of_kind(principal, site, kind, since, before, count)
    else:
        found = await histories.of_resource(principal, site, kind, resource_id, since, before, count)
    path = f"{site.base}/{kind}/_history" if resource_id is None else f"{site.base}/{kind}/{resource_id}/_history"
    repeat = {name: query[name] for name in ("_since",) if name in query} | {"_count": str(count)}
    return answer(_versions(site, path, repeat, found))


def _versions(site: Site, path: str, repeat: dict[str, str], found: Versions) -> Bundle:
    links = [BundleLink(relation="self", url=f"{path}?{urlencode(repeat)}")]
    if found.next:
        links.append(BundleLink(relation="next", url=f"{path}?{urlencode({**repeat, '_cursor': cursor_text(found.next)})}"))
    entries = tuple(version_entry(site, each) for each in found.resources)
    return Bundle(type="history", total=found.total, link=tuple(links), entry=entries)


HANDLERS = (read, vread, search, search_with_form, compartment, history, history_of_kind, batch)
METADATA = (metadata,)
