"""What is printed of a course, by the browser: a summary on one page, a letter to the referrer, and a sheet for the client."""

from typing import Any, get_args

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.service.papers import PaperKind, PaperView
from ipt_workflow.service.views import CourseDetails
from ipt_workflow.values.types import ATTENDED, MISSED_BY_CLIENT
from ipt_workflow.web import charts
from ipt_workflow.web.charts.measure import change_in_words
from ipt_workflow.web.course.glance import contract, ending, formulation, problem_areas, word
from ipt_workflow.web.course.overview import limits_of, phase_parts, warning
from ipt_workflow.web.course.progress import standing
from ipt_workflow.web.language import _, day, gettext, n_, number
from ipt_workflow.web.pages import PageRequest, page

KINDS = get_args(PaperKind)


@get("/courses/{course_id:str}/paper/{kind:str}", include_in_schema=False)
async def paper(request: PageRequest, course_id: FromPath[str], kind: FromPath[str]) -> Response[bytes]:
    """A page made for paper."""
    if kind not in KINDS:
        raise NotFoundException
    view = await services_of(request).papers.one(principal_of(request), course_id, kind)  # type: ignore[arg-type]
    course = view.course
    parts = phase_parts(course, view.protocol)
    return page(
        request,
        f"course/paper_{kind}.html",
        view=view,
        course=course,
        words=view.words,
        protocol=gettext(view.protocol.title),
        heading=standing(course),
        phases=parts,
        strip=charts.phase_strip(limits_of(course), parts, "strip"),
        areas=list(problem_areas(course)),
        formulation=formulation(course) if course.formulation else "",
        contract=list(contract(course)),
        ending=list(ending(course)),
        continuation=word("continuation", view.words.continuation) if view.words.continuation else "",
        indication=word("indication", course.indication) if course.indication else "",
        warning=warning(course),
        risk=word("risk", course.risk.level),
        sessions=sessions_in_words(course),
        scores=scores(view),
        therapist=view.names.get(course.therapist or "", course.therapist or ""),
        supervisor=view.names.get(course.supervisor or "", course.supervisor or ""),
        contacts=[line for line in view.texts.crisis_contacts.splitlines() if line.strip()],
        now_phase=next((each.title for each in parts if each.state == "now"), ""),
        shared="sharing" in course.consents,
    )


def sessions_in_words(course: CourseDetails) -> str:
    """How many sessions were held, of how many, and how many the client missed."""
    held = sum(each.attendance in ATTENDED for each in course.sessions) + sum(
        (course.adopted.attended if course.adopted else {}).values()
    )
    missed = sum(each.attendance in MISSED_BY_CLIENT for each in course.sessions)
    said = n_("%(num)s session was held", "%(num)s sessions were held", held)
    if course.counters.contracted:
        said = _("%(held)s of %(agreed)s agreed", held=said, agreed=course.counters.contracted)
    if missed:
        return _("%(held)s; %(missed)s", held=said, missed=n_("%(num)s was missed", "%(num)s were missed", missed))
    return said


def scores(view: PaperView) -> list[dict[str, Any]]:
    """Each scale from its first to its last total, and what the change means."""
    found = []
    for key, measure in view.course.measures.items():
        scale = view.protocol.instruments[key]
        if measure.last is None:
            continue
        first = measure.baseline or measure.last
        found.append(
            {
                "scale": gettext(scale.title),
                "first": _("%(total)s on %(day)s", total=number(first.total), day=day(first.at)),
                "last": _("%(total)s on %(day)s", total=number(measure.last.total), day=day(measure.last.at)),
                "band": gettext(measure.last.band) if measure.last.band else "",
                "change": change_in_words(scale, measure.change) if measure.change else "",
            }
        )
    return found


HANDLERS = (paper,)
