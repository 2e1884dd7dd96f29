"""A chart: the resources that may refer to each other. It answers searches, with `_has`, `_include` and `_revinclude`."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.ehr.fhir.kinds import KINDS, KindReference
from ipt_workflow.ehr.fhir.record import Record
from ipt_workflow.ehr.fhir.search import Term
from ipt_workflow.ehr.fhir.types import Reference, Resource


class Chart:
    """The resources of a course; or of a client, from all courses of theirs that the caller may see.

    `patients` is empty unless the search needs Patients. `plans` are the definitions of all protocols.
    """

    def __init__(self, records: Sequence[Record], plans: Sequence[Resource], patients: Sequence[Resource] = ()) -> None:
        self._records = records
        self._made: dict[str, Sequence[Resource]] = {"PlanDefinition": plans, "Patient": patients}
        self._links: dict[KindReference, Links] = {}

    def of(self, kind: str) -> Sequence[Resource]:
        """All resources of a kind, in the order of courses and of seqs."""
        if kind not in self._made:
            make = KINDS[kind].make
            self._made[kind] = [each for record in self._records for each in make(record)] if make else []
        return self._made[kind]

    def links(self, relation: KindReference) -> "Links":
        """Which resources refer to which. A reference to a version leads to the resource as it is now."""
        if relation not in self._links:
            targets = {name: each for each in self.of(relation.target) for name in _names(each)}
            links = self._links[relation] = Links()
            for source in self.of(relation.kind):
                for name in {_name(value) for value in relation.param.present(source)} & targets.keys():
                    links.forward.setdefault(source.local, []).append(targets[name])
                    links.back.setdefault(targets[name].local, []).append(source)
        return self._links[relation]


class Links(msgspec.Struct):
    """The references of one relation within a chart, from and to the names `Type/id`."""

    forward: dict[str, list[Resource]] = {}
    back: dict[str, list[Resource]] = {}


class Has(msgspec.Struct, frozen=True):
    """`_has`: another resource refers to the resource and matches a term."""

    relation: KindReference
    term: Term

    @property
    def name(self) -> str:
        return f"_has:{self.relation.name}:{self.term.name}"

    def matches(self, chart: Chart, resource: Resource) -> bool:
        return any(self.term.matches(each) for each in chart.links(self.relation).back.get(resource.local, ()))


class Include(msgspec.Struct, frozen=True):
    """`_include`; with `reverse`, `_revinclude`."""

    relation: KindReference
    reverse: bool = False

    def found(self, chart: Chart, resource: Resource) -> Sequence[Resource]:
        links = chart.links(self.relation)
        return (links.back if self.reverse else links.forward).get(resource.local, ())


def included(chart: Chart, matches: Sequence[Resource], includes: Sequence[Include]) -> dict[str, Resource]:
    """The resources that matches bring with them, by `Type/id`."""
    return {each.local: each for match in matches for include in includes for each in include.found(chart, match)}


def _name(value: Reference | str) -> str:
    """What a reference names: `Type/id` without a version, or a canonical."""
    return value if isinstance(value, str) else (value.reference or "").partition("/_history/")[0]


def _names(resource: Resource) -> set[str]:
    url, version = getattr(resource, "url", None), getattr(resource, "version", None)
    return {resource.local, f"{url}|{version}"} if url else {resource.local}
