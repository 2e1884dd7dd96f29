"""What the database can judge of a search. It may let courses through that do not match, and never leaves one out that does."""

from collections.abc import Iterable, Sequence

import msgspec

from ipt_workflow.ehr.fhir.course_resources import episode_status, plan_status
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.search import QueryValue, Term
from ipt_workflow.protocols.definition import COMPLETED, ENDED_EARLY, NOT_SUITABLE, PAUSED, REFERRED, Protocol
from ipt_workflow.store.courses import Filters

STATUS_OF = {"EpisodeOfCare": episode_status, "CarePlan": plan_status}
NAME_A_COURSE = frozenset({"_id", "episode-of-care", "target"})  # the values of these parameters begin with a course's id

RECORDED = frozenset({"_lastUpdated", "recorded"})  # these are the times of entries


def narrowed(kind: str, terms: Sequence[Term], client: str | None, site: Site, protocols: Iterable[Protocol]) -> Filters:
    """The filters of the courses that may have matches."""
    plain = [term for term in terms if term.modifier in {"", "identifier"}]
    filters = Filters(client=client)
    for term in plain:
        name = term.param.name
        if kind == "Patient" and name == "_id":
            filters = _of_client(filters, term)
        elif name in NAME_A_COURSE and kind != "Patient":
            filters = _among(filters, {_course_named(value) for value in term.values})
        elif (kind, name) == ("EpisodeOfCare", "care-manager") and len(term.values) == 1:
            filters = _with_therapist(filters, term.values[0], site)
        elif name in RECORDED and len(term.values) == 1:
            filters = _since(filters, term.values[0])
        elif kind in STATUS_OF and name == "status":
            filters = _in_states(filters, kind, term, protocols)
    return filters


def _since(filters: Filters, value: QueryValue) -> Filters:
    """What a course has was recorded no later than its last entry."""
    if value.span is None or value.prefix not in {"eq", "ge", "gt", "sa"}:
        return filters
    since = value.span.start if filters.changed_since is None else max(filters.changed_since, value.span.start)
    return msgspec.structs.replace(filters, changed_since=since)


def _of_client(filters: Filters, term: Term) -> Filters:
    """A client's id. Several need no filter: a Patient is found among all courses then."""
    if len(term.values) > 1 or filters.client is not None:
        return filters
    return msgspec.structs.replace(filters, client=term.values[0].text)


def _course_named(value: QueryValue) -> str:
    return value.text.partition("/_history/")[0].rpartition("/")[2].partition(".")[0]


def _among(filters: Filters, courses: set[str]) -> Filters:
    known = courses if filters.ids is None else courses & set(filters.ids)
    return msgspec.structs.replace(filters, ids=tuple(sorted(known)))


def _with_therapist(filters: Filters, value: QueryValue, site: Site) -> Filters:
    ours = value.system in {None, site.own("person")} and value.text
    return msgspec.structs.replace(filters, therapist=value.text) if ours and filters.therapist is None else filters


def _in_states(filters: Filters, kind: str, term: Term, protocols: Iterable[Protocol]) -> Filters:
    """The states whose status the term names."""
    phases = {phase.id for protocol in protocols for phase in protocol.phases}
    states = {REFERRED, PAUSED, COMPLETED, ENDED_EARLY, NOT_SUITABLE, *phases}
    wanted = {value.text for value in term.values}
    found = {state for state in states if STATUS_OF[kind](state) in wanted}
    return msgspec.structs.replace(filters, states=tuple(sorted(found if filters.states is None else found & set(filters.states))))
