"""What somebody has begun to write about a course and not recorded yet."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class DraftRow(SQLModel, table=True):
    """A form that a person has begun. It is theirs alone, and no part of the record: it is removed when they record it.

    `form` is the path of the form's page below that of the course. `sealed` is the form as JSON, sealed with `secret_keys`.
    """

    __tablename__ = "draft"
    __table_args__ = (sa.Index("ix_draft_person", "organisation", "person", "saved_at"),)

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    person: str = Field(primary_key=True, max_length=128)
    form: str = Field(primary_key=True, max_length=80)
    saved_at: dt.datetime
    sealed: bytes


draft = DraftRow.__table__  # type: ignore[attr-defined]
