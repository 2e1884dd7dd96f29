"""The parameters of a FHIR search, one by one: what each means, which are not valid, which are not known."""

import re

from ipt_workflow.ehr.fhir.charts import Has, Include
from ipt_workflow.ehr.fhir.kinds import KINDS, relations_from, relations_to
from ipt_workflow.ehr.fhir.order import Order
from ipt_workflow.ehr.fhir.search import Param, Term, term
from ipt_workflow.ehr.fhir.subsets import Subset
from ipt_workflow.ehr.fhir_reads import NOBODY
from ipt_workflow.errors import Fault

RESULTS = {  # parameters that shape the answer, with the values that are supported
    "_count": ".*",
    "_summary": "true|text|data|count|false",
    "_total": "none|estimate|accurate",
    "_format": ".*",
    "_pretty": ".*",
    "_cursor": ".*",
    "_elements": ".*",
}
REPEATED = ("_summary", "_total", "_elements")  # in links, beside `_count`
SORTED = frozenset({"token", "date", "string", "uri"})
OWN_ID = re.compile(r"(.*/)?(Patient/)?([0-9a-f-]{36})")
IN_URL = "names a client, which a URL must not do: send it in the body of POST …/_search"
SECOND = "names a second client: search one client at a time"
BY_IDENTIFIER = "must be {name}=Patient/id with the id of a Patient here, or in a form {name}:identifier=system|value"


def bare(name: str) -> str:
    """A parameter's name without its modifier or chain."""
    return re.split("[:.]", name)[0]


class Parameters:
    """Takes the parameters of a search for one kind. `client` is our own id, at first that of a compartment; `identifier` is the EHR's."""

    def __init__(self, kind: str, client: str | None = None) -> None:
        self.kind = KINDS[kind]
        self.faults: list[Fault] = []
        self.ignored: list[str] = []
        self.terms: list[Term] = []
        self.has: list[Has] = []
        self.orders: list[Order] = []
        self.includes: list[Include] = []
        self.results: dict[str, str] = {}
        self.processed: list[tuple[str, str]] = []
        self.client = client
        self.identifier: str | None = None

    @property
    def subset(self) -> Subset:
        elements = self.results.get("_elements")
        names = frozenset(each.strip() for each in elements.split(",")) if elements else None
        return Subset(names, self.results.get("_summary"))

    def take(self, name: str, value: str, *, in_url: bool = True) -> None:
        if name in RESULTS:
            self._result(name, value)
        elif name == "_sort":
            self._sort(value)
        elif name in {"_include", "_revinclude"}:
            self._include(name, value)
        elif name.startswith("_has:"):
            self._has(name, value)
        elif self._names_client(name):
            self._client(name, value, in_url=in_url)
        else:
            self._term(name, value)

    def _result(self, name: str, value: str) -> None:
        if not re.fullmatch(RESULTS[name], value):
            self.ignored.append(name)
            return
        self.results[name] = value
        if name in REPEATED:
            self.processed.append((name, value))

    def _sort(self, value: str) -> None:
        """An order by any parameter that is no reference, and names no client: a position is part of a link. The audit log has one order."""
        found = [
            Order(param, each.startswith("-")) for each in value.split(",") if (param := self._sortable(each.removeprefix("-")))
        ]
        of_log = self.kind.name == "AuditEvent" and [order.param.name for order in found] != ["date"]
        if self.orders or of_log or not found or len(found) != len(value.split(",")):
            self.ignored.append("_sort")
            return
        self.orders = found
        self.processed.append(("_sort", value))

    def _sortable(self, name: str) -> Param | None:
        param = self.kind.param(name)
        return param if param and param.kind in SORTED and not self._names_client(name) else None

    def _include(self, name: str, value: str) -> None:
        source, _, rest = value.partition(":")
        wanted, _, target = rest.partition(":")
        known = relations_to(self.kind.name) if name == "_revinclude" else relations_from(self.kind.name)
        found = [
            Include(each, reverse=name == "_revinclude")
            for each in known
            if each.name == f"{source}:{wanted}" and target in {"", each.target}
        ]
        if not found:
            self.ignored.append(name)
            return
        self.includes += found
        self.processed.append((name, value))

    def _has(self, name: str, value: str) -> None:
        _, kind, reference, inner, modifier, *more = [*name.split(":"), "", "", "", ""]
        relation = next((each for each in relations_to(self.kind.name) if each.name == f"{kind}:{reference}"), None)
        param = KINDS[kind].param(inner) if relation and inner not in KINDS[kind].patient else None
        if relation is None or param is None or any(more):
            self.ignored.append(name)
            return
        made = term(param, modifier, value)
        if isinstance(made, Fault):
            self.faults.append(Fault(name, made.message))
            return
        self.has.append(Has(relation, made))
        self.processed.append((name, value))

    def _names_client(self, name: str) -> bool:
        if name.endswith(":missing"):
            return False
        return bare(name) in self.kind.patient or (self.kind.name, bare(name)) == ("Patient", "identifier")

    def _client(self, name: str, value: str, *, in_url: bool) -> None:
        own = OWN_ID.fullmatch(value) if name in self.kind.patient else None
        if own and self.identifier is None:
            self.client = own[3] if self.client in {None, own[3]} else NOBODY
        elif own:
            self.faults.append(Fault(name, SECOND))
        elif in_url:
            self.faults.append(Fault(name, IN_URL))
        elif name in {"identifier", f"{bare(name)}:identifier", f"{bare(name)}.identifier"}:
            if self.identifier is not None or self.client is not None:
                self.faults.append(Fault(name, SECOND))
            self.identifier = value
        else:
            self.faults.append(Fault(name, BY_IDENTIFIER.format(name=bare(name))))

    def _term(self, name: str, value: str) -> None:
        known, _, modifier = name.partition(":")
        param = self.kind.param(known)
        if param is None:
            self.ignored.append(name)
            return
        made = term(param, modifier, value)
        if isinstance(made, Fault):
            self.faults.append(made)
            return
        self.terms.append(made)
        self.processed.append((made.name, value))
