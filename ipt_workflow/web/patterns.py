"""Every piece of the interface on one page, for whoever makes pages. Only where `development` is on."""

from litestar import Response, get
from litestar.exceptions import NotFoundException

from ipt_workflow.web.charts import Bar, PhasePart, StripLimits, caseload_bars, phase_strip, spark
from ipt_workflow.web.pages import PageRequest, page

LIMITS = StripLimits(used=5, agreed=12, week=6, weeks=16)
PARTS = (PhasePart("Initial", "done", 3, 3), PhasePart("Middle", "now", 2, 6), PhasePart("Final", "ahead", 0, 3))
BARS = (Bar("Initial", 4), Bar("Middle", 7), Bar("Final", 2))


@get("/patterns", include_in_schema=False)
async def patterns(request: PageRequest) -> Response[bytes]:
    """Every piece of the interface."""
    if not request.app.state.settings.development:
        raise NotFoundException
    return page(
        request,
        "patterns.html",
        strip=phase_strip(LIMITS, PARTS, "strip"),
        bars=caseload_bars("Courses by phase", BARS, "bars", "Courses", "Phase"),
        line=spark([18, 16, 17, 12, 9], 0, 27),
    )


OPEN_HANDLERS = (patterns,)
