"""Where a course stands, in words."""

from ipt_workflow.protocols.definition import NOT_SUITABLE, REFERRED
from ipt_workflow.service.deeds import DeedView
from ipt_workflow.service.views import CourseView
from ipt_workflow.web.forms import option_text
from ipt_workflow.web.language import _, gettext, n_


def standing(course: CourseView) -> str:
    """`Middle phase: session 5 of 12, week 6 of 16`, or how a course that has ended ended."""
    counted, clock, state = course.counters, course.clock, gettext(option_text("state", course.state))
    if course.state in {REFERRED, NOT_SUITABLE}:
        return state
    if course.ending:
        held = n_("%(num)s session", "%(num)s sessions", counted.consumed)
        return _("%(state)s after %(sessions)s", state=state, sessions=held)
    session = (
        _("session %(session)s of %(sessions)s", session=counted.session, sessions=counted.contracted)
        if counted.contracted
        else _("session %(session)s", session=counted.session)
    )
    if clock is None:
        return _("%(state)s: %(session)s", state=state, session=session)
    week = (
        _("week %(week)s of %(weeks)s", week=clock.week, weeks=clock.weeks) if clock.weeks else _("week %(week)s", week=clock.week)
    )
    return _("%(state)s: %(session)s, %(week)s", state=state, session=session, week=week)


def scores(view: DeedView) -> list[tuple[str, float, float]]:
    """Each scale with its first and its last score."""
    return [
        (gettext(view.protocol.instruments[key].title), track.baseline.total, track.last.total)
        for key, track in view.course.measures.items()
        if track.baseline and track.last and track.baseline.seq != track.last.seq
    ]
