"""Records of the audit log as rows of a table."""

import msgspec

from ipt_workflow.journal.audit import AuditRecord

COLUMNS = (
    "recorded_at", "kind", "action", "person", "role", "via", "cosigned_by", "from", "to", "courses", "seq", "hash", "rules", "request_id", "id",
    "group_session", "basis", "purpose", "on_behalf_of",
)  # fmt: skip


def row(record: AuditRecord) -> tuple[object, ...]:
    """The values of a record, in the order of COLUMNS."""
    fields = msgspec.to_builtins(record)
    flat = {**fields, **fields["actor"], "courses": " ".join(record.courses), "rules": " ".join(record.rules)}
    return tuple(flat[column] for column in COLUMNS)
