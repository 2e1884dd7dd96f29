"""`$everything`: a client with all that is served of their courses, as one Bundle or in pages."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.scopes import Need, allows
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.fhir import answer
from ipt_workflow.api.fhir_bundles import INCLUDED, MATCH, ignored
from ipt_workflow.api.fhir_queries import BASE, count_of, negotiated, parameters, strict
from ipt_workflow.api.requests import ApiRequest, cursor, cursor_text, moment
from ipt_workflow.api.scopes import require_kinds
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.fhir.compartment import MEMBERS, MemberKind, MemberPlace, WantedMembers
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import Bundle, BundleEntry, BundleLink
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.ehr.fhir_searches import PAGE_RESOURCES
from ipt_workflow.errors import CommandInvalid, Fault, NotFound

OF_A_PATIENT = "Only a Patient has $everything. See /fhir/R4/metadata."
PARAMETERS = ("start", "end", "_since", "_type", "_count", "_cursor", "_format")
START = MemberPlace(-1, "", 0)


class MembersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A request for everything. `repeated` are the parameters that its links repeat, `unknown` the names of those that are ignored."""

    wanted: WantedMembers
    count: int
    after: MemberPlace | None
    repeated: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


@get(f"{BASE}/{{kind:str}}/{{resource_id:str}}/$everything", summary="Everything of a client", tags=["fhir"])
async def everything(request: ApiRequest, kind: FromPath[str], resource_id: FromPath[str]) -> Response[bytes]:
    """A Patient with all that is served of their courses, and the protocols that they follow. `kind` is `Patient`.

    `start` and `end` bound the time of care, `_since` the time of the last change, `_type` the kinds of resources. With `_count`, in pages.
    """
    if kind != "Patient":
        raise NotFound(OF_A_PATIENT)
    site, principal = negotiated(request), principal_of(request)
    asked = await _asked(request, principal)
    page = await services_of(request).rights.everything.page(principal, site, resource_id, asked.wanted, asked.after, asked.count)
    path = f"{site.base}/Patient/{resource_id}/$everything"
    links = [BundleLink(relation="self", url=_url(path, asked.repeated))]
    if page.next:
        links.append(BundleLink(relation="next", url=_url(path, (*asked.repeated, ("_cursor", cursor_text(page.next))))))
    entries = (*ignored(asked.unknown), *(_entry(site, each) for each in page.resources))
    return answer(Bundle(type="searchset", total=page.total, link=tuple(links), entry=entries))


async def _asked(request: ApiRequest, principal: Principal) -> MembersQuery:
    """Raises CommandInvalid with every fault, and ScopeMissing for a named kind that the caller's scopes do not cover."""
    pairs, _ = await parameters(request)
    given = dict(pairs)
    named = tuple(each for name, value in pairs if name == "_type" for each in value.split(",") if each)
    unknown = tuple(dict.fromkeys(name for name, _ in pairs if name not in PARAMETERS))
    count = count_of(request, given["_count"]) if "_count" in given else PAGE_RESOURCES
    wanted = WantedMembers(
        kinds=await _kinds(request, principal, named),
        start=given.get("start"),
        end=given.get("end"),
        since=moment("_since", given.get("_since")),
    )
    faults = [*wanted.faults(), *([count] if isinstance(count, Fault) else [])]
    faults += [Fault(name, "is not supported") for name in unknown] if strict(request) else []
    if faults:
        raise CommandInvalid(faults)
    assert isinstance(count, int)
    after = cursor(given.get("_cursor"), MemberPlace, START)
    repeated = [(name, value) for name, value in pairs if name in PARAMETERS and name not in {"_cursor", "_format"}]
    return MembersQuery(
        wanted=wanted, count=count, after=None if after == START else after, repeated=tuple(repeated), unknown=unknown
    )


async def _kinds(request: ApiRequest, principal: Principal, named: tuple[str, ...]) -> tuple[MemberKind, ...]:
    """The kinds that `_type` names; without it, all that the caller's scopes cover."""
    if any(each not in MEMBERS for each in named):
        raise CommandInvalid([Fault("_type", f"must be among {', '.join(MEMBERS)}, separated by commas")])
    if named:
        await require_kinds(services_of(request).clinic, principal, named, "fhir everything Patient")
    wanted: Any = named or MEMBERS
    return tuple(each for each in wanted if principal.scopes is None or allows(principal.scopes, Need(each, "s")))


def _url(path: str, pairs: tuple[tuple[str, str], ...]) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _entry(site: Site, resource: Resource) -> BundleEntry:
    """A protocol belongs to no client: it is included because a plan follows it."""
    mode = INCLUDED if resource.kind == "PlanDefinition" else MATCH
    return BundleEntry(full_url=f"{site.base}/{resource.local}", resource=resource, search=mode)


HANDLERS = (everything,)
