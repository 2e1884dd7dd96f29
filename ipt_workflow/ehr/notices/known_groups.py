"""The groups of this clinic that a visit names: `Group/monday` is the group with the label `monday`, if there is exactly one."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ipt_workflow.ehr.notices.bundle_context import references
from ipt_workflow.ehr.notices.fhir.resources import NAME, moment
from ipt_workflow.groups import Group
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import groups as stored

PREFIX = "Group/"
WITH_GROUPS = ("Encounter", "Appointment")  # a tuple: what is sent may be a list, which no set can look for


async def entries(clinic: Clinic, resource: dict[str, Any]) -> Mapping[str, dict[str, Any]]:
    """A FHIR Group for each group of ours that a visit refers to, by the reference. Its members are those at the time of the visit."""
    if resource.get("resourceType") not in WITH_GROUPS:
        return {}
    named = {each for each in references(resource) if each.startswith(PREFIX) and NAME.fullmatch(each)}
    found = {}
    for reference in named:
        groups = await clinic.read(stored.labelled, reference.removeprefix(PREFIX))
        if len(groups) == 1:
            found[reference] = await _resource(clinic, groups[0], _begins(resource, clinic))
    return found


def _begins(resource: dict[str, Any], clinic: Clinic) -> dt.datetime:
    """When the visit begins; now, if that cannot be read."""
    period = resource.get("period")
    text = period.get("start") if isinstance(period, dict) else resource.get("start")
    try:
        at = moment(text, clinic.zone) if isinstance(text, str) else None
    except ValueError:
        at = None
    return at or clinic.clock.now()


async def _resource(clinic: Clinic, group: Group, at: dt.datetime) -> dict[str, Any]:
    courses = [await clinic.courses.get(each.course) for each in group.members if each.there(at)]
    refs = [each.client_ref for each in courses if each and each.client_ref]
    members = [{"entity": {"type": "Patient", "identifier": {"value": ref}}} for ref in refs]
    return {"resourceType": "Group", "member": members}
