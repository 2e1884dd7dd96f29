"""Disclosures that people made by other ways than this service."""

from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.disclosures import Disclosures, NewDisclosure
from support.service_walk import THERAPIST


async def walk(clinic: Clinic, course: str) -> None:
    """A letter to a court."""
    new = NewDisclosure(course=course, recipient="The family court", what="The letter of 3 March", purpose="HLEGAL")
    await Disclosures(clinic).record(THERAPIST, lambda: new)
