"""FHIR resources in the form that an EHR sends."""

import datetime as dt

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
IPT = {"coding": [{"system": SNOMED, "code": "443730003"}]}
PHQ9 = ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]
ANSWERS = ["LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9"]
PATIENT = {"reference": "Patient/EHR-1"}


def at(days: float = 0, **more) -> str:
    return (START + dt.timedelta(days=days, **more)).isoformat()


def encounter(encounter_id: str = "E1", version: int = 1, **more) -> dict:
    return {
        "resourceType": "Encounter",
        "id": encounter_id,
        "meta": {"versionId": str(version), "lastUpdated": at(10, minutes=version)},
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR"},
        "type": [IPT],
        "subject": PATIENT,
        "period": {"start": at(7), "end": at(7, minutes=45)},
        **more,
    }


def appointment(appointment_id: str = "A1", version: int = 1, **more) -> dict:
    return {
        "resourceType": "Appointment",
        "id": appointment_id,
        "meta": {"versionId": str(version), "lastUpdated": at(10, minutes=version)},
        "status": "booked",
        "serviceType": [IPT],
        "start": at(7),
        "end": at(7, minutes=50),
        "participant": [{"actor": PATIENT}, {"actor": {"reference": "Practitioner/therapist-9"}}],
        **more,
    }


def form(scores: list[int | None], form_id: str = "Q1", version: int = 1, total: int | None = None, **more) -> dict:
    items = [
        {"linkId": f"/{code}", "answer": [{"valueCoding": {"system": LOINC, "code": ANSWERS[score]}}]}
        for code, score in zip(PHQ9, scores, strict=False)
        if score is not None
    ]
    totals = [{"linkId": "/44261-6", "answer": [{"valueInteger": total}]}] if total is not None else []
    return {
        "resourceType": "QuestionnaireResponse",
        "id": form_id,
        "meta": {"versionId": str(version), "lastUpdated": at(10, minutes=version)},
        "status": "completed",
        "subject": PATIENT,
        "authored": at(7),
        "item": items + totals,
        **more,
    }
