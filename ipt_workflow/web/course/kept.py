"""Drafts of the forms of a course: what somebody saved to go on with later, or what was kept when their session had ended."""

import datetime as dt

import msgspec

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.web.course.sent import SentForm
from ipt_workflow.web.pages import PageRequest

NOT_KEPT = frozenset({"_version", "_do", "_csrf_token"})


class KeptForm(msgspec.Struct, frozen=True):
    """A draft: the form as it was, and when it was saved."""

    form: SentForm
    saved_at: dt.datetime


async def find(request: PageRequest, course_id: str, name: str) -> KeptForm | None:
    """The reader's draft of a form. `name` is the address of the form's page below that of the course."""
    draft = await services_of(request).drafts.find(principal_of(request), course_id, name)
    if draft is None:
        return None
    pairs: dict[str, list[str]] = {}
    for field, value in draft.pairs:
        pairs.setdefault(field, []).append(value)
    return KeptForm(SentForm(pairs), draft.saved_at)


async def keep(request: PageRequest, course_id: str, name: str, form: SentForm) -> None:
    pairs = ((field, value) for field, values in form.pairs.items() if field not in NOT_KEPT for value in values)
    await services_of(request).drafts.save(principal_of(request), course_id, name, pairs)


async def drop(request: PageRequest, course_id: str, name: str) -> None:
    await services_of(request).drafts.drop(principal_of(request), course_id, name)
