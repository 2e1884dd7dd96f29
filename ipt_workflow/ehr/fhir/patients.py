"""A client as a Patient: the EHR's identifier and the courses that the caller may see. It has no name and nothing clinical."""

from collections.abc import Iterable

from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import Patient
from ipt_workflow.ehr.fhir.types import Extension, Reference


def patient(site: Site, client: str, client_ref: str | None, courses: Iterable[str]) -> Patient:
    """`client_ref` is None if the client was erased."""
    url = site.own("StructureDefinition", "course")
    return Patient(
        id=client,
        extension=tuple(Extension(url=url, value_reference=Reference(reference=f"EpisodeOfCare/{each}")) for each in courses),
        identifier=(site.client_identifier(client_ref, client),),
        managing_organization=site.organization,
    )
