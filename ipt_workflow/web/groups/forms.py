"""What the forms of groups share: how they are sent to a verb, and what they say if it does not take them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from ipt_workflow.api.auth import principal_of
from ipt_workflow.errors import (
    CommandInvalid,
    Fault,
    GroupRefused,
    GroupSessionRefused,
    GroupStale,
    KeyReused,
    TransitionRefused,
    VersionRequired,
)
from ipt_workflow.service.groups.register import GroupRegister
from ipt_workflow.service.writes import GroupWrite
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.course.sent import SentForm, key_of, new_key
from ipt_workflow.web.faults import field_faults
from ipt_workflow.web.forms import FieldFault
from ipt_workflow.web.forms import moment as typed_moment
from ipt_workflow.web.forms.posted import WHOLE
from ipt_workflow.web.language import gettext, noted, reader
from ipt_workflow.web.pages import PageRequest
from ipt_workflow.web.refusals import sentence

Shape = TypeVar("Shape", bound=msgspec.Struct)
STALE = noted("Somebody else wrote to the group meanwhile. What you typed is kept: look at the group, then send it again.")
USED = noted("This was sent before with other words. Look at the group, and send it again only if something is missing.")


class FormProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a form was not taken: its status, sentences, and the faults by control."""

    status: int
    sentences: tuple[str, ...] = ()
    faults: tuple[FieldFault, ...] = ()

    def errors(self) -> list[tuple[str, str]]:
        """The error summary: each text with the id of its control."""
        at = [(each.text(gettext), each.name.replace(".", "-")) for each in self.faults]
        return [*((each, "") for each in self.sentences), *at]

    def by_control(self) -> dict[str, str]:
        return {each.name: each.text(gettext) for each in self.faults}


def write_of(request: PageRequest, form: SentForm, shape: type[Shape], body: Mapping[str, Any]) -> GroupWrite:
    """The write of a form, as the verbs of groups take it."""
    principal = principal_of(request)
    return GroupWrite(decode=lambda: shaped(shape, dict(body)), version=form.version, key=key_of(request, principal, form))


def when(form: SentForm, name: str) -> tuple[dict[str, str], list[FieldFault]]:
    """A time that was typed, in the reader's zone, as a part of a body."""
    at, faults = typed_moment(name, form.one(name), reader().zone)
    return ({name: at.isoformat()} if at else {}), faults


def whole(form: SentForm, name: str) -> tuple[dict[str, int], list[FieldFault]]:
    """A whole number that was typed, as a part of a body."""
    text = form.one(name)
    if not text:
        return {}, []
    return ({name: int(text)}, []) if text.isascii() and text.isdigit() and len(text) < 10 else ({}, [FieldFault(name, WHOLE)])


async def tried(
    work: Callable[[], Awaitable[Any]], form: SentForm, named: Callable[[Fault], Fault] = lambda fault: fault
) -> FormProblem | None:
    """Runs a verb. Says why it did not take the form, or None if it did. `named` puts a fault to its control."""
    try:
        await work()
    except CommandInvalid as invalid:
        found = field_faults([named(each) for each in invalid.faults], form.pairs)
        return FormProblem(status=422, faults=tuple(found))
    except (GroupRefused, TransitionRefused) as refused:
        return FormProblem(status=409, sentences=tuple(sentence(each) for each in refused.refusals))
    except GroupSessionRefused as refused:
        said = dict.fromkeys(sentence(each) for member in refused.members for each in member.refusals)
        return FormProblem(status=409, sentences=tuple(said))
    except (GroupStale, VersionRequired):
        return FormProblem(status=412, sentences=(gettext(STALE),))
    except KeyReused:
        return FormProblem(status=409, sentences=(gettext(USED),))
    return None


def context_of(found: GroupRegister, form: SentForm, problem: FormProblem | None) -> dict[str, Any]:
    """What every form of a group takes. A form that was overtaken or used is a new one."""
    again = problem is not None and problem.status in {409, 412}
    return {
        "register": found,
        "group": found.group,
        "form": form,
        "key": form.key if form.pairs and not again else new_key(),
        "errors": problem.errors() if problem else [],
        "by_control": problem.by_control() if problem else {},
    }
