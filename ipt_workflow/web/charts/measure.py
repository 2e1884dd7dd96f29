"""One scale over the course: bands, the line of reliable change, phases and events."""

import datetime as dt
from collections.abc import Iterator, Sequence

import msgspec

from ipt_workflow.protocols.instruments import Change, Instrument
from ipt_workflow.service.views import MeasureView, ReadingView, ScoreView
from ipt_workflow.web.charts.svg import WIDTH, Axis, Row, SvgChart, box, dot, drawing, line, path, text
from ipt_workflow.web.language import _, day, gettext, n_, number, short_day

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 300, 40, 130, 30, 34
APART = 80  # the least distance of two labels under the axis
PHASE_LINES = (TOP - 8, TOP - 20)  # where names of phases stand
LETTER = 8  # the width of a letter, at most on average
SHORTEST = 28  # days that the axis shows at least


class Mark(msgspec.Struct, frozen=True):
    """A moment with its name: a phase that began, or an event of the course."""

    at: dt.datetime
    words: str


class _Frame(msgspec.Struct, frozen=True):
    """The scale of one chart, and where its values lie."""

    scale: Instrument
    across: Axis
    up: Axis

    def x(self, at: dt.datetime) -> float:
        return self.across.place(at.timestamp())


def measure_chart(
    scale: Instrument,
    view: MeasureView,
    scores: Sequence[ScoreView],
    uid: str,
    phases: Sequence[Mark] = (),
    events: Sequence[Mark] = (),
    ended_at: dt.datetime | None = None,
) -> SvgChart | None:
    """The readings of one scale; None if none has a total. Those after the ending have hollow dots.

    `scores` are in the order in which they were taken. Events outside of the time that is shown are left out.
    """
    whole = [each for each in scores if each.total is not None]
    if not whole:
        return None
    first, last = whole[0].at, max(whole[-1].at, whole[0].at + dt.timedelta(days=SHORTEST))
    across = Axis(first.timestamp(), last.timestamp(), LEFT + 8, WIDTH - RIGHT - 8)
    frame = _Frame(scale, across, Axis(scale.total_min, scale.total_max, HEIGHT - BOTTOM, TOP))
    shown = [each for each in events if first <= each.at <= last]
    parts = [*_bands(frame), *_cuts(frame, view.baseline), *_phases(frame, phases, first, last)]
    parts += [*_events(frame, shown), *_readings(frame, whole, ended_at)]
    title, sentence = _("%(scale)s over the course", scale=gettext(scale.title)), _sentence(scale, view, whole)
    return SvgChart(
        svg=drawing("measure", uid, (WIDTH, HEIGHT), title, sentence, parts),
        title=title,
        sentence=sentence,
        headings=(_("Day"), _("Phase"), _("Total"), _("Band"), _("Since the first")),
        rows=tuple(_row(each, view.baseline, phases, ended_at) for each in scores),
        notes=tuple(_("%(day)s: %(event)s", day=day(each.at), event=each.words) for each in shown),
    )


def _bands(frame: _Frame) -> Iterator[str]:
    """The bands, shaded by turns, with their names beside them and their lowest totals before them."""
    scale, right = frame.scale, WIDTH - RIGHT
    for index, band in enumerate(scale.bands):
        top, bottom = frame.up.place(min(scale.total_max, band.max + 0.5)), frame.up.place(max(scale.total_min, band.min - 0.5))
        yield box("band" if index % 2 == 0 else "band band--other", LEFT, top, right - LEFT, bottom - top)
        yield text(right + 6, (top + bottom) / 2 + 4, gettext(band.label))
    for total in sorted({scale.total_min, *(band.min for band in scale.bands), scale.total_max}):
        yield text(LEFT - 6, frame.up.place(total) + 4, str(total), "end")
    yield line("axis", LEFT, frame.up.place(scale.total_min), right, frame.up.place(scale.total_min))


def _cuts(frame: _Frame, baseline: ReadingView | None) -> Iterator[str]:
    """From where a change since the baseline is reliable."""
    line_at = reliable_from(frame.scale, baseline)
    if line_at is None:
        return
    y = frame.up.place(line_at)
    below = frame.scale.direction == "higher_is_worse"
    yield line("reliable", LEFT, y, WIDTH - RIGHT, y)
    words = _("reliable improvement ↓") if below else _("reliable improvement ↑")
    yield text(LEFT + 6, y + 14 if below else y - 5, words, kind="label label--cut")


def reliable_from(scale: Instrument, baseline: ReadingView | None) -> float | None:
    """The total from which the improvement since the baseline is reliable; None if no total of the scale is."""
    if baseline is None or scale.reliable_change is None:
        return None
    better = -scale.reliable_change if scale.direction == "higher_is_worse" else scale.reliable_change
    total = baseline.total + better
    return total if scale.total_min <= total <= scale.total_max else None


def _phases(frame: _Frame, phases: Sequence[Mark], first: dt.datetime, last: dt.datetime) -> Iterator[str]:
    """The line at which each phase began. Of a phase that began earlier, the name stands where the chart begins.

    A name for which two lines of text have no room is left out: the table has the phase of each reading.
    """
    free = dict.fromkeys(PHASE_LINES, 0.0)  # from where each line of text is empty
    for index, phase in enumerate(phases):
        after = phases[index + 1].at if index + 1 < len(phases) else None
        if phase.at > last or (after is not None and after <= first):
            continue
        x = frame.x(phase.at)
        if phase.at > first:
            yield line("phase", x, TOP - 6, x, HEIGHT - BOTTOM)
        y = next((each for each in PHASE_LINES if free[each] <= x), None)
        if y is not None:
            free[y] = x + 4 + LETTER * len(phase.words)
            yield text(x + 4, y, phase.words, kind="label label--phase")


def _events(frame: _Frame, events: Sequence[Mark]) -> Iterator[str]:
    """Numbered marks on the axis."""
    for index, event in enumerate(events, start=1):
        x = frame.x(event.at)
        yield line("event", x, TOP, x, HEIGHT - BOTTOM)
        yield text(x, HEIGHT - BOTTOM - 4, str(index), "middle", "label label--event")


def _readings(frame: _Frame, whole: Sequence[ScoreView], ended_at: dt.datetime | None) -> Iterator[str]:
    points = [(frame.x(each.at), frame.up.place(each.total or 0)) for each in whole]
    yield path("trace", points)
    labelled = -float(APART)
    for each, (x, y) in zip(whole, points, strict=True):
        after = ended_at is not None and each.at > ended_at
        yield dot("dot dot--after" if after else "dot", x, y)
        if x - labelled >= APART:
            yield text(x, HEIGHT - 12, short_day(each.at), "middle")
            labelled = x
    for each, (x, y) in {whole[0].seq: (whole[0], points[0]), whole[-1].seq: (whole[-1], points[-1])}.values():
        yield text(x, y - 8, number(each.total or 0), "middle", "label label--total")


def _sentence(scale: Instrument, view: MeasureView, whole: Sequence[ScoreView]) -> str:
    """What the chart shows, in words: how many readings, from where to where, and what that change means."""
    counted = n_("%(num)s reading.", "%(num)s readings.", len(whole))
    if view.baseline is None or view.last is None:
        return counted
    last, last_day = _total(view.last), day(view.last.at)
    if view.change is None:
        return _("%(counted)s The total on %(day)s is %(total)s.", counted=counted, day=last_day, total=last)
    return _(
        "%(counted)s From %(first)s on %(begun)s to %(last)s on %(day)s: %(change)s.",
        counted=counted,
        first=_total(view.baseline),
        begun=day(view.baseline.at),
        last=last,
        day=last_day,
        change=change_in_words(scale, view.change),
    )


def change_in_words(scale: Instrument, change: Change) -> str:
    """How much better or worse, and whether that is more than the scale's own error."""
    if not change.improvement:
        return _("no change")
    by = abs(change.improvement)
    points = n_("%(points)s point", "%(points)s points", 1 if by == 1 else 2, points=number(by))
    least, better = scale.reliable_change, change.improvement > 0
    if change.reliable_improvement:
        return _("%(points)s better, a reliable improvement (%(least)s or more)", points=points, least=least)
    if change.reliable_deterioration:
        return _("%(points)s worse, a reliable deterioration (%(least)s or more)", points=points, least=least)
    if least is None:
        return _("%(points)s better", points=points) if better else _("%(points)s worse", points=points)
    if better:
        return _("%(points)s better, less than a reliable change (%(least)s)", points=points, least=least)
    return _("%(points)s worse, less than a reliable change (%(least)s)", points=points, least=least)


def _total(reading: ReadingView) -> str:
    if reading.band is None:
        return number(reading.total)
    return _("%(total)s (%(band)s)", total=number(reading.total), band=gettext(reading.band))


def _row(score: ScoreView, baseline: ReadingView | None, phases: Sequence[Mark], ended_at: dt.datetime | None) -> Row:
    phase = next((each.words for each in reversed(phases) if each.at <= score.at), _("before the start"))
    if ended_at is not None and score.at > ended_at:
        phase = _("after the ending")
    if score.total is None:
        return day(score.at), phase, _("answers missing"), "", ""
    since = ""
    if baseline is not None and score.seq != baseline.seq and score.at >= baseline.at:
        since = signed(score.total - baseline.total)
    return day(score.at), phase, number(score.total), gettext(score.band) if score.band else "", since


def signed(points: float) -> str:
    """A difference with its sign, as people write it."""
    if not points:
        return "0"
    return f"{'+' if points > 0 else '−'}{number(abs(points))}"
