"""What a form goes on from: the inventory and the formulation as they were recorded, and the plan of the last risk review. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from ipt_workflow import journal
from ipt_workflow.course.fold import current_facts
from ipt_workflow.journal import Entry

RISKS = ("raise_risk", "review_risk")
EARLIER = {"record_inventory": ("record_inventory",), "record_formulation": ("record_formulation",), "review_risk": RISKS}


def known_words(entries: Sequence[Entry], trigger: str) -> dict[str, Any]:
    """The data that a trigger's form goes on from; nothing if there is none, or if it was erased."""
    if trigger not in EARLIER:
        return {}
    found: dict[str, Any] = {}
    people: dict[str, dict[str, Any]] = {}
    for data in _given(entries, EARLIER[trigger]):
        for each in data.get("people", ()):
            people[each["id"]] = {**people.get(each["id"], {}), **each}
        found = {**(found if trigger == "record_inventory" else {}), **data}
    return {**found, "people": list(people.values())} if people else found


def _given(entries: Sequence[Entry], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The data in force of entries of these triggers, in the order in which they happened."""
    given = journal.given(entries)
    in_force = [
        (fact.occurred_at, seq) for seq, fact in current_facts(journal.facts(entries)).items() if fact and fact.trigger in names
    ]
    yield from (given[seq] for _, seq in sorted(in_force) if seq in given)
