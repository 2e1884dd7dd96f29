"""Events of the audit log other than transitions, and what became of verifications and exports."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.access.principal import NOBODY
from ipt_workflow.store.schema.tables.columns import ROLES, WITH_OPERATOR, one_of

EXPORT_FORMATS = ("ndjson", "csv", "fhir")
OUTCOMES = ("done", "stopped")
AUDIT_KINDS = ("refusal", "read", "export", "sign_in", "config", "proposal", "delivery", "notice", "access")


class AuditRow(SQLModel, table=True):
    """An event other than a transition: a refusal, a read, an export and the like. Transitions are in `entry`."""

    __tablename__ = "audit_event"
    __table_args__ = (
        sa.Index("ix_audit_event_recorded", "organisation", "recorded_at", "id"),
        sa.Index("ix_audit_event_person", "organisation", "person", "recorded_at", "id"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    kind: str = Field(sa_type=one_of("audit_kind", AUDIT_KINDS))
    recorded_at: dt.datetime
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("audit_role", (*WITH_OPERATOR, NOBODY)))
    via: str = Field(max_length=16)
    action: str = Field(max_length=80)  # the trigger that was refused, or what was read
    rules: str | None = Field(default=None, max_length=2000)  # of a refusal: names of rules, separated by commas
    request_id: str | None = Field(default=None, max_length=64)
    basis: str | None = Field(default=None, max_length=16)  # why the person might: the relation to the course
    purpose: str | None = Field(default=None, max_length=16)  # of use, a code of HL7's v3-PurposeOfUse
    command: bytes | None = None  # of a refusal: the structural part of the command, as JSON (`gate.replay.RefusedCommand`)
    canonical: bytes | None = None  # of everything but the command (`journal.audit.record_bytes`); none in a version before
    hash: str | None = Field(default=None, max_length=64)  # the SHA-256 of these bytes


class AuditSubjectRow(SQLModel, table=True):
    """Every course that an audit event touched."""

    __tablename__ = "audit_subject"
    __table_args__ = (sa.Index("ix_audit_subject_course", "organisation", "course_id", "event_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    event_id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(primary_key=True, max_length=36)


class VerificationRow(SQLModel, table=True):
    """A verification of the journal: how far it is while it runs, and its result. It cannot be changed once it has ended.

    `courses` and `entries` are those checked so far, of `total` courses. `seen_at` is when the process that runs it last said so.
    `bad_course`, `bad_seq` and `fault` name the first bad entry, and `bad_position` where it is in the log. `leaves` are the positions of the
    log that were checked; with `kept_size`, only those after a checkpoint of that size, which somebody kept.
    """

    __tablename__ = "verification"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    course_id: str | None = Field(default=None, max_length=36)
    chains_only: bool
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("verification_role", ROLES))
    via: str = Field(max_length=16)
    started_at: dt.datetime
    seen_at: dt.datetime
    total: int
    courses: int
    entries: int
    erased: int
    ended_at: dt.datetime | None = None
    outcome: str | None = Field(default=None, sa_type=one_of("verification_outcome", OUTCOMES))
    bad_course: str | None = Field(default=None, max_length=36)
    bad_seq: int | None = None
    fault: str | None = Field(default=None, max_length=500)
    leaves: int | None = Field(default=None, sa_type=sa.BigInteger)
    kept_size: int | None = Field(default=None, sa_type=sa.BigInteger)
    bad_position: int | None = Field(default=None, sa_type=sa.BigInteger)


class VerificationRoundRow(SQLModel, table=True):
    """A round of the verifier in the background: how far it is through the log and the courses, and the first fault that it found.

    `leaves` of `size` positions are read, and `courses` of `total`, up to the id `course_after`. It cannot be changed once it has ended.
    """

    __tablename__ = "verification_round"

    organisation: str = Field(primary_key=True, max_length=64)
    nth: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    started_at: dt.datetime
    seen_at: dt.datetime
    size: int = Field(sa_type=sa.BigInteger)
    leaves: int = Field(sa_type=sa.BigInteger)
    total: int
    courses: int
    course_after: str = Field(max_length=36)
    bad_position: int | None = Field(default=None, sa_type=sa.BigInteger)
    bad_course: str | None = Field(default=None, max_length=36)
    bad_seq: int | None = None
    fault: str | None = Field(default=None, max_length=500)
    ended_at: dt.datetime | None = None


class AuditExportRow(SQLModel, table=True):
    """An export of the audit log: how far it is while it runs, and how it ended. It cannot be changed once it has ended.

    `filters` is the JSON of the filters that were set. `records` have been written so far, the last of them of `reached_at`.
    """

    __tablename__ = "audit_export"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    format: str = Field(sa_type=one_of("audit_export_format", EXPORT_FORMATS))
    filters: bytes
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("audit_export_role", ROLES))
    via: str = Field(max_length=16)
    started_at: dt.datetime
    seen_at: dt.datetime
    records: int
    reached_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    outcome: str | None = Field(default=None, sa_type=one_of("audit_export_outcome", OUTCOMES))


audit_event = AuditRow.__table__  # type: ignore[attr-defined]
audit_subject = AuditSubjectRow.__table__  # type: ignore[attr-defined]
verification = VerificationRow.__table__  # type: ignore[attr-defined]
verification_round = VerificationRoundRow.__table__  # type: ignore[attr-defined]
audit_export = AuditExportRow.__table__  # type: ignore[attr-defined]
