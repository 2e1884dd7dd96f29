"""Organisations and the people of their staff."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import one_of

ORGANISATION_STATUSES = ("active", "suspended")
PERSON_STATUSES = ("active", "left")


class OrganisationRow(SQLModel, table=True):
    """A clinic. Without a `zone` its days are those of the setting `time_zone`.

    `settings` is JSON: what differs by organisation. `version` grows with each change, so that every process notices it.
    """

    __tablename__ = "organisation"

    id: str = Field(primary_key=True, max_length=64)
    title: str = Field(max_length=128)
    zone: str | None = Field(default=None, max_length=64)
    status: str = Field(sa_type=one_of("organisation_status", ORGANISATION_STATUSES))
    settings: bytes
    version: int
    created_at: dt.datetime


class PersonRow(SQLModel, table=True):
    """A person of the staff. The id is never given to another person. `roles` are separated by spaces."""

    __tablename__ = "person"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=128)
    name: str = Field(max_length=128)
    roles: str = Field(max_length=80)
    status: str = Field(sa_type=one_of("person_status", PERSON_STATUSES))
    language: str | None = Field(default=None, max_length=35)
    zone: str | None = Field(default=None, max_length=64)
    created_at: dt.datetime
    left_at: dt.datetime | None = None


class PersonSupervisorRow(SQLModel, table=True):
    """A supervisor of a person."""

    __tablename__ = "person_supervisor"
    __table_args__ = (sa.Index("ix_person_supervisor_supervisor", "organisation", "supervisor", "person"),)

    organisation: str = Field(primary_key=True, max_length=64)
    person: str = Field(primary_key=True, max_length=128)
    supervisor: str = Field(primary_key=True, max_length=128)


class PersonIdentityRow(SQLModel, table=True):
    """How an identity provider names a person: its issuer, and the subject there."""

    __tablename__ = "person_identity"
    __table_args__ = (sa.Index("ix_person_identity_person", "organisation", "person"),)

    organisation: str = Field(primary_key=True, max_length=64)
    issuer: str = Field(primary_key=True, max_length=255)
    subject: str = Field(primary_key=True, max_length=255)
    person: str = Field(max_length=128)
    added_at: dt.datetime


organisation = OrganisationRow.__table__  # type: ignore[attr-defined]
person = PersonRow.__table__  # type: ignore[attr-defined]
person_supervisor = PersonSupervisorRow.__table__  # type: ignore[attr-defined]
person_identity = PersonIdentityRow.__table__  # type: ignore[attr-defined]
