"""Reads FHIR resources as a source of the organisation does, without a service."""

from zoneinfo import ZoneInfo

from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.ehr.notices import types
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir.reader import ResourceReader
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.runtime import settings as configuration
from support.fhir_bodies import LOINC

SETTINGS = configuration.load({})
INSTRUMENTS = protocol_files.load_catalogue(SETTINGS.protocols, SETTINGS.instruments, KNOWN_RULES).instruments
CODES = types.load(SETTINGS.notices, INSTRUMENTS).fhir
GAD7 = ["69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"]
RISK = "44260-8"


def read(resource: dict, entries: dict | None = None, prefix: str = "", **beside) -> tuple[NoticeContent, ...]:
    reader = ResourceReader(CODES, INSTRUMENTS, prefix, ZoneInfo("Europe/Berlin"))
    return reader.read({"resource": resource, **beside}, entries)


def one(resource: dict, entries: dict | None = None, prefix: str = "", **beside) -> NoticeContent:
    (content,) = read(resource, entries, prefix, **beside)
    return content


def concept(code: str, system: str = LOINC) -> dict:
    return {"coding": [{"system": system, "code": code}]}


def coded(answer: str) -> dict:
    return {"valueCoding": {"system": LOINC, "code": answer}}


def item(code: str, *answers: dict) -> dict:
    return {"linkId": f"/{code}", "answer": list(answers)}


def observation(code: str, **more) -> dict:
    return {
        "resourceType": "Observation",
        "id": "O1",
        "status": "final",
        "code": concept(code),
        "subject": {"reference": "Patient/EHR-1"},
        "effectiveDateTime": "2026-01-12T09:00:00Z",
        **more,
    }
