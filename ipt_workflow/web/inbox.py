"""Messages of EHR systems that wait for a person: what each says, why it waits, and what the person decides.

Whoever decides tries a message again, after the course was changed or because it is right as it is, or dismisses it and says why.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course import triggers
from ipt_workflow.ehr.notices import commands, desk, handler, unsettled
from ipt_workflow.ehr.notices.inbox import NoticeView, Resolution
from ipt_workflow.errors import CommandInvalid, StaleVersion
from ipt_workflow.store.notices import NoticeFilters
from ipt_workflow.values.types import TEXT_MAX
from ipt_workflow.web import language
from ipt_workflow.web.course.sent import sent_form
from ipt_workflow.web.course.ways import Doer
from ipt_workflow.web.faults import sentences
from ipt_workflow.web.forms import Formats, deed_label, said
from ipt_workflow.web.language import _, gettext, noted
from ipt_workflow.web.pages import PageRequest, page, redirect, root

SIZE = 25
FORMATS: Formats = {"day": language.day, "moment": language.moment}
WHY_NEEDED = noted("Say why you dismiss the message.")
WHY_LONG = noted("Write at most %(most)s characters.")
SETTLED = noted("Somebody else has dealt with this message meanwhile.")
DONE = {"applied": noted("The message is recorded."), "dismissed": noted("The message is dismissed.")}
ELSE = noted("The message is dealt with.")
REASONS = (
    *(
        handler.REFERRAL_WITHDRAWN,
        handler.NO_COURSE,
        handler.WHICH_COURSE,
        handler.UNORDERED,
        handler.NOT_OURS,
        handler.OTHER_CLIENT,
    ),
    *(commands.UNUSABLE, desk.NOT_HANDLED, unsettled.FIRST_ALONE),
)  # why messages wait, where the words name nothing of the message


def every_text() -> Iterator[str]:
    """The reasons for which messages wait, for the catalogues."""
    yield from REASONS


class MessageLine(msgspec.Struct, frozen=True):
    """A message with its client as the clinic calls them, and what it would record."""

    notice: NoticeView
    client: str
    records: str


@get("/inbox", include_in_schema=False)
async def inbox(request: PageRequest) -> Response[bytes]:
    """The messages that wait, the oldest first."""
    services, after = services_of(request), request.query_params.get("after", "")
    found = await services.inbox.page(principal_of(request), NoticeFilters(status="waiting"), after, SIZE + 1)
    lines = await _lines(request, found[:SIZE])
    following = found[SIZE - 1].id if len(found) > SIZE else ""
    done = request.query_params.get("done", "")
    said_done = gettext(DONE.get(done, ELSE)) if done else ""
    return page(request, "inbox/inbox.html", lines=lines, next=following, after=after, done=said_done)


@get("/inbox/{notice_id:str}", include_in_schema=False)
async def message(request: PageRequest, notice_id: FromPath[str]) -> Response[bytes]:
    """One message: everything that it says, why it waits, and the two decisions."""
    found = await services_of(request).inbox.one(principal_of(request), notice_id)
    return await _shown(request, found)


@post("/inbox/{notice_id:str}", include_in_schema=False, status_code=303)
async def decide(request: PageRequest, notice_id: FromPath[str]) -> Response[Any]:
    """Tries a message again, or dismisses it."""
    form, services, principal = await sent_form(request), services_of(request), principal_of(request)
    action, why = form.one("action"), form.one("reason")
    found = await services.inbox.one(principal, notice_id)
    fault = _fault(action, why)
    if fault:
        return await _shown(request, found, 422, why=why, fault=fault)
    resolution = Resolution(action="dismiss" if action == "dismiss" else "retry", reason=why or None)
    try:
        done = await services.inbox.resolve(principal, notice_id, lambda: resolution)
    except StaleVersion:
        return await _shown(request, await services.inbox.one(principal, notice_id), 412, why=why, problem=gettext(SETTLED))
    except CommandInvalid as invalid:
        return await _shown(request, found, 422, why=why, problem=" ".join(sentences(invalid.faults)))
    if done.status == "waiting":
        return await _shown(request, done, 409, why=why, problem=_("The message still cannot be recorded. It goes on waiting."))
    return redirect(request, f"/inbox?done={done.status}")


def _fault(action: str, why: str) -> str:
    if len(why) > TEXT_MAX:
        return _(WHY_LONG, most=TEXT_MAX)
    return gettext(WHY_NEEDED) if action == "dismiss" and not why else ""


async def _lines(request: PageRequest, notices: Sequence[NoticeView]) -> list[MessageLine]:
    services, principal = services_of(request), principal_of(request)
    seen = await services.registry.seen(principal, list({each.course for each in notices if each.course}))
    labels = await services.client_labels.of_courses(principal, [each.course for each in seen])
    return [MessageLine(each, _client(each, labels.get(each.course or "")), _records(each)) for each in notices]


def _client(notice: NoticeView, label: str | None) -> str:
    name = notice.client_ref or _("Nobody whom we know")
    return f"{label} ({name})" if label else name


def _records(notice: NoticeView) -> str:
    """What the message would record, in a few words."""
    return gettext(deed_label(notice.proposes.trigger).title) if notice.proposes else _("Nothing that can be read")


async def _shown(
    request: PageRequest, found: NoticeView, status: int = 200, *, why: str = "", fault: str = "", problem: str = ""
) -> Response[bytes]:
    (line,) = await _lines(request, [found])
    row = triggers.row_of(found.proposes.trigger) if found.proposes else None
    who = Doer(principal_of(request).role, found.course or "", root(request.app.state.settings))
    return page(
        request,
        "inbox/message.html",
        status,
        line=line,
        notice=found,
        because=gettext(found.why) if found.why else "",
        blocked=who.blocking(found.refusals),
        fields=said(row.payload, found.proposes.data, FORMATS, gettext) if row and found.proposes else (),
        content=_content(found.content),
        why=why,
        fault=fault,
        problem=problem,
        may_decide=principal_of(request).role in {"therapist", "supervisor"} and found.status == "waiting",
    )


def _content(content: Any) -> str:
    """What the EHR sent, line by line."""
    if content is None or isinstance(content, str):
        return content or ""
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


HANDLERS = (inbox, message, decide)
