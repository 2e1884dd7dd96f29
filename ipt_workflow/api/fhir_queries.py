"""Reading a FHIR search: parameters, handling, paging.

A parameter that is not valid is refused. An unknown one is ignored and reported, or refused under `Prefer: handling=strict`.
Only the body of a POST may name a client by the EHR's identifier. Links are URLs, so they carry our own opaque id of the client.
"""

import re
from urllib.parse import parse_qsl, urlencode

import msgspec

from ipt_workflow.api.addresses import absolute
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.fhir_formats import require_format, require_named
from ipt_workflow.api.fhir_parameters import Parameters, bare
from ipt_workflow.api.request_reader import incoming_of
from ipt_workflow.api.requests import ApiRequest, UnsupportedMediaType, cursor, cursor_text, media_type
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.fhir.kinds import KINDS
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.subsets import SUMMARIES, Subset
from ipt_workflow.ehr.fhir_searches import Query, SearchPosition
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault

BASE = "/fhir/R4"
FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 200
COUNT_DIGITS = 9  # more digits cannot mean less than the most that a page holds
Pairs = list[tuple[str, str]]


class FhirQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A search after decoding. Links to it repeat `processed`; `ignored` holds the names of unknown parameters."""

    query: Query
    after: SearchPosition
    count: int
    only_count: bool  # the caller wants the number of matches alone
    with_total: bool  # the caller wants the matches and their number
    subset: Subset
    processed: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]

    def link(self, path: str, after: SearchPosition | None = None) -> str:
        """A URL of this search, or with `after` of its next page."""
        pairs = [*self.processed, ("_count", str(self.count))]
        return f"{path}?{urlencode([*pairs, ('_cursor', cursor_text(after))] if after else pairs)}"


def site_of(request: ApiRequest) -> Site:
    """This service's names, with the base URL at which callers reach FHIR."""
    site: Site = services_of(request).fhir.site(absolute(request, BASE))
    return site


def negotiated(request: ApiRequest) -> Site:
    """This service's names for a caller who accepts JSON of R4. Raises NotAcceptable for any other."""
    require_format(request)
    return site_of(request)


async def parameters(request: ApiRequest) -> tuple[Pairs, Pairs]:
    """The parameters in the URL, and those in the body."""
    url = _pairs(request.scope["query_string"])
    if request.method != "POST":
        return url, []
    body = await incoming_of(request).body()
    if body and media_type(request) != FORM:
        raise UnsupportedMediaType
    return url, _pairs(body)


def _pairs(raw: bytes) -> Pairs:
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise CommandInvalid([Fault("", f"parameters must be UTF-8, and at most {FIELDS_MAX} of them")]) from None
    if any("\0" in part for pair in pairs for part in pair):
        raise CommandInvalid([Fault("", "no parameter may contain a NUL")])
    return pairs


def strict(request: ApiRequest) -> bool:
    return "handling=strict" in {preference.strip().lower() for preference in re.split("[,;]", request.headers.get("prefer", ""))}


def count_of(request: ApiRequest, text: str | None) -> int | Fault:
    """The size of a page: the setting's default, and never more than its maximum."""
    settings = services_of(request).clinic.settings
    if text is None:
        return int(settings.page_limit_default)
    if not text.isascii() or not text.isdigit():
        return Fault("_count", "must be a whole number, such as 50; 0 counts the matches")
    digits = text.lstrip("0")[: COUNT_DIGITS + 1] or "0"
    return min(int(digits), int(settings.page_limit_max))


def subset_of(request: ApiRequest, kind: str) -> Subset:
    """The part of a resource that a read asks for."""
    read = Parameters(kind)
    for name in ("_elements", "_summary"):
        for value in request.query_params.getall(name, []):
            read.take(name, value)
    return read.subset if kind in SUMMARIES else Subset()


async def query_of(request: ApiRequest, site: Site, kind: str, client: str | None = None) -> FhirQuery:
    """The search in a request. `client` is that of a compartment.

    Raises CommandInvalid with every fault. No fault repeats a value, which may identify a client.
    """
    url, body = await parameters(request)
    read = Parameters(kind, client)
    for pairs, in_url in ((url, True), (body, False)):
        for name, value in pairs:
            if bare(name) == "_format":
                require_named(value)
            read.take(name, value, in_url=in_url)
    count = count_of(request, read.results.get("_count"))
    faults = [*read.faults, *([count] if isinstance(count, Fault) else [])]
    if strict(request):
        faults += [Fault(name, "is not supported, or not with this value: see /fhir/R4/metadata") for name in read.ignored]
    if faults:
        raise CommandInvalid(faults)
    assert isinstance(count, int)
    named = read.client or await _identified(request, site, read)
    after = cursor(read.results.get("_cursor"), SearchPosition, SearchPosition())
    if not _belongs(after, read):
        raise CommandMalformed("The cursor does not belong to this search. Start again without it.")
    return FhirQuery(
        query=Query(
            terms=tuple(read.terms), has=tuple(read.has), client=named, orders=tuple(read.orders), includes=tuple(read.includes)
        ),
        after=after,
        count=count,
        only_count=count == 0 or read.results.get("_summary") == "count",
        with_total=read.results.get("_total") == "accurate",
        subset=read.subset,
        processed=(*read.processed, *(() if client or not named else (_naming(kind, named),))),
        ignored=tuple(dict.fromkeys(read.ignored)),
    )


def _belongs(after: SearchPosition, read: Parameters) -> bool:
    """Whether a position is one of this search. The audit log has positions of its own, in either order."""
    if read.kind.name in {"AuditEvent", "PlanDefinition"}:
        return after.last is None
    return len(after.last.keys) == len(read.orders) if after.last else not (read.orders and (after.after or after.skip))


def _naming(kind: str, client: str) -> tuple[str, str]:
    """The parameter by which a link names a client: our own id."""
    return ("_id", client) if kind == "Patient" else (KINDS[kind].patient[0], f"Patient/{client}")


async def _identified(request: ApiRequest, site: Site, read: Parameters) -> str | None:
    """Our own id of the client whom the form names by identifier, or None."""
    if read.identifier is None:
        return None
    system, bar, value = read.identifier.rpartition("|")
    found: str = await services_of(request).fhir.client(principal_of(request), site, system if bar else None, value)
    return found
