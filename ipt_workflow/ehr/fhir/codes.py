"""Codes. An official code is used only if we are sure of it (`docs/fhir.md`). Everything else has a code of our own.

LOINC codes have no display here: `text` holds the name of the scale. LOINC's licence allows free use; SNOMED CT needs a licence.
"""

from ipt_workflow.ehr.fhir.types import CodeableConcept, Coding, concept

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
DATA_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"

IPT = concept(Coding(system=SNOMED, code="443730003", display="Interpersonal psychotherapy (regime/therapy)"))
SURVEY = concept(Coding(system="http://terminology.hl7.org/CodeSystem/observation-category", code="survey", display="Survey"))
CLINICAL_PROTOCOL = concept(
    Coding(
        system="http://terminology.hl7.org/CodeSystem/plan-definition-type", code="clinical-protocol", display="Clinical Protocol"
    )
)
IN_PERSON = Coding(system=ACT_CODE, code="AMB", display="ambulatory")
REMOTE = Coding(system=ACT_CODE, code="VR", display="virtual")
PERFORMER = concept(Coding(system=PARTICIPATION, code="PPRF", display="primary performer"))

TOTALS: dict[str, tuple[Coding, ...]] = {
    "phq9": (Coding(system=LOINC, code="44261-6"), Coding(system=SNOMED, code="720433000")),
    "gad7": (Coding(system=LOINC, code="70274-6"), Coding(system=SNOMED, code="445455005")),
}
"""Codes for the total of a scale, by instrument."""

ITEMS: dict[str, tuple[str, ...]] = {
    "phq9": ("44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"),
}
"""LOINC codes of a scale's questions, in their order."""

ANSWERS: dict[str, tuple[tuple[str, str], ...]] = {
    "phq9": (
        ("LA6568-5", "Not at all"),
        ("LA6569-3", "Several days"),
        ("LA6570-1", "More than half the days"),
        ("LA6571-9", "Nearly every day"),
    ),
}
"""LOINC codes of a scale's answers, by score from 0."""

ATTENDANCE = {
    "5": "attended on time, or late but before the professional was ready",
    "6": "arrived late, was seen",
    "7": "arrived late, could not be seen",
    "2": "cancelled by or for the client",
    "3": "did not attend, no warning",
    "4": "cancelled or postponed by the provider",
}


def absent(code: str) -> CodeableConcept:
    """The reason why a value is missing."""
    return concept(Coding(system="http://terminology.hl7.org/CodeSystem/data-absent-reason", code=code))


def participant_type(code: str) -> CodeableConcept:
    return concept(Coding(system="http://terminology.hl7.org/CodeSystem/provenance-participant-type", code=code))
