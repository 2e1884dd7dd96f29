"""How many there are of each kind, as bars: a caseload by phase, courses by outcome."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.web.charts.svg import WIDTH, Axis, SvgChart, box, drawing, text
from ipt_workflow.web.language import _

LEFT, RIGHT, TALL, GAP = 210, 44, 20, 8


class Bar(msgspec.Struct, frozen=True):
    label: str
    count: int


def caseload_bars(title: str, bars: Sequence[Bar], uid: str, counted: str, kind: str) -> SvgChart:
    """Bars from the top. `counted` heads the column of numbers, `kind` that of labels. A bar of nothing is shown too."""
    across = Axis(0, max((bar.count for bar in bars), default=0) or 1, 0, WIDTH - LEFT - RIGHT)
    parts = []
    for index, bar in enumerate(bars):
        top = GAP + index * (TALL + GAP)
        middle = top + TALL / 2 + 4
        wide = across.place(bar.count)
        parts += [text(LEFT - 8, middle, bar.label, "end"), box("bar", LEFT, top, wide, TALL)]
        parts.append(text(LEFT + wide + 6, middle, str(bar.count)))
    listed = ", ".join(_("%(kind)s: %(number)s", kind=bar.label, number=bar.count) for bar in bars)
    sentence = _("%(number)s in all. %(listed)s.", number=sum(bar.count for bar in bars), listed=listed)
    if not bars:
        sentence = _("There is nothing to count.")
    return SvgChart(
        svg=drawing("bars", uid, (WIDTH, GAP + len(bars) * (TALL + GAP)), title, sentence, parts),
        title=title,
        sentence=sentence,
        headings=(kind, counted),
        rows=tuple((bar.label, str(bar.count)) for bar in bars),
    )
