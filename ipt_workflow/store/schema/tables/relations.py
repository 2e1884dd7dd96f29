"""What ties people to courses beside being their therapist: cover by a colleague, and the people whom a restriction names."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import ROLES, one_of


class CoverRow(SQLModel, table=True):
    """A colleague covers for a therapist from `starts_at` until `ends_at`, or until it was ended before.

    Without rows in `cover_course` it is for `everything`: all courses that are the therapist's.
    """

    __tablename__ = "cover"
    __table_args__ = (
        sa.Index("ix_cover_colleague", "organisation", "colleague", "ends_at"),
        sa.Index("ix_cover_therapist", "organisation", "therapist", "ends_at"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    therapist: str = Field(max_length=128)
    colleague: str = Field(max_length=128)
    starts_at: dt.datetime
    ends_at: dt.datetime
    everything: bool
    client_told: bool
    reason: str = Field(max_length=4000)
    set_by: str = Field(max_length=128)
    set_role: str = Field(sa_type=one_of("cover_role", ROLES))
    set_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_by: str | None = Field(default=None, max_length=128)


class CoverCourseRow(SQLModel, table=True):
    """A course that a cover is for."""

    __tablename__ = "cover_course"

    organisation: str = Field(primary_key=True, max_length=64)
    cover_id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(primary_key=True, max_length=36)


class RestrictionRow(SQLModel, table=True):
    """A restriction of a course, in force until it is ended. `course.restricted` says the same of the course."""

    __tablename__ = "restriction"
    __table_args__ = (
        sa.Index(
            "uq_restriction_course",
            "organisation",
            "course_id",
            unique=True,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        ),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(max_length=36)
    reason: str = Field(max_length=4000)
    set_by: str = Field(max_length=128)
    set_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_by: str | None = Field(default=None, max_length=128)


class RestrictionPersonRow(SQLModel, table=True):
    """A person whom a restriction names."""

    __tablename__ = "restriction_person"
    __table_args__ = (sa.Index("ix_restriction_person_person", "organisation", "person", "restriction_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    restriction_id: str = Field(primary_key=True, max_length=36)
    person: str = Field(primary_key=True, max_length=128)


cover = CoverRow.__table__  # type: ignore[attr-defined]
cover_course = CoverCourseRow.__table__  # type: ignore[attr-defined]
restriction = RestrictionRow.__table__  # type: ignore[attr-defined]
restriction_person = RestrictionPersonRow.__table__  # type: ignore[attr-defined]
