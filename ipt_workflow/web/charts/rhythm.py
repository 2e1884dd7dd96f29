"""The social rhythm, week by week: how regular the times of daily activities are, from 0 to 7."""

from ipt_workflow.service.views import RhythmView, RhythmWeekView
from ipt_workflow.web.charts.svg import WIDTH, Axis, Row, SvgChart, dot, drawing, line, path, text
from ipt_workflow.web.language import _, day, n_, number, short_day

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 200, 52, 40, 12, 30
HIGHEST = 7
LABELS_MAX = 7


def rhythm_chart(rhythm: RhythmView, uid: str) -> SvgChart | None:
    """The regularity of the weeks that the view lists; None without a week. A week without a score breaks the line."""
    weeks = rhythm.weeks
    if not weeks:
        return None
    first, last = weeks[0].week_of.toordinal(), weeks[-1].week_of.toordinal()
    across = Axis(first, last, LEFT, WIDTH - RIGHT)
    up = Axis(0, HIGHEST, HEIGHT - BOTTOM, TOP)
    parts = [text(LEFT - 8, up.place(each) + 4, str(each), "end") for each in range(HIGHEST + 1)]
    parts += [line("grid", LEFT, up.place(each), WIDTH - RIGHT, up.place(each)) for each in range(1, HIGHEST + 1)]
    parts.append(line("axis", LEFT, up.place(0), WIDTH - RIGHT, up.place(0)))
    for run in _runs(weeks):
        points = [(across.place(each.week_of.toordinal()), up.place(each.score or 0)) for each in run]
        parts.append(path("trace", points))
        parts += [dot("dot", x, y) for x, y in points]
    step = -(-len(weeks) // LABELS_MAX)
    shown = weeks[::step]
    parts += [text(across.place(each.week_of.toordinal()), HEIGHT - 10, short_day(each.week_of), "middle") for each in shown]
    title, sentence = _("Regularity of the social rhythm"), _sentence(rhythm)
    return SvgChart(
        svg=drawing("rhythm", uid, (WIDTH, HEIGHT), title, sentence, parts),
        title=title,
        sentence=sentence,
        headings=(_("Week of"), _("Regularity"), _("Activities counted"), _("Aims met")),
        rows=tuple(_row(each) for each in weeks),
    )


def _runs(weeks: tuple[RhythmWeekView, ...]) -> list[list[RhythmWeekView]]:
    """The weeks with a score, apart where a week has none."""
    runs: list[list[RhythmWeekView]] = [[]]
    for each in weeks:
        if each.score is None:
            runs.append([])
        else:
            runs[-1].append(each)
    return [run for run in runs if run]


def _sentence(rhythm: RhythmView) -> str:
    scores = [each.score for each in rhythm.weeks if each.score is not None]
    counted = n_("%(num)s week is recorded.", "%(num)s weeks are recorded.", rhythm.count)
    if not scores:
        return _("%(counted)s No activity was done often enough to count.", counted=counted)
    return _(
        "%(counted)s Regularity lay from %(low)s to %(high)s of %(most)s; the last is %(last)s.",
        counted=counted,
        low=number(min(scores)),
        high=number(max(scores)),
        most=HIGHEST,
        last=number(scores[-1]),
    )


def _row(week: RhythmWeekView) -> Row:
    score = _("none") if week.score is None else number(week.score)
    aims = _("%(met)s of %(aimed)s", met=week.met, aimed=week.aimed) if week.aimed else _("no aims")
    return day(week.week_of), score, str(week.activities), aims
