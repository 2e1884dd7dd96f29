"""Bundles: a page of a search, and a page of versions."""

from collections.abc import Iterable

from ipt_workflow.api.fhir_outcomes import outcome
from ipt_workflow.api.fhir_queries import FhirQuery
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import Bundle, BundleEntry, BundleLink, BundleSearch, Request, Response
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.ehr.fhir_searches import Found

MATCH, INCLUDED, OUTCOME = BundleSearch(mode="match"), BundleSearch(mode="include"), BundleSearch(mode="outcome")


def searchset(site: Site, path: str, search: FhirQuery, found: Found, total: int | None) -> Bundle:
    """`path` is the URL of the search without its parameters."""
    links = [BundleLink(relation="self", url=search.link(path))]
    links += [BundleLink(relation="next", url=search.link(path, found.next))] if found.next else []
    entries = [
        *ignored(search.ignored),
        *(_entry(site, search, each, MATCH) for each in found.resources),
        *(_entry(site, search, each, INCLUDED) for each in found.included),
    ]
    return Bundle(type="searchset", total=total, link=tuple(links), entry=tuple(entries))


def ignored(names: Iterable[str]) -> list[BundleEntry]:
    """An OperationOutcome that names the ignored parameters; nothing if none was ignored."""
    found = [f"{name}: is not supported, or not with this value" for name in names]
    return [BundleEntry(resource=outcome("not-supported", "Ignored", found, "warning"), search=OUTCOME)] if found else []


def _entry(site: Site, search: FhirQuery, resource: Resource, mode: BundleSearch) -> BundleEntry:
    return BundleEntry(full_url=f"{site.base}/{resource.local}", resource=search.subset.of(resource), search=mode)


def version_entry(site: Site, resource: Resource) -> BundleEntry:
    """A version as an entry of a history. The first version of a resource is its creation."""
    meta = resource.meta
    version = meta.version_id if meta else None
    created = version == "1"
    return BundleEntry(
        full_url=f"{site.base}/{resource.local}",
        resource=resource,
        request=Request(method="POST", url=resource.kind) if created else Request(method="PUT", url=resource.local),
        response=Response(
            status="201" if created else "200",
            etag=f'W/"{version}"' if version else None,
            last_modified=meta.last_updated if meta else None,
        ),
    )
