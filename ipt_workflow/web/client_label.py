"""What the clinic calls a client: the page on which a label is given or taken away. It shows for all courses of the client."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.service.access.client_labels import LABEL_MAX, NewClientLabel
from ipt_workflow.web.course.sent import sent_form
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page, redirect

NOT_A_LABEL = noted("Enter at most %(most)s characters on one line.")


@get("/courses/{course_id:str}/label", include_in_schema=False)
async def label(request: PageRequest, course_id: FromPath[str]) -> Response[bytes]:
    """The label that the course's client has."""
    found = await services_of(request).client_labels.to_give(principal_of(request), course_id)
    return page(request, "label.html", course=course_id, label=found or "", fault="")


@post("/courses/{course_id:str}/label", include_in_schema=False, status_code=303)
async def give_label(request: PageRequest, course_id: FromPath[str]) -> Response[Any]:
    """Gives the label that was typed; an empty one takes the label away."""
    services, principal, typed = services_of(request), principal_of(request), (await sent_form(request)).one("label")
    known = await services.client_labels.to_give(principal, course_id)
    if not typed:
        if known is not None:
            await services.client_labels.take_away(principal, course_id)
        return redirect(request, f"/courses/{course_id}")
    try:
        new = msgspec.convert({"label": typed}, NewClientLabel)
    except msgspec.ValidationError:
        fault = _(NOT_A_LABEL, most=LABEL_MAX)
        return page(request, "label.html", 422, course=course_id, label=typed, fault=fault)
    await services.client_labels.give(principal, course_id, lambda: new)
    return redirect(request, f"/courses/{course_id}")


HANDLERS = (label, give_label)
