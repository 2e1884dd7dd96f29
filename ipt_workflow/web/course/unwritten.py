"""A form of several commands that is sent, and why it was not written: shared by the pages that are not made for one trigger."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.service.views import EntryView
from ipt_workflow.web.course.deeds import said_since
from ipt_workflow.web.course.sent import SentForm, ShownForm, attempted, write_of
from ipt_workflow.web.faults import field_faults
from ipt_workflow.web.forms import FieldFault, Pairs
from ipt_workflow.web.pages import PageRequest


class FormCommand(msgspec.Struct, frozen=True):
    """One command of a form, and what the names of its fields begin with."""

    command: Command
    prefix: str


async def write(request: PageRequest, course_id: str, form: SentForm, parts: Sequence[FormCommand]) -> ShownForm | None:
    """Writes the commands of a form together. Returns the form as it is shown again, or None."""
    services, principal = services_of(request), principal_of(request)
    fired = services.courses.fire(principal, course_id, write_of(request, principal, form, *(each.command for each in parts)))
    return await attempted(request, course_id, form, fired, lambda invalid: _faults(invalid, parts, form.pairs))


def _faults(invalid: CommandInvalid, parts: Sequence[FormCommand], pairs: Pairs) -> list[FieldFault]:
    """What the service finds wrong, at the fields of the commands that it is about."""
    found: list[FieldFault] = []
    for index, part in enumerate(parts):
        place = f"together[{index}]." if len(parts) > 1 else ""
        own = [Fault(each.where.removeprefix(place), each.message) for each in invalid.faults if each.where.startswith(place)]
        found += [_placed(each, part.prefix) for each in field_faults(own, pairs)]
    return found or field_faults(invalid.faults, {})


def _placed(fault: FieldFault, begins: str) -> FieldFault:
    """A fault at the field's name in the form. When and why are asked once, for all its commands."""
    name = fault.name if fault.name in {"occurred_at", "reason", ""} else begins + fault.name
    return FieldFault(name, fault.sentence, fault.values)


async def since_in_words(request: PageRequest, course_id: str, entries: Sequence[EntryView]) -> list[dict[str, Any]]:
    """What somebody else recorded meanwhile, in words."""
    if not entries:
        return []
    view = await services_of(request).deeds.one(principal_of(request), course_id, "note")
    return [said_since(view, each) for each in entries]
