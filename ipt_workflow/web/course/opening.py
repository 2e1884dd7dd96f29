"""The page on which a course is opened: a client is referred, or a supervisor takes over a course begun elsewhere."""

from typing import Any

import msgspec
from litestar import Response, get, post

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course import triggers
from ipt_workflow.errors import CommandInvalid, KeyReused, TransitionRefused, TriggerNotPermitted
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.deeds import OpeningView
from ipt_workflow.service.writes import Opening
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.course import sent
from ipt_workflow.web.course.choices import choices_to_open
from ipt_workflow.web.course.frames import OpeningFrame
from ipt_workflow.web.course.sent import ADD, SentForm, ShownForm, key_of, sent_form
from ipt_workflow.web.course.ways import Doer
from ipt_workflow.web.faults import field_faults
from ipt_workflow.web.forms import FieldFault, FormContext, FormField, deed_label, describe, errors, first_pairs, read
from ipt_workflow.web.forms.posted import FILL_IN
from ipt_workflow.web.language import _, gettext, reader
from ipt_workflow.web.pages import PageRequest, page, redirect, root

REFER, ADOPT = "refer", "adopt"
NARROW = "_narrow"  # the button that shows what the chosen form of IPT is for
FIRST_FORM = "ipt"  # the form of IPT that is chosen unless somebody chooses another


@get("/courses/new", include_in_schema=False)
async def new_course(request: PageRequest) -> Response[bytes]:
    """The form of a referral, or with `?as=adopt` of a course that began elsewhere."""
    trigger = _trigger(request)
    view = await services_of(request).deeds.opening(principal_of(request))
    data = {"protocol": FIRST_FORM, "therapist": _own(request, view)}
    pairs = first_pairs(OpeningFrame, data, reader().zone) | first_pairs(triggers.BY_NAME[trigger].payload, {}, reader().zone)
    return _shown(request, trigger, view, ShownForm(pairs=pairs, key=sent.new_key()))


@post("/courses/new", include_in_schema=False, status_code=303, request_max_body_size=sent.BYTES_MAX)
async def open_course(request: PageRequest) -> Response[Any]:
    """Opens the course, and leads to it."""
    trigger, form = _trigger(request), await sent_form(request)
    services, principal = services_of(request), principal_of(request)
    view = await services.deeds.opening(principal)
    if form.one(ADD) or form.one(NARROW):
        return _shown(request, trigger, view, form.shown(), _chosen(view, form))
    faults, body = _read(trigger, form)
    if faults:
        return _shown(request, trigger, view, form.shown(faults=faults), _chosen(view, form))
    try:
        key = key_of(request, principal, form)
        done = await services.courses.open_course(principal, lambda: shaped(Opening, body), key, (trigger,), entries_only=True)
    except CommandInvalid as invalid:
        shown = form.shown(faults=field_faults(invalid.faults, form.pairs))
    except TransitionRefused as refused:
        shown = form.shown(refusals=refused.refusals)
    except KeyReused:
        shown = form.shown(used=True, key=sent.new_key())
    else:
        seen = await services.deeds.sees(principal, done.course_id)  # who refers a client does not always see their course
        return redirect(request, f"/courses/{done.course_id}" if seen else "/")
    return _shown(request, trigger, view, shown, _chosen(view, form))


def _chosen(view: OpeningView, form: SentForm) -> Protocol | None:
    """The form of IPT that was chosen, whose reasons, phases and problem areas the page then offers alone."""
    return next((each for each in view.protocols if each.id == form.one("protocol")), None)


def _trigger(request: PageRequest) -> str:
    """`refer`, or `adopt` for those who may."""
    trigger = ADOPT if request.query_params.get("as") == ADOPT else REFER
    roles, role = triggers.BY_NAME[trigger].roles, principal_of(request).role
    if role not in roles:
        raise TriggerNotPermitted(trigger, role, roles)
    return trigger


def _own(request: PageRequest, view: OpeningView) -> str | None:
    """Who refers as a therapist is the therapist, unless they name another."""
    person = principal_of(request).person
    return person if any(each.id == person for each in view.therapists) else None


def _read(trigger: str, form: SentForm) -> tuple[list[FieldFault], dict[str, Any]]:
    """Everything that is wrong, or the body of the opening."""
    zone = reader().zone
    frame, data = read(OpeningFrame, form.pairs, zone), read(triggers.BY_NAME[trigger].payload, form.pairs, zone)
    faults = [*frame.faults, *data.faults]
    if triggers.BY_NAME[trigger].reason_required and not form.one("reason"):
        faults.append(FieldFault("reason", FILL_IN))
    override, unexplained = form.override()
    body = {**frame.data, "trigger": trigger, "data": data.data}
    return [*faults, *unexplained], body if override is None else {**body, "override": msgspec.to_builtins(override)}


def _fields(trigger: str, view: OpeningView, form: ShownForm, chosen: Protocol | None) -> tuple[FormField, ...]:
    row, choices = triggers.BY_NAME[trigger], choices_to_open(view, chosen)
    context = FormContext(pairs=form.pairs, faults=form.faults, choices=choices, add=form.add, translate=gettext)
    frame = {each.name: each for each in describe(OpeningFrame, context)}
    first = [frame[name] for name in ("client_ref", "protocol", "therapist")]
    reason = msgspec.structs.replace(frame["reason"], required=True, label=gettext(deed_label(trigger).reason or "Reason"))
    return (*first, *describe(row.payload, context), *((reason,) if row.reason_required else ()), frame["occurred_at"])


def _shown(
    request: PageRequest, trigger: str, view: OpeningView, form: ShownForm, chosen: Protocol | None = None
) -> Response[bytes]:
    fields, above, role = _fields(trigger, view, form, chosen), root(request.app.state.settings), principal_of(request).role
    return page(
        request,
        "course/opening.html",
        form.status,
        trigger=trigger,
        label={name: gettext(text) if text else "" for name, text in msgspec.structs.asdict(deed_label(trigger)).items()},
        fields=fields,
        errors=errors(fields, form.faults, gettext),
        action=f"/courses/new{'?as=adopt' if trigger == ADOPT else ''}",
        cancel="/courses",
        back=_("Back to the courses"),
        course=None,
        draft=None,
        version=None,
        blocked=Doer(role, "", above).blocking(form.refusals),
        adopts=role in triggers.BY_NAME[ADOPT].roles,
        **form.context(),
    )


HANDLERS = (new_course, open_course)
