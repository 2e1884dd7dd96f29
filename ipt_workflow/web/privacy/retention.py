"""The pages about retention: the policies in force, the records that are due, and the months of the audit log that are."""

import datetime as dt
from typing import Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.access import policy
from ipt_workflow.access.retention import NewRetentionPolicy
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandInvalid, Fault, ReauthenticationNeeded
from ipt_workflow.service.privacy.log_months import ToReap
from ipt_workflow.service.privacy.retention import DueRecord, KeepGround, NewRetentionDecision
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.admin.submission import PAGE, Sheet, asked, first, refused, send, show, unconfirmed
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page, redirect
from ipt_workflow.web.privacy.erasures import KIND_WORDS

ALL = "/admin/retention"
RECORDS, MONTHS = f"{ALL}/records", f"{ALL}/months"
KINDS = {
    "record": noted("Clients' records"),
    "access_log": noted("The log of who read, was refused or signed in"),
    "disclosure_log": noted("The log of exports and deliveries"),
}
BOUNDS = {"floor": noted("Kept at least so long"), "ceiling": noted("Gone after it")}
ANCHORS = {
    "last_contact": noted("the last contact"),
    "death": noted("the death"),
    "majority": noted("the 18th birthday"),
    "recorded": noted("the record in the log"),
}
VERIFIED = {"law": noted("In the law itself"), "secondary": noted("In another text about it"), "no": noted("Nowhere yet")}
GROUNDS = {
    "continuing_care": noted("Care goes on"),
    "claims": noted("Claims are made, or may be"),
    "client_wish": noted("The client wishes it"),
    "research": noted("Research that the client agreed to"),
    "national_law": noted("Another law demands it"),
}
DECISIONS = {"erase": noted("Erase it"), "keep": noted("Keep it for longer")}
OUTCOMES = {
    "erased": noted("It was erased."),
    "kept": noted("It is kept for longer."),
    "held": noted("It stays: there is a hold on it."),
    "not_due": noted("It stays: it is not due."),
    "unknown": noted("It stays: it is no record that could be due."),
}
STOPS = {
    "hold": noted("It names clients on whose records there are holds."),
    "floor": noted("Another policy keeps it for longer."),
    "unnumbered": noted("Some of its records have no place in the log yet. Wait a little."),
    "no_checkpoint": noted("No checkpoint of the log covers it. The operator gives the log a key."),
}


class DecisionForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to decide about a record that is due. `shown`: what would go was shown already."""

    decision: Literal["erase", "keep"]
    born: dt.date | None = None
    until: dt.date | None = None
    ground: KeepGround | None = None
    shown: bool = False


def _options(words: dict[str, str]) -> list[tuple[str, str]]:
    return [(code, _(text)) for code, text in words.items()]


def _new() -> Sheet:
    return Sheet(
        struct=NewRetentionPolicy,
        title=_("Put a policy in force"),
        action=f"{ALL}/new",
        button=_("Put in force"),
        back=(ALL, _("Retention")),
        fresh=True,
        fields=(
            asked("name", "text", _("Name"), _("Small letters, digits and -."), required=True),
            asked("kind", "radios", _("What is kept"), required=True, options=_options(KINDS)),
            asked("jurisdiction", "text", _("Where it holds"), _("A code such as DE or GB-ENG."), required=True),
            asked("bound", "radios", _("What the period means"), required=True, options=_options(BOUNDS)),
            asked("period", "text", _("Period"), _("P10Y are ten years, P6M are six months."), required=True),
            asked("anchor", "radios", _("It counts from"), required=True, options=_options(ANCHORS)),
            asked("citation", "text", _("The law or rule that says so"), required=True),
            asked("verified", "radios", _("Where the citation was read"), required=True, options=_options(VERIFIED)),
            asked("note", "area", _("Remark")),
        ),
        intro=_(
            "From then on its term counts. Nothing is removed by itself: records that are due are listed, and a person decides."
        ),
    )


@get(ALL, include_in_schema=False)
async def policies(request: PageRequest) -> Response[bytes]:
    """The policies in force, and examples to begin with."""
    known, principal = services_of(request).rights.retention.policies, principal_of(request)
    in_force = await known.every(principal)
    names = {each.name for each in in_force}
    return page(
        request,
        "privacy/retention.html",
        principal=principal,
        policies=in_force,
        examples=[each for each in await known.examples(principal) if each.name not in names],
        decides=policy.may(principal, "decide retention"),
        kinds=KINDS,
        bounds=BOUNDS,
        anchors=ANCHORS,
        verified=VERIFIED,
    )


@get(f"{ALL}/new", include_in_schema=False)
async def new(request: PageRequest) -> Response[bytes]:
    """The form that puts a policy in force. `example` names the one that it begins with."""
    services, principal = services_of(request), principal_of(request)
    await services.clinic.require(principal, "decide retention")
    sheet = _new()
    examples = {each.name: each for each in await services.rights.retention.policies.examples(principal)}
    chosen = examples.get(request.query_params.get("example", ""))
    return show(request, sheet, first(chosen, sheet) if chosen else {})


@post(f"{ALL}/new", include_in_schema=False, status_code=303)
async def adopt(request: PageRequest) -> Response[bytes]:
    """Puts a policy in force."""
    services, principal = services_of(request), principal_of(request)
    await services.clinic.require(principal, "decide retention")

    async def work(data: dict[str, object]) -> Response[None]:
        await services.rights.retention.policies.adopt(principal, lambda: shaped(NewRetentionPolicy, data))
        return redirect(request, ALL)

    return await send(request, _new(), work)


@post(f"{ALL}/{{name:str}}/end", include_in_schema=False, status_code=303)
async def end(request: PageRequest, name: FromPath[str]) -> Response[bytes] | Response[None]:
    """Ends a policy."""
    try:
        await services_of(request).rights.retention.policies.end(principal_of(request), name)
    except ReauthenticationNeeded:
        return unconfirmed(request, (ALL, _("Retention")))
    return redirect(request, ALL)


@get(RECORDS, include_in_schema=False)
async def records(request: PageRequest) -> Response[bytes]:
    """The records that are due."""
    retention, principal = services_of(request).rights.retention, principal_of(request)
    found = await retention.due(principal, request.query_params.get("after", ""), PAGE)
    return page(
        request,
        "privacy/records_due.html",
        records=found.items,
        following=found.next,
        decides=policy.may(principal, "decide retention"),
    )


def _decision(record: DueRecord) -> Sheet:
    born = asked(
        "born",
        "day",
        _("The client's date of birth"),
        _("To erase the record: a policy counts from the 18th birthday. It is not kept."),
    )
    return Sheet(
        struct=DecisionForm,
        title=_("Decide about a record that is due"),
        action=f"{RECORDS}/{record.client}",
        button=_("Do it"),
        back=(RECORDS, _("Records that are due")),
        fresh=True,
        template="privacy/record_due.html",
        context={"record": record},
        fields=(
            asked("decision", "radios", _("What is to become of it"), required=True, options=_options(DECISIONS)),
            *((born,) if record.birth_needed else ()),
            asked("until", "day", _("Kept until"), _("To keep it: the last day.")),
            asked("ground", "radios", _("Why it is kept"), _("To keep it."), options=_options(GROUNDS)),
        ),
    )


@get(f"{RECORDS}/{{client:str}}", include_in_schema=False)
async def record(request: PageRequest, client: FromPath[str]) -> Response[bytes]:
    """A record that is due, and the form that decides."""
    services, principal = services_of(request), principal_of(request)
    await services.clinic.require(principal, "decide retention")
    found = await services.rights.retention.one(principal, client)
    return show(request, _decision(found), {})


@post(f"{RECORDS}/{{client:str}}", include_in_schema=False, status_code=200)
async def decide(request: PageRequest, client: FromPath[str]) -> Response[bytes]:
    """Shows what erasing the record would remove. Once that was shown, and to keep it, does what was decided."""
    services, principal = services_of(request), principal_of(request)
    await services.clinic.require(principal, "decide retention")
    found = await services.rights.retention.one(principal, client)

    async def work(data: dict[str, Any]) -> Response[bytes]:
        typed, shown = {**data}, data.pop("shown", False)
        born, dry_run = data.pop("born", None), data["decision"] == "erase" and not shown
        given = {**data, "clients": [{"client": client, **({"born": born} if born else {})}]}
        try:
            deed = await services.rights.retention.decide(principal, lambda: shaped(NewRetentionDecision, given), dry_run=dry_run)
        except CommandInvalid as invalid:
            raise CommandInvalid([Fault(each.where.rpartition(".")[2], each.message) for each in invalid.faults]) from None
        (result,) = deed.records
        removed = [(_(KIND_WORDS[kind]), count) for kind, count in result.counts.items()]
        if dry_run and result.outcome == "erased":
            return page(
                request, "privacy/record_preview.html", record=found, removed=removed, given=typed, action=f"{RECORDS}/{client}"
            )
        return page(request, "privacy/record_decided.html", removed=removed, says=_(OUTCOMES[result.outcome]))

    return await send(request, _decision(found), work)


@get(MONTHS, include_in_schema=False)
async def months(request: PageRequest) -> Response[bytes]:
    """The months of the audit log that are due, and those that are gone."""
    reaping, principal = services_of(request).rights.retention.months, principal_of(request)
    return page(
        request,
        "privacy/months.html",
        due=await reaping.due(principal),
        reaped=await reaping.reaped(principal),
        kinds=KINDS,
        stops={code: _(text) for code, text in STOPS.items()},
        decides=policy.may(principal, "decide retention"),
    )


@post(f"{MONTHS}/{{kind:str}}/{{month:str}}", include_in_schema=False, status_code=303)
async def reap(request: PageRequest, kind: FromPath[str], month: FromPath[str]) -> Response[Any]:
    """Removes a month that is due."""
    reaping = services_of(request).rights.retention.months
    try:
        await reaping.reap(principal_of(request), lambda: shaped(ToReap, {"kind": kind, "month": month}))
    except ReauthenticationNeeded:
        return unconfirmed(request, (MONTHS, _("Months of the audit log")))
    except CommandInvalid as invalid:
        return refused(request, invalid, (MONTHS, _("Months of the audit log")))
    return redirect(request, MONTHS)


HANDLERS = (policies, new, adopt, end, records, record, decide, months, reap)
