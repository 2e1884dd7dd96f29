"""One course on one page: where it is, what comes next, its scores, and who works with it."""

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.overviews import LOOKS_DAYS, Demand, LinkedCourse, Overview
from ipt_workflow.service.views import CourseDetails
from ipt_workflow.store.proposals import StoredProposal
from ipt_workflow.store.readers import CourseLook
from ipt_workflow.web import charts
from ipt_workflow.web.charts import Mark, PhasePart, StripLimits, SvgChart
from ipt_workflow.web.course import steps
from ipt_workflow.web.course.glance import glances, word
from ipt_workflow.web.course.progress import standing
from ipt_workflow.web.course.ways import Doer, WayOut
from ipt_workflow.web.forms import deed_label
from ipt_workflow.web.language import _, day, gettext, moment, n_, noted
from ipt_workflow.web.navigation import role_name
from ipt_workflow.web.pages import PageRequest, page, root
from ipt_workflow.web.privacy.words import GROUNDS, KINDS
from ipt_workflow.web.refusals import sentence

FIRST_STEPS = (
    "record_session",
    "sign_session",
    "record_measure",
    "review_risk",
    "book_session",
)  # the buttons, as far as they are possible
CASES_OF_EMERGENCY = frozenset({"elevated", "acute"})


class DemandLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the next step asks for, and whether it is there. `ways` lead to where it is done."""

    title: str
    status: str
    text: str = ""
    earliest: Any = None
    ways: tuple[WayOut, ...] = ()


@get("/courses/{course_id:str}", include_in_schema=False)
async def course(request: PageRequest, course_id: FromPath[str]) -> Response[bytes]:
    """The course, with what the reader may do on it."""
    principal = principal_of(request)
    found = await services_of(request).overviews.one(principal, course_id, leaving_out=steps.ELSEWHERE)
    doer, parts = Doer(principal.role, course_id, root(request.app.state.settings)), phase_parts(found.course, found.protocol)
    return page(
        request,
        "course/overview.html",
        course=found.course,
        view=found,
        protocol=gettext(found.protocol.title),
        label=found.label,
        heading=standing(found.course),
        phases=parts,
        strip=charts.phase_strip(limits_of(found.course), parts, "strip"),
        warning=warning(found.course),
        next_step=_next_step(found),
        demands=[_demand(doer, each) for each in found.demands],
        buttons=_buttons(found),
        groups=steps.groups_of(course_id, found.options),
        glances=glances(found),
        charts=list(measure_charts(found)),
        rhythm=charts.rhythm_chart(found.course.rhythm, "rhythm") if found.course.rhythm else None,
        risks=_risks(found.course),
        proposals=[_proposal(found, each) for each in found.proposals],
        by=_basis(found),
        marks=[_("%(kind)s: %(ground)s", kind=_(KINDS[each.kind]), ground=_(GROUNDS[each.ground])) for each in found.marks],
        linked=[{"id": each.id, "text": _other_course(each)} for each in found.linked],
        looks=[_look(found, each) for each in found.looks],
        looks_days=LOOKS_DAYS,
        may_report=not (found.relation and found.relation.writes is not None),  # not by emergency access
    )


def phase_parts(course: CourseDetails, protocol: Protocol) -> list[PhasePart]:
    """The phases with their sessions. An ended course has none that is going on."""
    ids = protocol.phase_ids
    reached = ids.index(course.phase) if course.phase in ids else -1
    going_on = course.ending is None
    return [
        PhasePart(
            word("state", phase.id),
            "now" if index == reached and going_on else "done" if index <= reached else "ahead",
            course.counters.attended.get(phase.id, 0),
            course.counters.caps.get(phase.id),
        )
        for index, phase in enumerate(protocol.phases)
    ]


def limits_of(course: CourseDetails) -> StripLimits:
    clock = course.clock
    return StripLimits(
        used=course.counters.consumed,
        agreed=course.counters.contracted,
        week=clock.week if clock else 0,
        weeks=clock.weeks if clock else course.contract.weeks if course.contract else None,
    )


def warning(course: CourseDetails) -> str:
    """What of the risk must not be missed; empty if nothing."""
    if course.risk.open_since:
        return _("Risk was seen on %(day)s and has not been reviewed.", day=day(course.risk.open_since))
    if course.risk.level in CASES_OF_EMERGENCY:
        return _("Risk: %(level)s.", level=word("risk", course.risk.level))
    return ""


def _next_step(view: Overview) -> dict[str, Any] | None:
    """The step that leaves the present phase; None where there is none."""
    trigger = view.course.next
    if trigger is None:
        return None
    option = next((each for each in view.options if each.trigger == trigger), None)
    return {
        "title": gettext(deed_label(trigger).title),
        "href": steps.href(view.course.id, trigger),
        "missing": sum(each.refusal is not None for each in view.demands),
        "allowed": option is not None and option.allowed,
        "offered": option is not None,
    }


def _demand(doer: Doer, demand: Demand) -> DemandLine:
    title, refusal = gettext(steps.DEMANDS[demand.rule]), demand.refusal
    if refusal is None:
        return DemandLine(title=title, status="met")
    return DemandLine(
        title=title,
        status="reason" if refusal.severity == "soft" else "missing",
        text=sentence(refusal),
        earliest=refusal.earliest,
        ways=doer.ways(refusal.remedies),
    )


def _buttons(view: Overview) -> list[steps.CourseStep]:
    by_name = {each.trigger: each for each in view.options}
    wanted = [by_name[name] for name in FIRST_STEPS if name in by_name]
    return [steps.step_of(view.course.id, each) for each in wanted if each.allowed]


def measure_charts(view: Overview) -> Iterator[tuple[str, SvgChart | None, tuple[str, ...]]]:
    """For each scale its name, its chart if it was taken, and the phases in which it could not be."""
    course, protocol = view.course, view.protocol
    phases = [Mark(each.at, word("state", each.phase)) for each in view.happened if each.phase]
    events = [Mark(each.at, gettext(deed_label(each.trigger).done)) for each in view.happened if not each.phase]
    ended_at = course.ending.at if course.ending else None
    for key, measure in course.measures.items():
        scale = protocol.instruments[key]
        uid = key.replace("@", "-")
        chart = charts.measure_chart(scale, measure, course.scores.get(key, ()), uid, phases, events, ended_at)
        lacking = tuple(word("state", each) for each in measure.not_obtained)
        yield gettext(scale.title), chart, lacking


def _risks(course: CourseDetails) -> list[dict[str, Any]]:
    """What was seen of risk, the latest first."""
    return [
        {
            "at": each.at,
            "what": gettext(deed_label(each.trigger).done),
            "level": word("risk", each.level) if each.level else "",
            "event": each,
        }
        for each in reversed(course.risk_history)
    ]


BASES = {  # why somebody sees a course
    "own": noted("as its therapist"),
    "group": noted("as the therapist of its group"),
    "cover": noted("as cover"),
    "supervision": noted("as supervisor"),
    "emergency": noted("by emergency access"),
    "organisation": noted("for the clinic"),
    "system": noted("as a system"),
}
LINKS = {
    "before": noted("The course before: %(protocol)s, %(state)s, since %(day)s"),
    "follows": noted("The course after: %(protocol)s, %(state)s, since %(day)s"),
    "another": noted("%(protocol)s, %(state)s, since %(day)s"),
}


def _basis(view: Overview) -> str:
    """Why the reader sees a course that is not their own, where that asks for care."""
    relation = view.relation
    if relation is None:
        return ""
    if relation.basis == "emergency":
        return _("You see this course by emergency access. A supervisor will review it.")
    if relation.basis == "cover":
        whom = relation.on_behalf_of or ""
        return _("You cover for %(person)s. What you record says so.", person=view.names.get(whom, whom))
    return ""


def _proposal(view: Overview, proposal: StoredProposal) -> str:
    """What became of something that a supervisor has to agree to."""
    what, asker, decider = gettext(deed_label(proposal.trigger).title), proposal.proposed_by, proposal.decided_by
    if decider:
        whose = view.names.get(decider, decider)
        return _("%(what)s: %(person)s returned it, to be revised.", what=what, person=whose)
    since, whose = day(proposal.proposed_at), view.names.get(asker, asker)
    return _("%(what)s: %(person)s asked a supervisor to agree on %(day)s.", what=what, person=whose, day=since)


def _other_course(linked: LinkedCourse) -> str:
    title = gettext(linked.protocol.title)
    return _(LINKS[linked.how], protocol=title, state=word("state", linked.state), day=day(linked.opened_at))


def _look(view: Overview, look: CourseLook) -> str:
    """`Miriam Adler, supervisor, for the clinic: 3 times, last on 5 Jan 2026, 09:30`."""
    return _(
        "%(person)s, %(role)s, %(basis)s: %(times)s, last on %(moment)s",
        person=view.names.get(look.person, look.person),
        role=role_name(look.role),
        basis=gettext(BASES.get(look.basis or "", "")) if look.basis in BASES else _("without a basis on record"),
        times=n_("once", "%(num)s times", look.times),
        moment=moment(look.last_at),
    )


HANDLERS = (course,)
