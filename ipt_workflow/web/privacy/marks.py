"""The pages about marks on clients' records: holds, processing restrictions, objections. What one would concern is shown before it is set."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.access import marks, policy
from ipt_workflow.access.marks import MarkEnd, MarkKind, NewMark
from ipt_workflow.access.principal import Principal
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import NotFound
from ipt_workflow.service.privacy.marks import CHANGE, NO_CLIENT, Marks
from ipt_workflow.store.marks import MarkFilters
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import ClientRef, Code, Text
from ipt_workflow.web.admin.submission import PAGE, Sheet, asked, page_of, send, show
from ipt_workflow.web.forms import FieldFault
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page, redirect
from ipt_workflow.web.privacy.words import GROUNDS, KINDS, MEANS

ALL = "/admin/marks"
UNKNOWN = noted("There is no client with this reference here.")


class MarkForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to mark a client's record. `shown`: what it would concern was shown already."""

    client_ref: ClientRef
    ground: Code
    note: Text | None = None
    shown: bool = False


def _marks(request: PageRequest) -> Marks:
    return services_of(request).rights.marks


def _may_change(principal: Principal) -> bool:
    return policy.may(principal, CHANGE)


def _kind(kind: str) -> MarkKind:
    """Raises NotFound for a kind that is none."""
    if kind not in marks.KINDS:
        raise NotFound("There is no such kind of mark.")
    return kind


def _new(kind: MarkKind) -> Sheet:
    return Sheet(
        struct=MarkForm,
        title=_(KINDS[kind]),
        action=f"{ALL}/new/{kind}",
        button=_("Show what it concerns"),
        back=(ALL, _("Clients' rights")),
        fresh=True,
        fields=(
            asked("client_ref", "text", _("Client"), _("The EHR's reference, exactly."), required=True),
            asked(
                "ground", "radios", _("Ground"), required=True, options=[(each, _(GROUNDS[each])) for each in marks.GROUNDS[kind]]
            ),
            asked("note", "area", _("Note")),
        ),
        intro=_(MEANS[kind]),
    )


def _end(mark_id: str, kind: MarkKind) -> Sheet:
    informed = asked("client_informed", "tick", _("The client was informed before"), required=kind == "restriction")
    return Sheet(
        struct=MarkEnd,
        title=_("End it: %(kind)s", kind=_(KINDS[kind])),
        action=f"{ALL}/{mark_id}/end",
        button=_("End it"),
        back=(ALL, _("Clients' rights")),
        fresh=True,
        fields=(informed, asked("note", "area", _("Note"))),
    )


@get(ALL, include_in_schema=False)
async def every_mark(request: PageRequest) -> Response[bytes]:
    """The marks in force, or those that have ended."""
    principal, ended = principal_of(request), request.query_params.get("ended") == "yes"
    after = request.query_params.get("after", "")
    shown, more = page_of(await _marks(request).page(principal, MarkFilters(in_force=not ended), after, PAGE + 1))
    known: dict[str, Any] = {"kinds": KINDS, "grounds": GROUNDS, "changes": _may_change(principal), "back": _back(principal)}
    return page(request, "privacy/marks.html", marks=shown, more=more, ended=ended, **known)


def _back(principal: Principal) -> tuple[str, str]:
    return ("/admin", _("Administration")) if principal.role == "admin" else ("/", _("Start"))


@get(f"{ALL}/new/{{mark_kind:str}}", include_in_schema=False)
async def new_mark(request: PageRequest, mark_kind: FromPath[str]) -> Response[bytes]:
    """The form of a mark."""
    await services_of(request).clinic.require(principal_of(request), CHANGE)
    return show(request, _new(_kind(mark_kind)), {})


@post(f"{ALL}/new/{{mark_kind:str}}", include_in_schema=False, status_code=200)
async def set_mark(request: PageRequest, mark_kind: FromPath[str]) -> Response[Any]:
    """Shows what the mark would concern, and sets it once that was shown."""
    principal, known = principal_of(request), _marks(request)
    await services_of(request).clinic.require(principal, CHANGE)
    sheet = _new(_kind(mark_kind))

    async def work(data: dict[str, Any]) -> Response[Any]:
        shown, given = data.pop("shown", False), {"kind": mark_kind, **data}
        try:
            if shown:
                await known.set(principal, lambda: shaped(NewMark, given))
                return redirect(request, ALL)
            preview = await known.preview(principal, lambda: shaped(NewMark, given))
        except NotFound as error:
            if str(error) != NO_CLIENT:
                raise
            typed = {name: [str(value)] for name, value in data.items()}
            return show(request, sheet, typed, (FieldFault("client_ref", UNKNOWN),), 422)
        words: dict[str, Any] = {"kinds": KINDS, "grounds": GROUNDS, "means": _(MEANS[preview.kind])}
        return page(request, "privacy/mark_preview.html", sheet=sheet, preview=preview, given=data, **words)

    return await send(request, sheet, work)


@get(f"{ALL}/{{mark_id:str}}", include_in_schema=False)
async def ending(request: PageRequest, mark_id: FromPath[str]) -> Response[bytes]:
    """A mark with its ground and its notes, and the form that ends it."""
    principal = principal_of(request)
    mark = await _marks(request).one(principal, mark_id)
    sheet = _end(mark_id, mark.kind)
    known = {"mark": mark, "kinds": KINDS, "grounds": GROUNDS, "means": _(MEANS[mark.kind]), "changes": _may_change(principal)}
    return show(request, msgspec.structs.replace(sheet, template="privacy/mark.html", context=known), {})


@post(f"{ALL}/{{mark_id:str}}/end", include_in_schema=False, status_code=303)
async def end_mark(request: PageRequest, mark_id: FromPath[str]) -> Response[Any]:
    """Ends a mark."""
    principal, known = principal_of(request), _marks(request)
    await services_of(request).clinic.require(principal, CHANGE)
    mark = await known.one(principal, mark_id)

    async def work(data: dict[str, Any]) -> Response[None]:
        await known.end(principal, mark_id, lambda: shaped(MarkEnd, data))
        return redirect(request, ALL)

    return await send(request, _end(mark_id, mark.kind), work)


HANDLERS = (every_mark, new_mark, set_mark, ending, end_mark)
