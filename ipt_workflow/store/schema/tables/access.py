"""Tokens, systems that prove themselves with a key, and failed authentications."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import WITH_OPERATOR, one_of

SYSTEM_ROLES = ("ehr", "auditor")


class TokenRow(SQLModel, table=True):
    """A bearer token. Of its secret part, only the SHA-256 is stored. Its id alone tells its organisation.

    `source` is the EHR whose messages its bearer may read. `scopes` are separated by spaces. `system` got it as an access token.
    """

    __tablename__ = "token"
    __table_args__ = (
        sa.Index("ix_token_id", "id", unique=True),
        sa.Index("ix_token_secret_hash", "secret_hash"),
        sa.Index("ix_token_system", "organisation", "system"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=32)
    secret_hash: str = Field(max_length=64)
    role: str = Field(sa_type=one_of("token_role", WITH_OPERATOR))
    name: str = Field(max_length=128)
    subject: str = Field(max_length=128)
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None = None
    source: str | None = Field(default=None, max_length=32)
    scopes: str | None = Field(default=None, max_length=2000)
    system: str | None = Field(default=None, max_length=32)
    last_used_at: dt.datetime | None = None


class SystemRow(SQLModel, table=True):
    """A program that gets access tokens by proving that it holds a private key. The id is never given to another one.

    Its public keys are at `jwks_url`, or are the JSON of `jwks`. `scopes` are separated by spaces.
    """

    __tablename__ = "system"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=32)
    name: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("system_role", SYSTEM_ROLES))
    scopes: str = Field(max_length=2000)
    jwks_url: str | None = Field(default=None, max_length=2000)
    jwks: bytes | None = None
    source: str | None = Field(default=None, max_length=32)
    created_at: dt.datetime
    created_by: str = Field(max_length=128)
    last_token_at: dt.datetime | None = None
    revoked_at: dt.datetime | None = None


class SystemAssertionRow(SQLModel, table=True):
    """An assertion that a system has used, by the SHA-256 of its jti: it is accepted once. The row is removed when it has expired."""

    __tablename__ = "system_assertion"

    organisation: str = Field(primary_key=True, max_length=64)
    system: str = Field(primary_key=True, max_length=32)
    jti: str = Field(primary_key=True, max_length=64)
    expires_at: dt.datetime


class AuthenticationFailureRow(SQLModel, table=True):
    """How often authentication failed from an address in a minute. Of the installation: who fails belongs to no organisation."""

    __tablename__ = "authentication_failure"

    minute: dt.datetime = Field(primary_key=True)
    address: str = Field(primary_key=True, max_length=64)
    count: int


system = SystemRow.__table__  # type: ignore[attr-defined]
system_assertion = SystemAssertionRow.__table__  # type: ignore[attr-defined]
authentication_failure = AuthenticationFailureRow.__table__  # type: ignore[attr-defined]
token = TokenRow.__table__  # type: ignore[attr-defined]
