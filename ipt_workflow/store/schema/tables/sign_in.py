"""Signing in: the sessions of people, and what may be used once."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import ROLES, one_of

METHODS = ("oidc", "passkey", "password", "recovery", "link", "smart")
ONE_TIME_KINDS = ("oidc", "smart", "link", "enrolment", "passkey", "logout", "assertion")


class SignInSessionRow(SQLModel, table=True):
    """A session of a signed-in person. Its id alone tells its organisation. Of its secrets, only the SHA-256 is stored.

    `role` is the one acted in, of the `roles` that the person has; it is empty until they choose. `authenticated_at` is when they last
    proved who they are, if that is known. `access_hash` is that of the token by which programs act in the session.
    """

    __tablename__ = "sign_in_session"
    __table_args__ = (
        sa.Index("ix_sign_in_session_id", "id", unique=True),
        sa.Index("ix_sign_in_session_person", "organisation", "person"),
        sa.Index("ix_sign_in_session_subject", "organisation", "issuer", "subject"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=32)
    secret_hash: str = Field(max_length=64)
    access_hash: str | None = Field(default=None, max_length=64)
    person: str = Field(max_length=128)
    role: str | None = Field(default=None, sa_type=one_of("sign_in_role", ROLES))
    roles: str = Field(max_length=80)  # separated by spaces
    method: str = Field(sa_type=one_of("sign_in_method", METHODS))
    created_at: dt.datetime
    authenticated_at: dt.datetime | None = None
    seen_at: dt.datetime  # written at most once a minute
    expires_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_why: str | None = Field(default=None, max_length=24)
    issuer: str | None = Field(default=None, max_length=255)
    subject: str | None = Field(default=None, max_length=255)
    provider_session: str | None = Field(default=None, max_length=255)  # the claim `sid`
    logout_hint: bytes | None = None  # the ID token, sealed


class OneTimeRow(SQLModel, table=True):
    """What may be used once until a moment: the state of a sign-in, a link, a challenge, the id of a token of others."""

    __tablename__ = "one_time"
    __table_args__ = (sa.Index("ix_one_time_expires", "organisation", "expires_at"),)

    organisation: str = Field(primary_key=True, max_length=64)
    kind: str = Field(primary_key=True, sa_type=one_of("one_time_kind", ONE_TIME_KINDS))
    hash: str = Field(primary_key=True, max_length=64)
    data: bytes  # JSON
    created_at: dt.datetime
    expires_at: dt.datetime


sign_in_session = SignInSessionRow.__table__  # type: ignore[attr-defined]
one_time = OneTimeRow.__table__  # type: ignore[attr-defined]
