"""Tokens, and failed authentications."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import WITH_OPERATOR, one_of


class TokenRow(SQLModel, table=True):
    """A bearer token. Of its secret part, only the SHA-256 is stored. Its id alone tells its organisation. `source` is the EHR whose messages its bearer may read."""

    __tablename__ = "token"
    __table_args__ = (sa.Index("ix_token_id", "id", unique=True), sa.Index("ix_token_secret_hash", "secret_hash"))

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


class AuthenticationFailureRow(SQLModel, table=True):
    """How often authentication failed from an address in a minute. Of the installation: who fails belongs to no organisation."""

    __tablename__ = "authentication_failure"

    minute: dt.datetime = Field(primary_key=True)
    address: str = Field(primary_key=True, max_length=64)
    count: int


authentication_failure = AuthenticationFailureRow.__table__  # type: ignore[attr-defined]
token = TokenRow.__table__  # type: ignore[attr-defined]
