"""What people sign in with where no identity provider does it: passkeys, recovery codes, passwords with a second factor."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class PasskeyRow(SQLModel, table=True):
    """A passkey of a person. Its id is the SHA-256 of the credential's id; `credential` holds that id and the public key.

    `user_handle` is how authenticators name the person: random, and the same in all their passkeys.
    """

    __tablename__ = "passkey"
    __table_args__ = (sa.Index("ix_passkey_person", "organisation", "person"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=64)
    person: str = Field(max_length=128)
    user_handle: bytes
    credential: bytes
    sign_count: int = Field(sa_type=sa.BigInteger)
    synced: bool
    created_at: dt.datetime
    used_at: dt.datetime | None = None


class RecoveryCodeRow(SQLModel, table=True):
    """A recovery code that was not used. Only its SHA-256 is stored."""

    __tablename__ = "recovery_code"

    organisation: str = Field(primary_key=True, max_length=64)
    person: str = Field(primary_key=True, max_length=128)
    hash: str = Field(primary_key=True, max_length=64)
    created_at: dt.datetime


class PasswordRow(SQLModel, table=True):
    """A person's password as argon2id, and the sealed secret of their second factor. `used_step` is that of the last code used."""

    __tablename__ = "password"

    organisation: str = Field(primary_key=True, max_length=64)
    person: str = Field(primary_key=True, max_length=128)
    hash: str = Field(max_length=255)
    second_factor: str = Field(max_length=255)
    used_step: int = Field(sa_type=sa.BigInteger)
    changed_at: dt.datetime


passkey = PasskeyRow.__table__  # type: ignore[attr-defined]
recovery_code = RecoveryCodeRow.__table__  # type: ignore[attr-defined]
password = PasswordRow.__table__  # type: ignore[attr-defined]
