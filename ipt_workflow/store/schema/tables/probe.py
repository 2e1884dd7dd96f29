"""What `/health/ready` writes to learn whether a write succeeds."""

import datetime as dt

from sqlmodel import Field, SQLModel


class ProbeRow(SQLModel, table=True):
    """The row of an organisation that readiness writes again and again."""

    __tablename__ = "probe"

    organisation: str = Field(primary_key=True, max_length=64)
    written_at: dt.datetime


probe = ProbeRow.__table__  # type: ignore[attr-defined]
