"""Emergency access to the courses of a client, its end and its review; and an auditor's unmasking of a course's sealed text.

All of it is append-only but for the texts, which an erasure empties.
"""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import ROLES, one_of

EMERGENCY_CODES = ("ETREAT", "safeguarding", "cover_failed", "other")
VERDICTS = ("justified", "not_justified")


class EmergencyAccessRow(SQLModel, table=True):
    """A person opened the courses of a client from `starts_at` until `ends_at`, or until a row in `emergency_end`.

    `restricted`: one of the courses was restricted then. `text_digest` is the SHA-256 of the salt and the text in `access_text`.
    """

    __tablename__ = "emergency_access"
    __table_args__ = (
        sa.Index("ix_emergency_access_client", "organisation", "client_id", "starts_at"),
        sa.Index("ix_emergency_access_person", "organisation", "person", "starts_at"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    client_id: str = Field(max_length=36)
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("emergency_role", ROLES))
    via: str = Field(max_length=16)
    code: str = Field(sa_type=one_of("emergency_code", EMERGENCY_CODES))
    starts_at: dt.datetime
    ends_at: dt.datetime
    restricted: bool
    text_digest: str = Field(max_length=64)


class EmergencyEndRow(SQLModel, table=True):
    """An emergency access was ended before its time."""

    __tablename__ = "emergency_end"

    organisation: str = Field(primary_key=True, max_length=64)
    access_id: str = Field(primary_key=True, max_length=36)
    ended_at: dt.datetime
    ended_by: str = Field(max_length=128)


class EmergencyReviewRow(SQLModel, table=True):
    """A supervisor's judgement of an emergency access. `text_digest` is that of the comment, if there is one."""

    __tablename__ = "emergency_review"

    organisation: str = Field(primary_key=True, max_length=64)
    access_id: str = Field(primary_key=True, max_length=36)
    reviewer: str = Field(max_length=128)
    reviewed_at: dt.datetime
    verdict: str = Field(sa_type=one_of("emergency_verdict", VERDICTS))
    text_digest: str | None = Field(default=None, max_length=64)


class UnmaskingRow(SQLModel, table=True):
    """An auditor reads the sealed text of a course from `starts_at` until `ends_at`."""

    __tablename__ = "unmasking"
    __table_args__ = (sa.Index("ix_unmasking_person", "organisation", "person", "ends_at"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(max_length=36)
    person: str = Field(max_length=128)
    starts_at: dt.datetime
    ends_at: dt.datetime
    text_digest: str = Field(max_length=64)


class AccessTextRow(SQLModel, table=True):
    """What somebody wrote about an emergency access or an unmasking: its `reason`, or the `comment` of its review; or what a disclosure `said`.

    Erasure empties `salt` and `sealed` together; no other change is allowed.
    """

    __tablename__ = "access_text"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    kind: str = Field(primary_key=True, max_length=8)
    salt: str | None = Field(default=None, max_length=64)
    sealed: bytes | None = None


emergency_access = EmergencyAccessRow.__table__  # type: ignore[attr-defined]
emergency_end = EmergencyEndRow.__table__  # type: ignore[attr-defined]
emergency_review = EmergencyReviewRow.__table__  # type: ignore[attr-defined]
unmasking = UnmaskingRow.__table__  # type: ignore[attr-defined]
access_text = AccessTextRow.__table__  # type: ignore[attr-defined]
