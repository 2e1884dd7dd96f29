"""What of the audit log somebody is shown: nothing about courses that do not exist for them."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.clinic import Clinic


async def shown(clinic: Clinic, principal: Principal, records: Sequence[AuditRecord]) -> list[AuditRecord]:
    """These records without the courses that the principal may not see. A record of such courses alone is left out."""
    unseen = await clinic.unseen(principal, list({course for record in records for course in record.courses}))
    if not unseen:
        return list(records)
    kept = [(record, tuple(each for each in record.courses if each not in unseen)) for record in records]
    return [msgspec.structs.replace(record, courses=courses) for record, courses in kept if courses or not record.courses]
