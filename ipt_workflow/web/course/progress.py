"""Where a course stands, in sentences beside its forms."""

from ipt_workflow.service.deeds import DeedView
from ipt_workflow.service.views import CourseView
from ipt_workflow.web.forms import option_text
from ipt_workflow.web.language import _, gettext


def standing(course: CourseView) -> str:
    """`Middle phase: session 5 of 12, week 6 of 16.`"""
    counted, clock, state = course.counters, course.clock, gettext(option_text("state", course.state))
    if not counted.contracted:
        return _("%(phase)s: session %(session)s.", phase=state, session=counted.session)
    if clock is None or not clock.weeks:
        return _(
            "%(phase)s: session %(session)s of %(sessions)s.", phase=state, session=counted.session, sessions=counted.contracted
        )
    return _(
        "%(phase)s: session %(session)s of %(sessions)s, week %(week)s of %(weeks)s.",
        phase=state,
        session=counted.session,
        sessions=counted.contracted,
        week=clock.week,
        weeks=clock.weeks,
    )


def scores(view: DeedView) -> list[tuple[str, float, float]]:
    """Each scale with its first and its last score."""
    return [
        (view.protocol.instruments[key].title, track.baseline.total, track.last.total)
        for key, track in view.course.measures.items()
        if track.baseline and track.last and track.baseline.seq != track.last.seq
    ]
