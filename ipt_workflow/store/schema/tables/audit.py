"""Events of the audit log other than transitions."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.access.principal import NOBODY
from ipt_workflow.store.schema.tables.columns import WITH_OPERATOR, one_of

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


class AuditSubjectRow(SQLModel, table=True):
    """Every course that an audit event touched."""

    __tablename__ = "audit_subject"
    __table_args__ = (sa.Index("ix_audit_subject_course", "organisation", "course_id", "event_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    event_id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(primary_key=True, max_length=36)


audit_event = AuditRow.__table__  # type: ignore[attr-defined]
audit_subject = AuditSubjectRow.__table__  # type: ignore[attr-defined]
