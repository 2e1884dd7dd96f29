"""Emergency access and unmasking, as the service records them."""

from ipt_workflow.access.break_glass import NewEmergencyAccess, NewReview, NewUnmasking
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.service.access.break_glass import EmergencyAccesses
from ipt_workflow.service.access.masks import Unmaskings


async def walk(clinic, course: str) -> None:
    """An emergency access that was ended and reviewed, and an unmasking."""
    accesses, ref = EmergencyAccesses(clinic), (await clinic.courses.get(course)).client_ref
    colleague, supervisor = (Principal(person=f"{role}-9", role=role, via="cli") for role in ("therapist", "supervisor"))
    access = await accesses.start(colleague, lambda: NewEmergencyAccess(client_ref=ref, code="other", reason="She called."))
    await accesses.end(colleague, access.id)
    await accesses.review(supervisor, access.id, lambda: NewReview(verdict="justified", comment="Rightly so."))
    clinic.access_rules = AccessRules(auditor_text="unmask")
    auditor = Principal(person="auditor-1", role="auditor", via="cli")
    await Unmaskings(clinic).unmask(auditor, lambda: NewUnmasking(course=course, reason="A complaint."))
