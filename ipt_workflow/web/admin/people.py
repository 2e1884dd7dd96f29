"""The pages about people: who they are, their roles and supervisors, how they sign in, and that they left or came back."""

from urllib.parse import quote

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.access.people import STAFF_ROLES
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandInvalid, ReauthenticationNeeded
from ipt_workflow.service.access.people import Language, NewPerson, PersonChange, PersonView, Roles, Supervisors, Zone
from ipt_workflow.store.people import PersonFilters
from ipt_workflow.store.schema.tables import PERSON_STATUSES
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import Identity
from ipt_workflow.web.admin.submission import (
    PAGE,
    Sheet,
    asked,
    confirmed,
    first,
    page_of,
    refused,
    role_options,
    send,
    show,
    unconfirmed,
)
from ipt_workflow.web.forms import FormField
from ipt_workflow.web.language import NAMES, _
from ipt_workflow.web.local_sign_in import enrolment_in
from ipt_workflow.web.pages import PageRequest, page, redirect

ALL = "/admin/people"


class PersonForm(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of a person."""

    name: Identity
    roles: Roles
    supervisors: Supervisors = ()
    language: Language | None = None
    zone: Zone | None = None


def _place(person_id: str) -> str:
    return f"{ALL}/{quote(person_id, safe='')}"


def _fields() -> tuple[FormField, ...]:
    languages = [*NAMES.items()]
    return (
        asked("name", "text", _("Name"), required=True),
        asked(
            "roles",
            "ticks",
            _("Roles"),
            _("A person acts in one of their roles at a time."),
            required=True,
            options=role_options(*STAFF_ROLES),
        ),
        asked("supervisors", "lines", _("Supervisors"), _("Ids of supervisors, one a line.")),
        asked("language", "select", _("Language"), _("Of the pages. Left empty, it is that of the browser."), options=languages),
        asked("zone", "text", _("Time zone"), _("Such as Europe/Berlin. Left empty, it is that of the organisation.")),
    )


def _new() -> Sheet:
    return Sheet(
        struct=NewPerson,
        title=_("Add a person"),
        action=f"{ALL}/new",
        button=_("Add"),
        back=(ALL, _("People")),
        fields=(
            asked(
                "id", "text", _("Id"), _("By which they are known for good. It is never given to another person."), required=True
            ),
            *_fields(),
        ),
    )


def _change(person_id: str) -> Sheet:
    return Sheet(
        struct=PersonForm,
        title=_("Change a person"),
        action=f"{_place(person_id)}/change",
        button=_("Save"),
        back=(_place(person_id), person_id),
        fields=_fields(),
        cleared={"supervisors": (), "language": None, "zone": None, "roles": ()},
        intro=_("What they hold in a role that is taken away ends at once: tokens, sessions, cover and emergency accesses."),
    )


@get(ALL, include_in_schema=False)
async def people(request: PageRequest) -> Response[bytes]:
    """The staff, in the order of their ids, with those who have left."""
    query = request.query_params
    filters = PersonFilters(
        status=query.get("status") if query.get("status") in PERSON_STATUSES else None,
        role=query.get("role") if query.get("role") in STAFF_ROLES else None,
    )
    found = await services_of(request).people.page(principal_of(request), filters, query.get("after", ""), PAGE + 1)
    shown, more = page_of(found)
    return page(request, "admin/people.html", people=shown, more=more, filters=filters, roles=STAFF_ROLES, statuses=PERSON_STATUSES)


@get(f"{ALL}/new", include_in_schema=False)
async def new(request: PageRequest) -> Response[bytes]:
    """The form that adds a person."""
    await services_of(request).clinic.require(principal_of(request), "manage people")
    return show(request, _new(), {})


@post(f"{ALL}/new", include_in_schema=False, status_code=303)
async def add(request: PageRequest) -> Response[bytes]:
    """Adds a person."""

    async def work(data: dict[str, object]) -> Response[None]:
        made = await services_of(request).people.add(principal_of(request), lambda: shaped(NewPerson, data))
        return redirect(request, _place(made.id))

    await services_of(request).clinic.require(principal_of(request), "manage people")
    return await send(request, _new(), work)


@get(f"{ALL}/{{person_id:str}}", include_in_schema=False)
async def person(request: PageRequest, person_id: FromPath[str]) -> Response[bytes]:
    """A person, how they sign in, and what can be done."""
    return await _person(request, await services_of(request).people.one(principal_of(request), person_id))


async def _person(request: PageRequest, found: PersonView, link: str = "") -> Response[bytes]:
    clinic = services_of(request).clinic
    known = await enrolment_in(request, clinic).of(principal_of(request), found.id) if found.status == "active" else None
    return page(
        request,
        "admin/person.html",
        person=found,
        place=_place(found.id),
        known=known,
        link=link,
        sessions=await services_of(request).sessions.list(principal_of(request), found.id),
        fresh=confirmed(request),
    )


@get(f"{ALL}/{{person_id:str}}/change", include_in_schema=False)
async def changing(request: PageRequest, person_id: FromPath[str]) -> Response[bytes]:
    """The form that changes a person."""
    found, sheet = await services_of(request).people.one(principal_of(request), person_id), _change(person_id)
    return show(request, sheet, first(found, sheet))


@post(f"{ALL}/{{person_id:str}}/change", include_in_schema=False, status_code=303)
async def change(request: PageRequest, person_id: FromPath[str]) -> Response[bytes]:
    """Changes a person."""
    await services_of(request).people.one(principal_of(request), person_id)

    async def work(data: dict[str, object]) -> Response[None]:
        await services_of(request).people.change(principal_of(request), person_id, lambda: shaped(PersonChange, data))
        return redirect(request, _place(person_id))

    return await send(request, _change(person_id), work)


@get(f"{ALL}/{{person_id:str}}/leave", include_in_schema=False)
async def leaving(request: PageRequest, person_id: FromPath[str]) -> Response[bytes]:
    """Asks before somebody's access ends."""
    found = await services_of(request).people.one(principal_of(request), person_id)
    return page(request, "admin/leave.html", person=found, place=_place(person_id))


@post(f"{ALL}/{{person_id:str}}/leave", include_in_schema=False, status_code=200)
async def leave(request: PageRequest, person_id: FromPath[str]) -> Response[bytes]:
    """Records that a person left. The page says what ended with it."""
    try:
        departure = await services_of(request).people.leave(principal_of(request), person_id)
    except CommandInvalid as invalid:
        return refused(request, invalid, (_place(person_id), person_id))
    return page(request, "admin/left.html", person=departure.person, ended=departure.ended, place=_place(person_id))


@post(f"{ALL}/{{person_id:str}}/return", include_in_schema=False, status_code=303)
async def come_back(request: PageRequest, person_id: FromPath[str]) -> Response[bytes] | Response[None]:
    """Records that a person came back."""
    try:
        await services_of(request).people.come_back(principal_of(request), person_id)
    except CommandInvalid as invalid:
        return refused(request, invalid, (_place(person_id), person_id))
    return redirect(request, _place(person_id))


@post(f"{ALL}/{{person_id:str}}/link", include_in_schema=False, status_code=200)
async def link(request: PageRequest, person_id: FromPath[str]) -> Response[bytes]:
    """Makes the link with which a person sets up how they sign in. It is shown this once."""
    services = services_of(request)
    found = await services.people.one(principal_of(request), person_id)
    try:
        made = await enrolment_in(request, services.clinic).make_link(principal_of(request), person_id)
    except ReauthenticationNeeded:
        return unconfirmed(request, (_place(person_id), person_id))
    return await _person(request, found, made.link)


@post(f"{ALL}/{{person_id:str}}/revoke", include_in_schema=False, status_code=303)
async def revoke(request: PageRequest, person_id: FromPath[str]) -> Response[bytes] | Response[None]:
    """Takes away everything with which a person signs in here, such as when a device is stolen."""
    try:
        await enrolment_in(request, services_of(request).clinic).revoke(principal_of(request), person_id)
    except ReauthenticationNeeded:
        return unconfirmed(request, (_place(person_id), person_id))
    return redirect(request, _place(person_id))


@post(f"{ALL}/{{person_id:str}}/sessions/{{session_id:str}}/end", include_in_schema=False, status_code=303)
async def end_session(request: PageRequest, person_id: FromPath[str], session_id: FromPath[str]) -> Response[None]:
    """Ends one of a person's sessions, such as one that stands open at another desk."""
    await services_of(request).people.one(principal_of(request), person_id)
    await services_of(request).sessions.end(principal_of(request), session_id)
    return redirect(request, _place(person_id))


HANDLERS = (people, new, add, person, changing, change, leaving, leave, come_back, link, revoke, end_session)
