"""Which rules refused, and which were passed over with a reason, in a time that somebody chooses."""

import datetime as dt

from litestar import Response, get

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.web.audit import asked, words
from ipt_workflow.web.audit.asked import AskedOfLog
from ipt_workflow.web.forms import deed_label
from ipt_workflow.web.language import gettext, reader
from ipt_workflow.web.pages import PageRequest, page

USUAL = dt.timedelta(days=90)
STEPS_MAX = 3


@get("/audit/rules", include_in_schema=False)
async def rules(request: PageRequest) -> Response[bytes]:
    """The use of every rule, of the last 90 days if nothing else is asked."""
    now = services_of(request).clinic.clock.now().astimezone(reader().zone)
    first = {"since": (now - USUAL).date().isoformat(), "until": now.date().isoformat()}
    question: AskedOfLog = asked.of_log(
        {**first, **{name: request.query_params[name] for name in first if name in request.query_params}}
    )
    since, until = question.filters.from_, question.filters.to
    if question.errors or since is None or until is None:
        return page(
            request, "audit/rules.html", 422 if question.errors else 200, question=question, uses=None, denied=(), more=False
        )
    found = await services_of(request).audit_sums.rules(principal_of(request), since, until)
    uses = [
        {
            "title": words.rule_title(each.rule),
            "use": each,
            "steps": [gettext(deed_label(name).title) for name in each.triggers[:STEPS_MAX] if " " not in name],
        }
        for each in found.rules
    ]
    clinical = [each for each in uses if each["use"].rule not in words.DENIED]  # type: ignore[attr-defined]  # a RuleUse
    denied = [each for each in uses if each not in clinical]
    return page(request, "audit/rules.html", question=question, uses=clinical, denied=denied, more=found.more)


HANDLERS = (rules,)
