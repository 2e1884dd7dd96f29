"""What an export that names no client leaves out: by the clients' objections, processing restrictions and consents, when each part is sent."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import consents, processing
from ipt_workflow.values.types import OF_CARE, SharingPurpose


async def left_out(clinic: Clinic, courses: Sequence[str], purpose: SharingPurpose) -> frozenset[str]:
    """Those of these courses that an export for a purpose leaves out, unless it was asked for their client.

    For what serves care those whose clients object, or of whose data processing is restricted. For all else also those of whose clients no
    consent names the purpose.
    """
    if purpose in OF_CARE:
        return frozenset(courses) & await clinic.read(processing.closed)
    found = await clinic.read(consents.sharing, courses)
    return frozenset(each for each in courses if each not in found or purpose not in found[each].open_to)


async def exportable(clinic: Clinic, records: Sequence[AuditRecord], purpose: SharingPurpose) -> list[AuditRecord]:
    """Records of the audit log without the courses that are left out. A record of such courses alone is left out whole."""
    named = list(dict.fromkeys(course for record in records for course in record.courses))
    without = await left_out(clinic, named, purpose) if named else frozenset()
    if not without:
        return list(records)
    kept = [(record, tuple(each for each in record.courses if each not in without)) for record in records]
    return [msgspec.structs.replace(record, courses=courses) for record, courses in kept if courses or not record.courses]
