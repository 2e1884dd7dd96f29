"""What a message still tells although it cannot be used: whether it speaks of risk, and about whom, if it is about one client alone.

So the notice that waits has its risk, and shows on the client's course.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.bundle_context import BundleContext, references
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir.reader import ResourceReader
from ipt_workflow.ehr.notices.fhir.resources import ReceivedReference
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.values.identities import is_identity

PATIENT = "Patient/"


async def from_fhir(clinic: Clinic, content: NoticeContent, reader: ResourceReader, prefix: str, body: bytes) -> NoticeContent:
    """The content with what a FHIR message tells. Every resource of a Bundle is read. `prefix` goes before a Patient's id."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content
    resources = list(_resources(value))
    by_url = BundleContext.of(list(_entries(value)), room=False).by_url
    risk, refs = False, set()
    for resource in resources:
        refs |= {prefix + name.removeprefix(PATIENT) for name in _patients(resource)}
        for said in _read(reader, resource, by_url):
            risk = risk or said.risk
            refs |= {said.client_ref} if said.client_ref else set()
    ref = refs.pop() if len(refs) == 1 else None
    return await _about(clinic, msgspec.structs.replace(content, risk=risk), ref)


async def from_own_type(clinic: Clinic, content: NoticeContent, body: bytes) -> NoticeContent:
    """The content with the client whom a faulty notice of our own types names."""
    try:
        return await _about(clinic, content, msgspec.json.decode(body)["data"]["client_ref"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return content


async def _about(clinic: Clinic, content: NoticeContent, ref: object) -> NoticeContent:
    """The content with its client, if they have a course here: a faulty message makes nobody known."""
    client = await clinic.clients.get(ref) if is_identity(ref) else None
    return msgspec.structs.replace(content, client_ref=client.ref) if client and client.courses else content


def _read(reader: ResourceReader, resource: dict[str, Any], by_url: Mapping[str, dict[str, Any]]) -> tuple[NoticeContent, ...]:
    try:
        return reader.read({"resource": resource}, by_url)
    except CommandInvalid:
        return ()


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """The entries of a Bundle, and of the Bundles in it."""
    entries = value.get("entry") if isinstance(value, dict) and value.get("resourceType") == "Bundle" else None
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict):
            yield entry
            yield from _entries(entry.get("resource"))


def _resources(value: Any) -> Iterator[dict[str, Any]]:
    """Every resource of a message: the message itself, the entries of a Bundle, or the elements of a list."""
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))
    elif isinstance(value, dict) and value.get("resourceType") != "Bundle":
        yield value
    found = (each.get("resource") for each in _entries(value))
    yield from (each for each in found if isinstance(each, dict) and each.get("resourceType") != "Bundle")


def _patients(resource: dict[str, Any]) -> set[str]:
    """The names of the Patients whom a resource is or refers to."""
    own = f"{PATIENT}{resource['id']}" if resource.get("resourceType") == "Patient" and resource.get("id") else None
    named = (ReceivedReference(reference=each).name for each in (*references(resource), *([own] if own else [])))
    return {name for name in named if name and name.startswith(PATIENT)}
