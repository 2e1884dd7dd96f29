"""A line the size of a word, beside numbers that say the same."""

from collections.abc import Sequence

from markupsafe import Markup

from ipt_workflow.web.charts.svg import Axis, path

WIDTH, HEIGHT, EDGE = 60, 18, 2


def spark(values: Sequence[float], low: float, high: float) -> Markup:
    """The course of a scale's totals between its bounds; nothing for fewer than two. It is hidden from who cannot see it."""
    if len(values) < 2:
        return Markup()
    across = Axis(0, len(values) - 1, EDGE, WIDTH - EDGE)
    up = Axis(low, high, HEIGHT - EDGE, EDGE)
    points = [(across.place(index), up.place(value)) for index, value in enumerate(values)]
    return Markup(  # noqa: S704 - numbers alone
        f'<svg class="ipt-spark" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" focusable="false">{path("trace", points)}</svg>'
    )
