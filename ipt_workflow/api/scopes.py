"""The scope that each route needs of a caller whose token has scopes. A route without a row fails a test, and is refused.

A FHIR resource needs a scope of its kind. At `/v1` a course is everything at once, sessions and measures and texts, so it needs a
scope of every kind. What FHIR has no word for goes under its nearest: a proposal is a Task, a notice a Communication, a source an
Endpoint, a system a Device.
"""

from collections.abc import Iterable
from typing import Any

from ipt_workflow.access import scopes
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.scopes import EVERY_KIND, LETTERS, Need
from ipt_workflow.ehr.fhir_searches import Query
from ipt_workflow.errors import ScopeMissing
from ipt_workflow.service.clinic import Clinic

UNLISTED = Need(EVERY_KIND, LETTERS)
WITHOUT_SCOPE = {("POST", "/fhir/R4"), ("GET", "/fhir/R4/metadata"), ("GET", "/schema"), ("GET", "/schema/openapi.json")}
"""What only describes the service; and a batch, of which each entry is checked by itself."""
NEEDS: dict[tuple[str, str], str] = {  # `{kind}` and `{member}` are those of the path
    ("GET", "/fhir/R4/{kind}"): "{kind}.s",
    ("POST", "/fhir/R4/{kind}/_search"): "{kind}.s",
    ("GET", "/fhir/R4/{kind}/_history"): "{kind}.s",
    ("GET", "/fhir/R4/{kind}/{resource_id}"): "{kind}.r",
    ("GET", "/fhir/R4/{kind}/{resource_id}/_history"): "{kind}.r",
    ("GET", "/fhir/R4/{kind}/{resource_id}/_history/{version}"): "{kind}.r",
    ("GET", "/fhir/R4/{kind}/{resource_id}/$everything"): "{kind}.r",
    ("GET", "/fhir/R4/{kind}/{resource_id}/{member}"): "{member}.s",
    ("GET", "/metrics"): "*.r",
    ("GET", "/sandbox/clock"): "*.r",
    ("POST", "/sandbox/clock"): "*.u",
    ("GET", "/v1/audit"): "AuditEvent.s",
    ("POST", "/v1/audit/search"): "AuditEvent.s",
    ("GET", "/v1/audit/export"): "AuditEvent.s",
    ("GET", "/v1/audit/verify"): "AuditEvent.r",
    ("GET", "/v1/audit/checkpoint"): "AuditEvent.r",
    ("GET", "/v1/audit/consistency"): "AuditEvent.r",
    ("GET", "/v1/audit/proof"): "AuditEvent.r",
    ("GET", "/log/{organisation}/tile/entries/{place}"): "AuditEvent.s",
    ("GET", "/v1/courses"): "*.s",
    ("POST", "/v1/courses"): "*.c",
    ("POST", "/v1/courses/crisis-calls"): "*.u",
    ("POST", "/v1/courses/search"): "*.s",
    ("GET", "/v1/courses/{course_id}"): "*.r",
    ("GET", "/v1/courses/{course_id}/options"): "*.r",
    ("GET", "/v1/courses/{course_id}/readers"): "AuditEvent.r",
    ("GET", "/v1/courses/{course_id}/snapshot"): "*.r",
    ("GET", "/v1/courses/{course_id}/transitions"): "*.r",
    ("GET", "/v1/courses/{course_id}/transitions/{seq}"): "*.r",
    ("POST", "/v1/courses/{course_id}/transitions"): "*.u",
    ("POST", "/v1/courses/{course_id}/proposals"): "*.u",
    ("GET", "/v1/courses/{course_id}/restriction"): "*.r",
    ("PUT", "/v1/courses/{course_id}/restriction"): "*.u",
    ("DELETE", "/v1/courses/{course_id}/restriction"): "*.u",
    ("GET", "/v1/courses/{course_id}/client-label"): "*.r",
    ("PUT", "/v1/courses/{course_id}/client-label"): "*.u",
    ("DELETE", "/v1/courses/{course_id}/client-label"): "*.u",
    ("POST", "/v1/clients/access-report"): "AuditEvent.s",
    ("POST", "/v1/clients/accounting"): "AuditEvent.s",
    ("POST", "/v1/clients/export"): "*.r",
    ("POST", "/v1/clients/disclosures"): "AuditEvent.c",
    ("GET", "/v1/cover"): "Practitioner.s",
    ("POST", "/v1/cover"): "Practitioner.c",
    ("GET", "/v1/cover/{cover_id}"): "Practitioner.r",
    ("POST", "/v1/cover/{cover_id}/end"): "Practitioner.u",
    ("GET", "/v1/emergency-access"): "AuditEvent.s",
    ("POST", "/v1/emergency-access"): "*.r",
    ("GET", "/v1/emergency-access/{access_id}"): "AuditEvent.r",
    ("POST", "/v1/emergency-access/{access_id}/end"): "AuditEvent.u",
    ("POST", "/v1/emergency-access/{access_id}/review"): "AuditEvent.u",
    ("GET", "/v1/unmasking"): "AuditEvent.s",
    ("POST", "/v1/unmasking"): "*.r",
    ("GET", "/v1/erasures"): "AuditEvent.s",
    ("POST", "/v1/erasures"): "*.d",
    ("POST", "/v1/erasures/again"): "*.d",
    ("GET", "/v1/erasures/{erasure_id}"): "AuditEvent.r",
    ("GET", "/v1/events"): "*.s",
    ("GET", "/v1/organisations"): "Organization.s",
    ("POST", "/v1/organisations"): "Organization.c",
    ("GET", "/v1/organisations/{organisation}"): "Organization.r",
    ("PATCH", "/v1/organisations/{organisation}"): "Organization.u",
    ("GET", "/v1/people"): "Practitioner.s",
    ("POST", "/v1/people"): "Practitioner.c",
    ("GET", "/v1/people/{person_id}"): "Practitioner.r",
    ("PATCH", "/v1/people/{person_id}"): "Practitioner.u",
    ("GET", "/v1/people/{person_id}/credentials"): "Practitioner.r",
    ("DELETE", "/v1/people/{person_id}/credentials"): "Practitioner.u",
    ("POST", "/v1/people/{person_id}/enrolment-link"): "Practitioner.u",
    ("POST", "/v1/people/{person_id}/leave"): "Practitioner.u",
    ("POST", "/v1/people/{person_id}/return"): "Practitioner.u",
    ("GET", "/v1/sessions"): "Practitioner.s",
    ("DELETE", "/v1/sessions/{session_id}"): "Practitioner.u",
    ("GET", "/v1/sessions-to-attest"): "*.s",
    ("GET", "/v1/proposals"): "Task.s",
    ("GET", "/v1/proposals/{proposal_id}"): "Task.r",
    ("POST", "/v1/proposals/{proposal_id}/cosign"): "*.u",
    ("POST", "/v1/proposals/{proposal_id}/decline"): "Task.u",
    ("POST", "/v1/proposals/{proposal_id}/return"): "Task.u",
    ("GET", "/v1/clients/marks"): "*.s",
    ("POST", "/v1/clients/marks"): "*.u",
    ("GET", "/v1/clients/marks/{mark_id}"): "*.r",
    ("POST", "/v1/clients/marks/{mark_id}/end"): "*.u",
    ("GET", "/v1/retention/decisions"): "AuditEvent.s",
    ("POST", "/v1/retention/decisions"): "*.d",
    ("GET", "/v1/retention/examples"): "AuditEvent.s",
    ("GET", "/v1/retention/months"): "AuditEvent.s",
    ("POST", "/v1/retention/months"): "AuditEvent.d",
    ("GET", "/v1/retention/policies"): "AuditEvent.s",
    ("POST", "/v1/retention/policies"): "AuditEvent.u",
    ("POST", "/v1/retention/policies/{policy}/end"): "AuditEvent.u",
    ("GET", "/v1/retention/records"): "*.s",
    ("GET", "/v1/supervision"): "*.s",
    ("POST", "/v1/supervision"): "*.u",
    ("GET", "/v1/supervision/agenda"): "*.s",
    ("GET", "/v1/notices"): "Communication.s",
    ("GET", "/v1/notices/{notice_id}"): "Communication.r",
    ("POST", "/v1/notices/{notice_id}/resolve"): "*.u",
    ("GET", "/v1/ehr/messages"): "Communication.s",
    ("GET", "/v1/groups"): "Group.s",
    ("POST", "/v1/groups"): "Group.c",
    ("GET", "/v1/groups/{group_id}"): "Group.r",
    ("POST", "/v1/groups/{group_id}/members"): "Group.u",
    ("POST", "/v1/groups/{group_id}/members/{course_id}/leave"): "Group.u",
    ("POST", "/v1/groups/{group_id}/facilitators"): "Group.u",
    ("POST", "/v1/groups/{group_id}/sessions"): "*.u",
    ("POST", "/v1/groups/{group_id}/sessions/{session_id}/sign"): "*.u",
    ("POST", "/v1/groups/{group_id}/sign"): "*.u",
    ("GET", "/v1/protocols"): "PlanDefinition.s",
    ("GET", "/v1/protocols/{protocol_id}"): "PlanDefinition.r",
    ("GET", "/v1/protocols/{protocol_id}/diagram"): "PlanDefinition.r",
    ("GET", "/v1/protocols/{protocol_id}/{version}"): "PlanDefinition.r",
    ("GET", "/v1/protocols/{protocol_id}/{version}/diagram"): "PlanDefinition.r",
    ("GET", "/v1/triggers"): "PlanDefinition.s",
    ("GET", "/v1/subscriptions"): "Subscription.s",
    ("POST", "/v1/subscriptions"): "Subscription.c",
    ("GET", "/v1/subscriptions/{subscription_id}"): "Subscription.r",
    ("PATCH", "/v1/subscriptions/{subscription_id}"): "Subscription.u",
    ("DELETE", "/v1/subscriptions/{subscription_id}"): "Subscription.d",
    ("POST", "/v1/subscriptions/{subscription_id}/rotate"): "Subscription.u",
    ("POST", "/v1/subscriptions/{subscription_id}/ping"): "Subscription.u",
    ("POST", "/v1/subscriptions/{subscription_id}/pause"): "Subscription.u",
    ("POST", "/v1/subscriptions/{subscription_id}/resume"): "Subscription.u",
    ("POST", "/v1/subscriptions/{subscription_id}/replay"): "Subscription.u",
    ("GET", "/v1/subscriptions/{subscription_id}/deliveries"): "Subscription.r",
    ("POST", "/v1/deliveries/{delivery_id}/replay"): "Subscription.u",
    ("GET", "/v1/sources"): "Endpoint.s",
    ("POST", "/v1/sources"): "Endpoint.c",
    ("GET", "/v1/sources/{source_id}"): "Endpoint.r",
    ("PATCH", "/v1/sources/{source_id}"): "Endpoint.u",
    ("POST", "/v1/sources/{source_id}/rotate"): "Endpoint.u",
    ("POST", "/v1/sources/{source_id}/disable"): "Endpoint.u",
    ("POST", "/v1/sources/{source_id}/enable"): "Endpoint.u",
    ("GET", "/v1/systems"): "Device.s",
    ("POST", "/v1/systems"): "Device.c",
    ("GET", "/v1/systems/{system_id}"): "Device.r",
    ("PATCH", "/v1/systems/{system_id}"): "Device.u",
    ("POST", "/v1/systems/{system_id}/revoke"): "Device.u",
}


async def require_route(clinic: Clinic, principal: Principal, scope: Any) -> None:
    """Raises ScopeMissing unless the principal's scopes cover the route of a request. Without scopes the role alone decides."""
    if principal.scopes is None:
        return
    method, path = scope["method"], scope.get("path_template", "")
    need = _need(method, path, scope.get("path_params", {}))
    if need is not None:
        await _require(clinic, principal, need, f"{method} {path}")


async def require_brought(clinic: Clinic, principal: Principal, kind: str, query: Query) -> None:
    """Raises ScopeMissing unless the principal's scopes cover each kind that a search brings along, or asks about."""
    if principal.scopes is None:
        return
    relations = [*(each.relation for each in query.includes), *(each.relation for each in query.has)]
    kinds = [name for relation in relations for name in (relation.kind, relation.target)]
    await require_kinds(clinic, principal, kinds, f"fhir search {kind}")


async def require_kinds(clinic: Clinic, principal: Principal, kinds: Iterable[str], action: str) -> None:
    """Raises ScopeMissing unless the principal's scopes cover searching each kind. Without scopes the role alone decides."""
    if principal.scopes is not None:
        for each in dict.fromkeys(kinds):
            await _require(clinic, principal, Need(each, "s"), action)


def _need(method: str, path: str, parameters: Any) -> Need | None:
    if (method, path) in WITHOUT_SCOPE:
        return None
    row = NEEDS.get((method, path))
    if row is None:
        return UNLISTED
    kind, _, letter = row.format(**{name: str(value) for name, value in parameters.items()}).rpartition(".")
    return Need(kind, letter)


async def _require(clinic: Clinic, principal: Principal, need: Need, action: str) -> None:
    if not scopes.allows(principal.scopes or (), need):
        await clinic.log(principal, "refusal", action, (), ["scope"])
        raise ScopeMissing(str(need))


def supported(kinds: Iterable[str]) -> tuple[str, ...]:
    """The scopes that are worth asking for."""
    return (f"system/{EVERY_KIND}.rs", f"system/{EVERY_KIND}.{LETTERS}", *(f"system/{kind}.rs" for kind in kinds))
