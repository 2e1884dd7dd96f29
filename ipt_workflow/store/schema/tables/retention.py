"""Retention: the policies in force, what people decided about clients' records that were due, and the months of the audit log that were reaped."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.access import retention
from ipt_workflow.store.schema.tables.columns import ROLES, one_of

DECISIONS = ("erase", "keep")
_IN_FORCE = sa.text("ended_at IS NULL")


class RetentionPolicyRow(SQLModel, table=True):
    """A policy that an organisation put in force. It cannot be changed once it has ended."""

    __tablename__ = "retention_policy"
    __table_args__ = (
        sa.Index(
            "uq_retention_policy_in_force",
            "organisation",
            "name",
            unique=True,
            sqlite_where=_IN_FORCE,
            postgresql_where=_IN_FORCE,
        ),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    name: str = Field(max_length=64)
    kind: str = Field(sa_type=one_of("retention_policy_kind", retention.KINDS))
    jurisdiction: str = Field(max_length=8)
    bound: str = Field(sa_type=one_of("retention_policy_bound", ("floor", "ceiling")))
    period: str = Field(max_length=16)
    anchor: str = Field(sa_type=one_of("retention_policy_anchor", ("last_contact", "death", "majority", "recorded")))
    citation: str = Field(max_length=500)
    verified: str = Field(sa_type=one_of("retention_policy_verified", ("law", "secondary", "no")))
    note: str | None = Field(default=None, max_length=4000)
    adopted_by: str = Field(max_length=128)
    adopted_role: str = Field(sa_type=one_of("retention_policy_role", ROLES))
    adopted_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_by: str | None = Field(default=None, max_length=128)


class RetentionDecisionRow(SQLModel, table=True):
    """What a person decided about a client's record. Those of one deed were decided together.

    `policies` are the names of those whose terms had passed, separated by commas. `until` is the day until which a record is kept that was
    due. `counts` is the JSON of what was removed.
    """

    __tablename__ = "retention_decision"
    __table_args__ = (
        sa.Index("ix_retention_decision_client", "organisation", "client_id", "id"),
        sa.Index("ix_retention_decision_deed", "organisation", "deed", "id"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    deed: str = Field(max_length=36)
    client_id: str = Field(max_length=36)
    decision: str = Field(sa_type=one_of("retention_decision", DECISIONS))
    ground: str = Field(max_length=64)
    until: dt.date | None = None
    policies: str = Field(max_length=2000)
    counts: bytes
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("retention_decision_role", ROLES))
    via: str = Field(max_length=16)
    decided_at: dt.datetime


class AuditReapingRow(SQLModel, table=True):
    """A month of a part of the audit log, whose records were removed. The database removes only records that such a row is about.

    `positions` is the JSON of the ranges of the log's positions at which they were, and `checkpoint` the note that proves these leaves.
    """

    __tablename__ = "audit_reaping"

    organisation: str = Field(primary_key=True, max_length=64)
    kind: str = Field(primary_key=True, sa_type=one_of("audit_reaping_kind", tuple(retention.REAPED)))
    month: str = Field(primary_key=True, max_length=7)
    starts_at: dt.datetime
    ends_at: dt.datetime
    records: int
    policies: str = Field(max_length=2000)
    positions: bytes
    checkpoint_size: int = Field(sa_type=sa.BigInteger)
    checkpoint: str = Field(sa_type=sa.Text)
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("audit_reaping_role", ROLES))
    via: str = Field(max_length=16)
    decided_at: dt.datetime


retention_policy = RetentionPolicyRow.__table__  # type: ignore[attr-defined]
retention_decision = RetentionDecisionRow.__table__  # type: ignore[attr-defined]
audit_reaping = AuditReapingRow.__table__  # type: ignore[attr-defined]
