"""What was erased of clients, and the keys under which their texts are sealed."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import ROLES, one_of


class ErasureRow(SQLModel, table=True):
    """An erasure: of a client, or of the text of one entry. `removed` and `remains` are JSON, and hold nothing of what was erased.

    `again_of` is the erasure that it repeats, after an older state of the database was restored.
    """

    __tablename__ = "erasure"
    __table_args__ = (sa.Index("ix_erasure_client", "organisation", "client_id", "id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    client_id: str = Field(max_length=36)
    course_id: str | None = Field(default=None, max_length=36)
    seq: int | None = None
    ground: str = Field(max_length=24)
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("erasure_role", ROLES))
    via: str = Field(max_length=16)
    erased_at: dt.datetime
    removed: bytes
    remains: bytes
    again_of: str | None = Field(default=None, max_length=36)


class ClientKeyRow(SQLModel, table=True):
    """A key under which texts about a client are sealed: those of one course. `wrapped` is the key, sealed with `secret_keys`.

    A course has a key of its own since it can be relinked to another client. An erasure empties `wrapped`, and no text under it can be read
    any more, in no copy of the database that does not hold this table.
    """

    __tablename__ = "client_key"
    __table_args__ = (sa.Index("ix_client_key_course", "organisation", "course_id", "id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(max_length=36)
    wrapped: str | None = Field(default=None, max_length=500)
    made_at: dt.datetime
    shredded_at: dt.datetime | None = None


erasure = ErasureRow.__table__  # type: ignore[attr-defined]
client_key = ClientKeyRow.__table__  # type: ignore[attr-defined]
