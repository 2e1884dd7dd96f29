"""Charts: what is drawn, what the sentence says and what the table lists are the same, and nothing in them needs a style or a script."""

import datetime as dt
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.course_walk import ipt

from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.instruments import Instrument
from ipt_workflow.service.views import MeasureView, ReadingView, RhythmView, RhythmWeekView, ScoreView
from ipt_workflow.web import charts
from ipt_workflow.web.charts import Bar, Mark, PhasePart, SvgChart
from ipt_workflow.web.charts.measure import change_in_words, reliable_from
from ipt_workflow.web.language import day, number

quickly = settings(deadline=None, max_examples=40)
SVG = "{http://www.w3.org/2000/svg}"
START = dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC)
WEEK = dt.timedelta(weeks=1)
SCALES = [scale for scale in ipt().instruments.values() if scale.step == "1"]
ATTRIBUTES = {"class", "viewBox", "role", "aria-labelledby", "id", "x", "y", "x1", "x2", "y1", "y2", "width", "height"} | {
    *("cx", "cy", "r", "d", "text-anchor", "aria-hidden", "focusable")
}


def parsed(svg: str) -> ET.Element:
    """The drawing, which uses nothing that the pages' policy forbids."""
    root = ET.fromstring(str(svg).replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))
    for each in root.iter():
        assert set(each.attrib) <= ATTRIBUTES
        assert each.tag.removeprefix(SVG) in {"svg", "title", "desc", "rect", "line", "circle", "path", "text"}
    return root


def drawn(chart: SvgChart) -> ET.Element:
    root = parsed(chart.svg)
    assert root.attrib["role"] == "img"
    named = {each.attrib["id"]: each.text for each in root if "id" in each.attrib}
    assert [named[each] for each in root.attrib["aria-labelledby"].split()] == [chart.title, chart.sentence]
    assert all(len(row) == len(chart.headings) for row in chart.rows)
    return root


def classes(root: ET.Element, kind: str) -> list[ET.Element]:
    return [each for each in root.iter() if kind in each.attrib.get("class", "").split()]


def scores_of(scale: Instrument, totals: list[int | None], every: dt.timedelta = WEEK) -> list[ScoreView]:
    return [
        ScoreView(seq=index + 1, at=START + index * every, total=total, band=instruments.band(scale, total))
        for index, total in enumerate(totals)
    ]


def view_of(scale: Instrument, scores: list[ScoreView]) -> MeasureView:
    """The measure as a course shows it."""
    whole = [ReadingView(seq=each.seq, at=each.at, total=each.total, band=each.band) for each in scores if each.total is not None]
    first, last = (whole[0], whole[-1]) if whole else (None, None)
    change = instruments.change(scale, first.total, last.total) if first and last and first.seq != last.seq else None
    return MeasureView(aim=scale.aim, count=len(scores), baseline=first, last=last, change=change, not_obtained=(), follow_up=None)


@st.composite
def readings(draw: Any) -> tuple[Instrument, list[ScoreView]]:
    scale = draw(st.sampled_from(SCALES))
    totals = draw(st.lists(st.none() | st.integers(scale.total_min, scale.total_max), min_size=1, max_size=20))
    return scale, scores_of(scale, totals, draw(st.sampled_from([dt.timedelta(hours=1), WEEK, 20 * WEEK])))


@quickly
@given(readings())
def test_sentence_drawing_and_table_of_a_measure_agree_with_the_course(given_readings):
    scale, scores = given_readings
    view = view_of(scale, scores)
    chart = charts.measure_chart(scale, view, scores, "m")
    whole = [each for each in scores if each.total is not None]
    if not whole:
        assert chart is None
        return
    root = drawn(chart)
    assert len(classes(root, "dot")) == len(whole)
    assert len(chart.rows) == len(scores)
    assert [row[2] for row in chart.rows if row[2].isdecimal()] == [str(each.total) for each in whole]
    assert str(len(whole)) in chart.sentence
    assert number(view.last.total) in chart.sentence
    assert day(view.last.at) in chart.sentence
    if view.change:
        assert number(view.baseline.total) in chart.sentence
        assert change_in_words(scale, view.change) in chart.sentence
        assert ("a reliable improvement" in chart.sentence) == bool(view.change.reliable_improvement)
        assert ("a reliable deterioration" in chart.sentence) == bool(view.change.reliable_deterioration)
        assert chart.rows[scores.index(whole[-1])][4].lstrip("+−") == str(abs(whole[-1].total - whole[0].total))


@quickly
@given(readings())
def test_every_dot_of_a_measure_lies_in_the_frame_and_higher_totals_lie_higher(given_readings):
    scale, scores = given_readings
    chart = charts.measure_chart(scale, view_of(scale, scores), scores, "m")
    if chart is None:
        return
    root = drawn(chart)
    _, _, width, height = (float(each) for each in root.attrib["viewBox"].split())
    dots = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in classes(root, "dot")]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in dots)
    assert [x for x, _ in dots] == sorted(x for x, _ in dots)
    totals = [each.total for each in scores if each.total is not None]
    by_height = sorted(zip(totals, (y for _, y in dots), strict=True))
    assert [y for _, y in by_height] == sorted((y for _, y in by_height), reverse=True)


@quickly
@given(st.sampled_from(SCALES), st.data())
def test_the_line_of_reliable_improvement_is_where_the_change_becomes_reliable(scale, data):
    baseline = data.draw(st.integers(scale.total_min, scale.total_max))
    line = reliable_from(scale, ReadingView(seq=1, at=START, total=baseline, band=None))
    reached = [
        total
        for total in range(scale.total_min, scale.total_max + 1)
        if instruments.change(scale, baseline, total).reliable_improvement
    ]
    worst_reached = (max if scale.direction == "higher_is_worse" else min)(reached, default=None)
    assert line == worst_reached


def test_every_band_of_a_scale_is_named_and_bounded():
    phq9 = ipt().instruments["phq9@1"]
    scores = scores_of(phq9, [19, 11])
    root = drawn(charts.measure_chart(phq9, view_of(phq9, scores), scores, "m"))
    words = [each.text for each in root.iter(f"{SVG}text")]
    assert {"minimal", "mild", "moderate", "moderately severe", "severe", "0", "5", "10", "15", "20", "27"} <= set(words)
    assert len(classes(root, "band")) == 5
    assert "reliable improvement ↓" in words


def test_phases_and_events_are_marked_and_explained():
    phq9 = ipt().instruments["phq9@1"]
    scores = scores_of(phq9, [19, 18, 17, 16, 15, 14])
    phases = [Mark(START - WEEK, "Initial"), Mark(START + 2.5 * WEEK, "Middle"), Mark(START + 9 * WEEK, "Final")]
    events = [Mark(START + 1.5 * WEEK, "Break"), Mark(START + 8 * WEEK, "Later than the chart")]
    chart = charts.measure_chart(phq9, view_of(phq9, scores), scores, "m", phases, events)
    root = drawn(chart)
    assert [each.text for each in classes(root, "label--phase")] == ["Initial", "Middle"]
    assert len(classes(root, "phase")) == 1
    assert chart.notes == ("15 January 2026: Break",)
    assert [each.text for each in classes(root, "label--event")] == ["1"]
    assert [row[1] for row in chart.rows] == ["Initial"] * 3 + ["Middle"] * 3


def test_names_of_phases_that_began_close_together_do_not_cover_each_other():
    phq9 = ipt().instruments["phq9@1"]
    scores = scores_of(phq9, [19])
    days = dt.timedelta(days=1)
    phases = [Mark(START - WEEK, "Initial phase"), *(Mark(START + each * days, f"Phase {each}") for each in (1, 2, 3, 20))]
    root = drawn(charts.measure_chart(phq9, view_of(phq9, scores), scores, "m", phases))
    names = classes(root, "label--phase")
    assert [each.text for each in names] == ["Initial phase", "Phase 1", "Phase 20"]
    assert len(classes(root, "phase")) == 4
    ends: dict[str, float] = {}
    for each in names:
        assert float(each.attrib["x"]) >= ends.get(each.attrib["y"], 0)
        ends[each.attrib["y"]] = float(each.attrib["x"]) + 7 * len(each.text)


def test_readings_after_the_ending_are_told_apart():
    phq9 = ipt().instruments["phq9@1"]
    scores = scores_of(phq9, [19, 4, 3])
    chart = charts.measure_chart(phq9, view_of(phq9, scores), scores, "m", ended_at=START + 1.5 * WEEK)
    assert [row[1] for row in chart.rows] == ["before the start", "before the start", "after the ending"]
    assert len(classes(drawn(chart), "dot--after")) == 1


def test_a_reading_with_missing_answers_is_in_the_table_alone():
    phq9 = ipt().instruments["phq9@1"]
    scores = scores_of(phq9, [19, None, 14])
    chart = charts.measure_chart(phq9, view_of(phq9, scores), scores, "m")
    assert len(classes(drawn(chart), "dot")) == 2
    assert chart.rows[1][2] == "answers missing"


@pytest.mark.parametrize(
    ("totals", "words"),
    (
        ([19, 11], "8 points better, a reliable improvement (6 or more)"),
        ([11, 12], "1 point worse, less than a reliable change (6)"),
        ([11, 17], "6 points worse, a reliable deterioration (6 or more)"),
        ([11, 11], "no change"),
    ),
)
def test_a_change_is_said_in_words(totals, words):
    phq9 = ipt().instruments["phq9@1"]
    scores = scores_of(phq9, totals)
    chart = charts.measure_chart(phq9, view_of(phq9, scores), scores, "m")
    assert chart.sentence.endswith(f": {words}.")


@quickly
@given(st.integers(0, 40), st.none() | st.integers(1, 40), st.integers(0, 60), st.none() | st.integers(1, 60))
def test_the_strip_fills_what_is_used_of_both_limits(used, agreed, week, weeks):
    limits = charts.StripLimits(used=used, agreed=agreed, week=week, weeks=weeks)
    chart = charts.phase_strip(limits, [PhasePart("Initial", "done", 3, 3)], "s")
    root = drawn(chart)
    expected = {
        "used": min(used, agreed if agreed is not None else used) + min(week, weeks if weeks is not None else week),
        "free": max(0, (agreed or 0) - used) + max(0, (weeks or 0) - week),
        "over": (max(0, used - agreed) if agreed is not None else 0) + (max(0, week - weeks) if weeks is not None else 0),
    }
    assert {kind: len(classes(root, kind)) for kind in expected} == expected
    assert str(used) in chart.sentence
    assert not week or f"week {week}" in chart.sentence
    assert chart.rows == (("Initial", "done", "3 of at most 3"),)


def test_a_strip_without_an_agreed_number_is_not_full_after_the_first_session():
    limits = charts.StripLimits(used=1, agreed=None, week=1, weeks=None)
    boxes = classes(drawn(charts.phase_strip(limits, [], "s")), "used")
    assert len(boxes) == 2
    assert all(float(box.attrib["width"]) < 100 for box in boxes)


@quickly
@given(
    st.lists(st.tuples(st.integers(0, 35), st.integers(0, 5)).map(lambda pair: (min(pair[0], 7 * pair[1]), pair[1])), max_size=30)
)
def test_the_rhythm_has_a_dot_for_every_week_with_a_score(pairs):
    weeks = tuple(
        RhythmWeekView(
            seq=index + 1,
            week_of=START.date() + index * WEEK,
            instrument="srm5",
            hits=hits,
            activities=activities,
            score=round(hits / activities, 2) if activities else None,
            met=0,
            aimed=0,
        )
        for index, (hits, activities) in enumerate(pairs)
    )
    chart = charts.rhythm_chart(RhythmView(count=len(weeks), weeks=weeks, targets=()), "r")
    if not weeks:
        assert chart is None
        return
    scored = [each.score for each in weeks if each.score is not None]
    root = drawn(chart)
    assert len(classes(root, "dot")) == len(scored)
    assert len(chart.rows) == len(weeks)
    assert not scored or f"from {number(min(scored))} to {number(max(scored))} of 7" in chart.sentence


@quickly
@given(st.lists(st.builds(Bar, st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=20), st.integers(0, 500))))
def test_a_bar_is_as_long_as_its_number_and_its_label_is_only_text(bars):
    chart = charts.caseload_bars("By phase", bars, "b", "Courses", "Phase")
    root = drawn(chart)
    lengths = [float(each.attrib["width"]) for each in classes(root, "bar")]
    most = max((bar.count for bar in bars), default=0) or 1
    assert lengths == pytest.approx([bar.count / most * max(lengths, default=0) if lengths else 0 for bar in bars], abs=0.1)
    assert chart.rows == tuple((bar.label, str(bar.count)) for bar in bars)
    assert not bars or str(sum(bar.count for bar in bars)) in chart.sentence


@quickly
@given(st.lists(st.floats(0, 27), max_size=30))
def test_a_spark_is_a_line_that_nobody_reads_aloud(values):
    found = charts.spark(values, 0, 27)
    if len(values) < 2:
        assert found == ""
        return
    root = parsed(found)
    assert root.attrib["aria-hidden"] == "true"
    (trace,) = root
    assert len(re.findall(r"[ML]", trace.attrib["d"])) == len(values)
