"""Retention: policies, records that are due and what was decided about them, and months of the audit log."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from ipt_workflow.access.retention import NewRetentionPolicy
from ipt_workflow.api import requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.privacy.log_months import DueMonth, MonthReaping, ReapedMonth, ToReap
from ipt_workflow.service.privacy.policies import PolicyPreview, RetentionPolicyView
from ipt_workflow.service.privacy.retention import DueRecord, NewRetentionDecision, RetentionDecisionView, RetentionDeed


class ExampleList(msgspec.Struct, frozen=True):
    items: list[NewRetentionPolicy]


class PolicyList(msgspec.Struct, frozen=True):
    items: list[RetentionPolicyView]


class DueRecordList(msgspec.Struct, frozen=True):
    items: list[DueRecord]
    next: str | None


class RetentionDecisionList(msgspec.Struct, frozen=True):
    items: list[RetentionDecisionView]
    next: str | None


class MonthList(msgspec.Struct, frozen=True):
    """`due` are the months that a ceiling wants gone, and `reaped` those that are."""

    due: list[DueMonth]
    reaped: list[ReapedMonth]


@get("/v1/retention/examples", summary="Examples of retention policies", tags=["retention"])
async def retention_examples(request: ApiRequest) -> ExampleList:
    """Policies to begin with, each with its citation, and whether that was verified. None is in force, and none is legal advice."""
    return ExampleList(list(await services_of(request).rights.retention.policies.examples(principal_of(request))))


@get("/v1/retention/policies", summary="Retention policies", tags=["retention"])
async def retention_policies(request: ApiRequest, ended: FromQuery[bool] = False) -> PolicyList:
    """The policies in force; with `ended=true` also those that have ended."""
    return PolicyList(await services_of(request).rights.retention.policies.every(principal_of(request), in_force=not ended))


@post("/v1/retention/policies", summary="Put a retention policy in force", tags=["retention"])
async def adopt_retention_policy(
    request: ApiRequest, dry_run: FromQuery[bool] = False
) -> Response[RetentionPolicyView | PolicyPreview]:
    """From now on its term counts. With `dry_run=true` it is checked beside those in force, and nothing is written.

    Needs a person who signed in lately, and no fixed token.
    """
    body, policies, principal = await read_body(request), services_of(request).rights.retention.policies, principal_of(request)
    if dry_run:
        return Response(await policies.preview(principal, lambda: body.shape(NewRetentionPolicy)), status_code=200)
    return Response(await policies.adopt(principal, lambda: body.shape(NewRetentionPolicy)), status_code=201)


@post("/v1/retention/policies/{policy:str}/end", summary="End a retention policy", tags=["retention"], status_code=200)
async def end_retention_policy(request: ApiRequest, policy: FromPath[str]) -> RetentionPolicyView:
    """Its term does not count any more. Needs a person who signed in lately."""
    return await services_of(request).rights.retention.policies.end(principal_of(request), policy)


@get("/v1/retention/records", summary="Records that are due", tags=["retention"])
async def records_due(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[DueRecordList]:
    """Clients' records for which every floor in force has passed, or a ceiling. A page may be empty and not the last: follow `next`."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    found = await services_of(request).rights.retention.due(principal_of(request), after.id, size)
    following = requests.cursor_text(After(found.next)) if found.next is not None else None
    return listed(request, DueRecordList(list(found.items), following))


@get("/v1/retention/decisions", summary="Decisions about records that were due", tags=["retention"])
async def retention_decisions(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[RetentionDecisionList]:
    """What was decided, by whom, by which policies, and how much was removed. Oldest first."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    found = await services_of(request).rights.retention.decisions(principal_of(request), after.id, size + 1)
    items, after_text = page(found, size, lambda each: After(each.id))
    return listed(request, RetentionDecisionList(items, after_text))


@post("/v1/retention/decisions", summary="Decide about records that are due", tags=["retention"], status_code=200)
async def decide_retention(request: ApiRequest, dry_run: FromQuery[bool] = False) -> RetentionDeed:
    """Erases records that are due, or keeps them until a day. A record that is not due, or on which there is a hold, stays as it is.

    With `dry_run=true` it says what would become of each, and writes nothing. Needs a person who signed in lately.
    """
    body = await read_body(request)
    decide = services_of(request).rights.retention.decide
    return await decide(principal_of(request), lambda: body.shape(NewRetentionDecision), dry_run=dry_run)


@get("/v1/retention/months", summary="Months of the audit log", tags=["retention"])
async def months(request: ApiRequest) -> MonthList:
    """The months of the audit log that a ceiling in force wants gone, each with what stops that now; and those that were removed."""
    reaping, principal = services_of(request).rights.retention.months, principal_of(request)
    return MonthList(await reaping.due(principal), await reaping.reaped(principal))


@post("/v1/retention/months", summary="Reap a month of the audit log", tags=["retention"], status_code=200)
async def reap_month(request: ApiRequest, dry_run: FromQuery[bool] = False) -> MonthReaping:
    """Removes the records of a month that is due. Their leaves stay in the log, with the checkpoint that proves them.

    With `dry_run=true` it says what would go. Needs a person who signed in lately.
    """
    body = await read_body(request)
    return await services_of(request).rights.retention.months.reap(
        principal_of(request), lambda: body.shape(ToReap), dry_run=dry_run
    )


HANDLERS = (
    retention_examples,
    retention_policies,
    adopt_retention_policy,
    end_retention_policy,
    records_due,
    retention_decisions,
    decide_retention,
    months,
    reap_month,
)
