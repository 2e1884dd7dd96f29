"""What `$everything` brings of a client: the kinds of resource, and which of them are wanted."""

import datetime as dt
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from ipt_workflow.ehr.fhir.charts import Chart
from ipt_workflow.ehr.fhir.kinds import KINDS, LAST_UPDATED
from ipt_workflow.ehr.fhir.search import Term, term
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.errors import Fault

MemberKind = Literal[
    "Patient", "EpisodeOfCare", "CarePlan", "Encounter", "Observation", "QuestionnaireResponse", "Provenance", "PlanDefinition"
]
MEMBERS: tuple[MemberKind, ...] = get_args(MemberKind)  # in the order in which they come
WHEN = {  # the parameter that holds the time of care
    "EpisodeOfCare": "date",
    "CarePlan": "date",
    "Encounter": "date",
    "Observation": "date",
    "QuestionnaireResponse": "authored",
    "Provenance": "recorded",
}
BOUNDS = {"start": "ge", "end": "le"}
NO_BOUND = "must be a date such as 2026-03-01 or 2026-03-01T09:00:00Z, without a prefix"


class MemberPlace(msgspec.Struct, frozen=True, order=True):
    """Where a resource stands: by its kind, its course, and its number within the course. A protocol stands by its name and version."""

    kind: int
    course: str
    number: int


class WantedMembers(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a client: of these kinds, of care between `start` and `end`, changed at `since` or later."""

    kinds: tuple[MemberKind, ...] = MEMBERS
    start: str | None = None
    end: str | None = None
    since: dt.datetime | None = None

    def faults(self) -> list[Fault]:
        """What cannot be read of both bounds."""
        made = {name: _term("EpisodeOfCare", prefix, getattr(self, name)) for name, prefix in BOUNDS.items()}
        return [Fault(name, NO_BOUND) for name, found in made.items() if isinstance(found, Fault)]

    def of(self, chart: Chart) -> list[Resource]:
        """The resources of a client's chart that are wanted, in their order. Of the protocols, those that a plan here follows."""
        found = [each for kind in self.kinds if kind != "PlanDefinition" for each in self._of_kind(chart, kind)]
        if "PlanDefinition" in self.kinds:
            followed = {canonical for plan in self._of_kind(chart, "CarePlan") for canonical in plan.instantiates_canonical}  # type: ignore[attr-defined]
            found += [each for each in chart.of("PlanDefinition") if f"{each.url}|{each.version}" in followed]  # type: ignore[attr-defined]
        return sorted(found, key=place_of)

    def _of_kind(self, chart: Chart, kind: str) -> list[Resource]:
        terms = [_term(kind, prefix, getattr(self, name)) for name, prefix in BOUNDS.items()]
        held = [each for each in terms if isinstance(each, Term)]
        return [each for each in chart.of(kind) if self._changed(each) and all(term.matches(each) for term in held)]

    def _changed(self, resource: Resource) -> bool:
        """A Patient has no time of its own, and always comes."""
        found: Sequence[dt.datetime] = LAST_UPDATED.present(resource) if resource.meta else ()
        return self.since is None or not found or found[0] >= self.since


def _term(kind: str, prefix: str, bound: str | None) -> Term | Fault | None:
    """The condition of one bound on a kind; None without one."""
    name = WHEN.get(kind)
    param = KINDS[kind].param(name) if name else None
    if bound is None or param is None:
        return None
    made = term(param, "", prefix + bound)
    return Fault(param.name, NO_BOUND) if "," in bound else made


def place_of(resource: Resource) -> MemberPlace:
    course, _, number = str(resource.id).partition(".")
    return MemberPlace(MEMBERS.index(resource.kind), course, int(number or 0))
