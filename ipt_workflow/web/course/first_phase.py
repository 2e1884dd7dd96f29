"""What the pages of the inventory, the formulation and the risk review show beside their fields."""

from collections.abc import Callable, Sequence
from typing import Any

from ipt_workflow.service.deeds import DeedView
from ipt_workflow.web.charts.closeness import RINGS, CirclePerson, closeness_circle, ring_of
from ipt_workflow.web.forms import Choice, Pairs, option_text, typed
from ipt_workflow.web.forms.posted import row_numbers
from ipt_workflow.web.language import gettext, noted

PEOPLE = "people"
NOWHERE = noted("In no circle")


def beside(trigger: str, view: DeedView, pairs: Pairs) -> dict[str, Any]:
    """What a trigger's own template takes beside what every form has."""
    return BESIDE[trigger](view, pairs) if trigger in BESIDE else {}


def prepared(trigger: str, pairs: dict[str, list[str]]) -> dict[str, list[str]]:
    """What was posted, with what the form fills in by itself: each new person of an inventory gets a label, which is never a name."""
    if trigger != "record_inventory":
        return pairs
    rows = {row: [name for name in pairs if name.startswith(f"{PEOPLE}.{row}.")] for row in row_numbers(pairs, PEOPLE)}
    taken = {typed(pairs, f"{PEOPLE}.{row}.id") for row in rows}
    free = (label for number in range(1, 1000) if (label := f"p{number}") not in taken)
    new = [
        row for row, names in rows.items() if not typed(pairs, f"{PEOPLE}.{row}.id") and any(typed(pairs, name) for name in names)
    ]
    return {**pairs, **{f"{PEOPLE}.{row}.id": [next(free)] for row in new}}


def _inventory(_view: DeedView, pairs: Pairs) -> dict[str, Any]:
    people = [
        CirclePerson(
            name=_said(pairs, row, "name") or _said(pairs, row, "id"),
            relationship=_said(pairs, row, "relationship"),
            ring=ring_of(_said(pairs, row, "closeness")),
            deceased=bool(_said(pairs, row, "deceased")),
        )
        for row in row_numbers(pairs, PEOPLE)
        if _said(pairs, row, "name") or _said(pairs, row, "id")
    ]
    return {"circle": closeness_circle(people, "circle"), "rings": _rings, "named": len(people)}


def _risk(view: DeedView, _pairs: Pairs) -> dict[str, Any]:
    return {"risk_now": gettext(option_text("risk", view.course.risk.level))}


def _formulation(view: DeedView, _pairs: Pairs) -> dict[str, Any]:
    focus = view.course.focus
    return {"area_now": gettext(option_text("area", focus.primary)) if focus else ""}


def _rings(written: str) -> Sequence[Choice]:
    """The circles as choices. What somebody wrote in other words stays a choice of its own."""
    known = [*(Choice(each, gettext(each)) for each in RINGS), Choice("", gettext(NOWHERE))]
    return known if not written or ring_of(written) is not None else [*known, Choice(written, written)]


def _said(pairs: Pairs, row: int, name: str) -> str:
    return typed(pairs, f"{PEOPLE}.{row}.{name}")


BESIDE: dict[str, Callable[[DeedView, Pairs], dict[str, Any]]] = {
    "record_inventory": _inventory,
    "record_formulation": _formulation,
    "review_risk": _risk,
}
