"""The list of groups, one group's register, and the page that makes a group."""

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.groups.bodies import NewGroup
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.course.sent import SentForm, key_of, new_key, sent_form
from ipt_workflow.web.forms import option_text
from ipt_workflow.web.groups.forms import FormProblem, tried
from ipt_workflow.web.language import gettext, noted
from ipt_workflow.web.pages import PageRequest, page, redirect

PAGE = 50
BECAME = {
    "waiting": noted("waits in the inbox"),
    "dismissed": noted("dismissed"),
    "taken_back": noted("taken back"),
}
REASONS = {
    "completed": noted("Completed"),
    "own_wish": noted("Own wish"),
    "not_reached": noted("Not reached"),
    "moved": noted("Moved away"),
    "referred_on": noted("Referred on"),
    "not_suitable": noted("Not suitable"),
    "other": noted("Another reason"),
}


def attendance_words() -> dict[str, str]:
    """The attendance codes in words, in the order in which they are offered."""
    return {code: gettext(option_text("attendance", code)) for code in ("5", "6", "7", "2", "3", "4")}


@get("/groups", include_in_schema=False)
async def groups(request: PageRequest) -> Response[bytes]:
    """The groups that the reader may see."""
    found = await services_of(request).group_registers.page(principal_of(request), request.query_params.get("after", ""), PAGE + 1)
    may_make = principal_of(request).role in {"therapist", "supervisor"}
    more = len(found.items) > PAGE
    return page(request, "groups/groups.html", groups=found.items[:PAGE], names=found.names, more=more, may_make=may_make)


@get("/groups/new", include_in_schema=False)
async def new(request: PageRequest) -> Response[bytes]:
    """The form of a new group."""
    principal = principal_of(request)
    own = {"facilitators": [principal.person]} if principal.role == "therapist" else {}
    return await _new(request, SentForm(own))


@post("/groups/new", include_in_schema=False, status_code=303)
async def create(request: PageRequest) -> Response[Any]:
    """Makes a group."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    body: dict[str, Any] = {name: value for name in ("label", "protocol") if (value := form.one(name))}
    body["facilitators"] = form.pairs.get("facilitators", [])
    made = []

    async def work() -> None:
        done = await services.groups.create(principal, lambda: shaped(NewGroup, body), key_of(request, principal, form))
        made.append(done.group.id)

    problem = await tried(work, form)
    return redirect(request, f"/groups/{made[0]}") if problem is None else await _new(request, form, problem)


async def _new(request: PageRequest, form: SentForm, problem: FormProblem | None = None) -> Response[bytes]:
    protocols, therapists = await services_of(request).group_registers.to_make(principal_of(request))
    return page(
        request,
        "groups/new.html",
        problem.status if problem else 200,
        protocols=protocols,
        therapists=therapists,
        form=form,
        key=form.key if form.pairs else new_key(),
        errors=problem.errors() if problem else [],
        by_control=problem.by_control() if problem else {},
    )


@get("/groups/{group_id:str}", include_in_schema=False)
async def group(request: PageRequest, group_id: FromPath[str]) -> Response[bytes]:
    """The register of a group: its members by its sessions."""
    found = await services_of(request).group_registers.one(principal_of(request), group_id)
    return page(
        request,
        "groups/group.html",
        register=found,
        group=found.group,
        attendance=attendance_words(),
        became={code: gettext(text) for code, text in BECAME.items()},
        reasons={code: gettext(text) for code, text in REASONS.items()},
        may_manage=principal_of(request).role in {"therapist", "supervisor"},
    )


HANDLERS = (groups, new, create, group)
