"""The mark of a sandbox."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class SandboxMoveRow(SQLModel, table=True):
    """A move of a sandbox's clock. A database with a row here was made as a sandbox, for all its organisations.

    Since then the clock is `ahead` microseconds ahead of the system's clock, and was at `reached` when it was moved.
    """

    __tablename__ = "sandbox_move"

    organisation: str = Field(primary_key=True, max_length=64)
    nth: int = Field(primary_key=True)
    ahead: int = Field(sa_type=sa.BigInteger)
    reached: dt.datetime


sandbox_move = SandboxMoveRow.__table__  # type: ignore[attr-defined]
