"""Forms of the administration pages: what they ask, what was typed, and the verb that takes it. They decide nothing.

A form is good and the browser goes on (303), or it is shown again with what was typed and everything that is wrong with it (422).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from litestar import Response

from ipt_workflow.access.sessions import require_fresh
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandInvalid, PersonNeeded, ReauthenticationNeeded, SubscriptionExists
from ipt_workflow.web.course.sent import sent_form
from ipt_workflow.web.faults import field_faults, sentences
from ipt_workflow.web.forms import Choice, FieldFault, FormField, Pairs, errors, read
from ipt_workflow.web.language import gettext, noted, reader
from ipt_workflow.web.navigation import role_name
from ipt_workflow.web.pages import PageRequest, page

PAGE = 50  # rows of a list
TEMPLATE = "admin/form.html"
EXISTS = noted(
    "There is a subscription with this address, these kinds of events, courses and contents. Use it, or delete it first."
)
Work = Callable[[dict[str, Any]], Awaitable[Response[Any]]]


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A form as it is asked: the Struct that its fields are read as, its words, and where one goes back to.

    `cleared` holds what a field means that is left empty, where that is not the same as leaving it out. `fresh`: only who proved just now
    who they are may send it. `context` is for the template.
    """

    struct: type[msgspec.Struct]
    title: str
    action: str
    button: str
    back: tuple[str, str]
    fields: tuple[FormField, ...]
    cleared: Mapping[str, Any] = {}
    fresh: bool = False
    intro: str = ""
    template: str = TEMPLATE
    context: Mapping[str, Any] = {}


def asked(name: str, kind: str, label: str, hint: str = "", *, required: bool = False, options: Any = ()) -> FormField:
    """One field of a form. `options` are pairs of a code and its words."""
    choices = tuple(Choice(*option) for option in options)
    return FormField(name=name, kind=kind, label=label, hint=hint, required=required, options=choices)


def role_options(*roles: str) -> list[tuple[str, str]]:
    """Roles to choose from."""
    return [(role, name[:1].upper() + name[1:]) for role in roles if (name := role_name(role))]


def confirmed(request: PageRequest) -> bool:
    """Whether the person proved just now who they are, as some steps need."""
    clinic = services_of(request).clinic
    try:
        require_fresh(principal_of(request), clinic.clock.now(), clinic.settings.reauthentication)
    except (PersonNeeded, ReauthenticationNeeded):
        return False
    return True


def show(request: PageRequest, sheet: Sheet, pairs: Pairs, faults: tuple[FieldFault, ...] = (), status: int = 200) -> Response[Any]:
    """The page of a form, with what was typed, or what is known."""
    filled = tuple(
        msgspec.structs.replace(
            field,
            values=tuple(pairs.get(field.name, ())),
            error=" ".join(fault.text(gettext) for fault in faults if fault.name.partition(".")[0] == field.name),
        )
        for field in sheet.fields
    )
    found, unproved = errors(filled, faults, gettext), sheet.fresh and not confirmed(request)
    return page(request, sheet.template, status, sheet=sheet, fields_shown=filled, faults=found, unproved=unproved, **sheet.context)


async def send(request: PageRequest, sheet: Sheet, work: Work) -> Response[Any]:
    """Reads a form and does the work with its data. Shows the form again if anything is wrong with it."""
    pairs = (await sent_form(request)).pairs
    found = read(sheet.struct, pairs, reader().zone)
    faults = found.faults
    if not faults:
        try:
            return await work({**sheet.cleared, **found.data})
        except CommandInvalid as invalid:
            faults = tuple(field_faults(invalid.faults, pairs))
        except SubscriptionExists:
            faults = (FieldFault("url", EXISTS),)
        except ReauthenticationNeeded:
            return show(request, sheet, pairs, status=401)
    order = [field.name for field in sheet.fields]
    return show(request, sheet, pairs, tuple(sorted(faults, key=lambda each: _place(order, each.name))), 422)


def _place(order: list[str], name: str) -> int:
    """Where a fault belongs: in the order of the fields, after them what belongs to none."""
    return order.index(name) if name in order else len(order)


def first(known: Any, sheet: Sheet) -> dict[str, list[str]]:
    """What a form begins with where a thing is changed: its fields as somebody would have typed them."""
    found = {field.name: (field.kind, getattr(known, field.name)) for field in sheet.fields if hasattr(known, field.name)}
    return {name: _typed(kind, value) for name, (kind, value) in found.items() if value is not None}


def _typed(kind: str, value: Any) -> list[str]:
    if kind == "tick":
        return ["true"] if value else []
    if kind == "lines":
        return ["\n".join(map(str, value))]
    return [*map(str, value)] if isinstance(value, tuple | list) else [str(value)]


def refused(request: PageRequest, invalid: CommandInvalid, back: tuple[str, str]) -> Response[Any]:
    """The page after a button that could not do its work."""
    return page(request, "admin/refused.html", 422, messages=sentences(invalid.faults), back=back)


def unconfirmed(request: PageRequest, back: tuple[str, str]) -> Response[Any]:
    """The page after a button that only who proved just now who they are may press."""
    return page(request, "admin/confirm.html", 401, back=back)


def page_of(found: list[Any]) -> tuple[list[Any], bool]:
    """The rows of a page that was read with one more than it shows, and whether there are others."""
    return found[:PAGE], len(found) > PAGE
