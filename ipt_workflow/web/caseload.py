"""The courses that somebody may see: open ones by need, those that have ended, and those of one client, who is named in a form."""

from operator import attrgetter
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.service.registry import RegistryPage
from ipt_workflow.store.registry import NEEDS, RegistryFilters
from ipt_workflow.values.identities import LENGTH_MAX
from ipt_workflow.web.course.sent import sent_form
from ipt_workflow.web.forms import Choice
from ipt_workflow.web.language import gettext, noted
from ipt_workflow.web.lines import ATTENTION
from ipt_workflow.web.pages import PageRequest, page

SIZE = 25
ANY, ENDED = "", "ended"
BY_TEXT = attrgetter("text")
NOT_A_REFERENCE = noted("Enter the whole reference, as the EHR writes it: 1 to 128 characters.")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the address asks for. What it does not know asks for nothing."""

    show: str = ANY
    therapist: str = ANY
    protocol: str = ANY
    need: str = ANY
    after: str = ANY

    def address(self, **more: str) -> str:
        """The address of the same list, with other values."""
        asked = msgspec.structs.asdict(msgspec.structs.replace(self, **more))
        query = urlencode({name: value for name, value in asked.items() if value})
        return f"/courses?{query}" if query else "/courses"

    @property
    def filters(self) -> RegistryFilters:
        return RegistryFilters(therapist=self.therapist or None, protocol=self.protocol or None, attention=self.need or None)


@get("/courses", include_in_schema=False)
async def courses(request: PageRequest) -> Response[bytes]:
    """The open courses, those first that most need somebody; or the courses that have ended."""
    wanted, registry, principal = _wanted(request), services_of(request).registry, principal_of(request)
    if wanted.show == ENDED:
        found = await registry.ended(principal, wanted.filters, wanted.after, SIZE)
    else:
        found = await registry.page(principal, wanted.filters, wanted.after or None, SIZE)
    return await _shown(request, found, wanted)


@post("/courses/search", include_in_schema=False, status_code=200)
async def search(request: PageRequest) -> Response[bytes]:
    """The courses of one client. The reference comes in a form, since addresses are logged."""
    ref = (await sent_form(request)).one("client_ref")
    if not 1 <= len(ref) <= LENGTH_MAX:
        return await _shown(request, RegistryPage(items=(), names={}), Wanted(), 422, sought=ref, fault=gettext(NOT_A_REFERENCE))
    found = await services_of(request).registry.of_client(principal_of(request), ref)
    return await _shown(request, found, Wanted(), sought=ref)


def _wanted(request: PageRequest) -> Wanted:
    given = {name: request.query_params.get(name, ANY) for name in Wanted.__struct_fields__}
    need = given["need"] if given["need"] in NEEDS else ANY
    return Wanted(**{**given, "need": need, "show": ENDED if given["show"] == ENDED else ANY})


async def _shown(
    request: PageRequest, found: RegistryPage, wanted: Wanted, status: int = 200, *, sought: str | None = None, fault: str = ""
) -> Response[bytes]:
    services, principal = services_of(request), principal_of(request)
    therapists = await services.registry.therapists(principal)
    return page(
        request,
        "courses.html",
        status,
        found=found,
        wanted=wanted,
        sought=sought,
        fault=fault,
        therapists=[Choice(*each) for each in therapists],
        protocols=sorted(
            {each.id: Choice(each.id, gettext(each.title)) for each in services.clinic.protocols}.values(), key=BY_TEXT
        ),
        needs=[Choice(each, gettext(ATTENTION[each])) for each in NEEDS],
        next=wanted.address(after=found.next) if found.next else "",
        first=wanted.address(after=ANY) if wanted.after else "",
        may_open=principal.role in {"therapist", "supervisor", "admin"},
    )


HANDLERS = (courses, search)
