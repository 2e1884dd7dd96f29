"""Reading a FHIR search: parameters, handling, paging.

A parameter that is not valid is refused. An unknown one is ignored and reported, or refused under `Prefer: handling=strict`.
Only the body of a POST may name a client. Links are URLs, so they carry our own opaque id of the client.
"""

import re
from urllib.parse import parse_qsl, urlencode

import msgspec

from ipt_workflow.api.addresses import absolute
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest, UnsupportedMediaType, cursor, cursor_text
from ipt_workflow.ehr.fhir.kinds import KINDS, Served
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.search import Term, term
from ipt_workflow.ehr.fhir_reads import Query, SearchPosition
from ipt_workflow.errors import CommandInvalid, Fault

BASE = "/fhir/R4"
FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 200
RESULT = {  # parameters that shape the answer, with the values that are supported
    "_count": r"[0-9]{1,6}",
    "_summary": "count|false",
    "_total": "none|estimate|accurate",
    "_format": ".*",
    "_pretty": ".*",
    "_client": "[0-9a-f-]{1,36}",
    "_cursor": ".*",
}
Pairs = list[tuple[str, str]]


class FhirQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A search after decoding. Links to it repeat `processed`; `ignored` holds the names of unknown parameters."""

    query: Query
    after: SearchPosition
    count: int
    only_count: bool  # the caller wants the number of matches alone
    with_total: bool  # the caller wants the matches and their number
    processed: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]

    def link(self, path: str, after: SearchPosition | None = None) -> str:
        """A URL of this search, or with `after` of its next page."""
        pairs = [*self.processed, ("_count", str(self.count))]
        return f"{path}?{urlencode([*pairs, ('_cursor', cursor_text(after))] if after else pairs)}"


def site_of(request: ApiRequest) -> Site:
    """This service's names, with the base URL at which callers reach FHIR."""
    site: Site = request.app.state.fhir.site(absolute(request, BASE))
    return site


async def parameters(request: ApiRequest) -> tuple[Pairs, Pairs]:
    """The parameters in the URL, and those in the body."""
    url = _pairs(request.scope["query_string"])
    if request.method != "POST":
        return url, []
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if body and kind != FORM:
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


async def query_of(request: ApiRequest, site: Site, kind: str) -> FhirQuery:
    """The search in a request. Raises CommandInvalid with every fault. No fault repeats a value, which may identify a client."""
    url, body = await parameters(request)
    served, pairs = KINDS[kind], [*url, *body]
    faults = [
        Fault(name, "names a client, which a URL must not do: send it in the body of POST …/_search")
        for name, _ in url
        if _bare(name) in served.patient
    ]
    clients = [(name, value) for name, value in body if _bare(name) in served.patient]
    faults += _client_faults(clients)
    results = {name: value for name, value in pairs if name in RESULT and re.fullmatch(RESULT[name], value)}
    terms, ignored = [], [name for name, _ in pairs if name in RESULT and name not in results]
    for name, value in pairs:
        if name in RESULT or _bare(name) in served.patient:
            continue
        decoded = _term(served, name, value)
        if decoded is None:
            ignored.append(name)
        elif isinstance(decoded, Fault):
            faults.append(decoded)
        else:
            terms.append(decoded)
    if strict(request):
        faults += [Fault(name, "is not supported, or not with this value: see /fhir/R4/metadata") for name in ignored]
    if faults:
        raise CommandInvalid(faults)
    client = await _client(request, site, clients) or results.get("_client")
    return _query(request, terms, client, results, ignored)


def _query(request: ApiRequest, terms: list[Term], client: str | None, results: dict[str, str], ignored: list[str]) -> FhirQuery:
    settings = request.app.state.clinic.settings
    count = min(int(results.get("_count", settings.page_limit_default)), settings.page_limit_max)
    named = [(f"{each.param.name}:{each.modifier}" if each.modifier else each.param.name, each.text) for each in terms]
    return FhirQuery(
        query=Query(terms=tuple(terms), client=client),
        after=cursor(results.get("_cursor"), SearchPosition, SearchPosition()),
        count=count,
        only_count=count == 0 or results.get("_summary") == "count",
        with_total=results.get("_total") == "accurate",
        processed=(
            *named,
            *((("_client", client),) if client else ()),
            *((name, results[name]) for name in ("_summary", "_total") if name in results),
        ),
        ignored=tuple(dict.fromkeys(ignored)),
    )


def _bare(name: str) -> str:
    """A parameter's name without its modifier or chain."""
    return re.split("[:.]", name)[0]


def _term(served: Served, name: str, value: str) -> Term | Fault | None:
    """The decoded parameter, its fault, or None if there is no such parameter."""
    bare, _, modifier = name.partition(":")
    param = next((each for each in served.params if each.name == bare), None)
    return term(param, modifier, value) if param else None


def _client_faults(clients: Pairs) -> list[Fault]:
    faults = [
        Fault(name, f"can be searched by identifier only: write {_bare(name)}:identifier=system|value")
        for name, _ in clients
        if name not in {f"{_bare(name)}:identifier", f"{_bare(name)}.identifier"}
    ]
    return faults if len(clients) < 2 else [*faults, Fault(clients[1][0], "names a second client: search one client at a time")]


async def _client(request: ApiRequest, site: Site, clients: Pairs) -> str | None:
    """Our own id of the client that the search names, or None."""
    if not clients:
        return None
    system, bar, value = clients[0][1].rpartition("|")
    found: str = await request.app.state.fhir.client(principal_of(request), site, system if bar else None, value)
    return found
