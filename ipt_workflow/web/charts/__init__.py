"""Charts as plain SVG: each with a title, a sentence that says the same, and the same numbers as a table.

They are pure functions. Colours and strokes come from classes alone, so that themes, print and the pages' policy hold.
"""

from ipt_workflow.web.charts.bars import Bar, caseload_bars
from ipt_workflow.web.charts.measure import Mark, measure_chart
from ipt_workflow.web.charts.phases import PhasePart, StripLimits, phase_strip
from ipt_workflow.web.charts.rhythm import rhythm_chart
from ipt_workflow.web.charts.spark import spark
from ipt_workflow.web.charts.svg import SvgChart

__all__ = [
    "Bar",
    "Mark",
    "PhasePart",
    "StripLimits",
    "SvgChart",
    "caseload_bars",
    "measure_chart",
    "phase_strip",
    "rhythm_chart",
    "spark",
]
