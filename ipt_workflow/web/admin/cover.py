"""The pages about cover: who looks after whose courses, from when until when."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.access.cover import FOR_OTHERS, NewCover
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import Moment, Person, Text
from ipt_workflow.web.admin.submission import PAGE, Sheet, asked, page_of, send, show
from ipt_workflow.web.language import _
from ipt_workflow.web.pages import PageRequest, page, redirect

ALL = "/admin/cover"


class CoverForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to arrange cover. `starts` is named `from` in the verb."""

    therapist: Person
    colleague: Person
    starts: Moment | None = None
    until: Moment
    client_told: bool
    reason: Text


def _new() -> Sheet:
    return Sheet(
        struct=CoverForm,
        title=_("Arrange cover"),
        action=f"{ALL}/new",
        button=_("Arrange"),
        back=(ALL, _("Cover")),
        fields=(
            asked("therapist", "text", _("Therapist"), _("The id of who is away."), required=True),
            asked("colleague", "text", _("Colleague"), _("The id of who looks after their courses."), required=True),
            asked("starts", "moment", _("From"), _("Left empty, it begins now.")),
            asked("until", "moment", _("Until"), required=True),
            asked("client_told", "tick", _("The clients know")),
            asked("reason", "area", _("Reason"), _("Such as annual leave. Nothing about a client."), required=True),
        ),
        intro=_(
            "It is for all courses of the therapist, who keeps sight of them. More than 21 days without a break take a supervisor."
        ),
    )


@get(ALL, include_in_schema=False)
async def covers(request: PageRequest) -> Response[bytes]:
    """Cover that is planned or in force, as far as the visitor sees it."""
    found = await services_of(request).covers.page(principal_of(request), request.query_params.get("after", ""), PAGE + 1)
    shown, more = page_of(found)
    return page(
        request,
        "admin/cover.html",
        covers=shown,
        more=more,
        back=_back(request),
        principal=principal_of(request),
        others=FOR_OTHERS,
    )


def _back(request: PageRequest) -> tuple[str, str]:
    return ("/admin", _("Administration")) if principal_of(request).role == "admin" else ("/", _("Start"))


@get(f"{ALL}/new", include_in_schema=False)
async def new(request: PageRequest) -> Response[bytes]:
    """The form that arranges cover. A therapist arranges their own."""
    principal = principal_of(request)
    await services_of(request).clinic.require(principal, "arrange cover")
    return show(request, _new(), {} if principal.role in FOR_OTHERS else {"therapist": [principal.person]})


@post(f"{ALL}/new", include_in_schema=False, status_code=303)
async def arrange(request: PageRequest) -> Response[bytes]:
    """Arranges cover."""
    principal = principal_of(request)

    async def work(data: dict[str, object]) -> Response[None]:
        named = {"from" if name == "starts" else name: value for name, value in data.items()}
        await services_of(request).covers.arrange(principal, lambda: shaped(NewCover, named))
        return redirect(request, ALL)

    await services_of(request).clinic.require(principal, "arrange cover")
    return await send(request, _new(), work)


@post(f"{ALL}/{{cover_id:str}}/end", include_in_schema=False, status_code=303)
async def end(request: PageRequest, cover_id: FromPath[str]) -> Response[None]:
    """Ends cover before its time."""
    await services_of(request).covers.end(principal_of(request), cover_id)
    return redirect(request, ALL)


HANDLERS = (covers, new, arrange, end)
