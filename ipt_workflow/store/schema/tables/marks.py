"""Marks on clients' records: holds, processing restrictions and objections."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import ROLES, one_of

MARK_KINDS = ("hold", "restriction", "objection")
_IN_FORCE = sa.text("ended_at IS NULL")


class ClientMarkRow(SQLModel, table=True):
    """A mark, in force until it has ended. It cannot be changed after that. Its texts are in `access_text`, which keeps them erasable.

    `client_informed` is when it ended: the client was informed before.
    """

    __tablename__ = "client_mark"
    __table_args__ = (
        sa.Index(
            "uq_client_mark_in_force",
            "organisation",
            "client_id",
            "kind",
            "ground",
            unique=True,
            sqlite_where=_IN_FORCE,
            postgresql_where=_IN_FORCE,
        ),
        sa.Index("ix_client_mark_kind", "organisation", "kind", "client_id", sqlite_where=_IN_FORCE, postgresql_where=_IN_FORCE),
        sa.Index("ix_client_mark_client", "organisation", "client_id", "id"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    client_id: str = Field(max_length=36)
    kind: str = Field(sa_type=one_of("client_mark_kind", MARK_KINDS))
    ground: str = Field(max_length=64)
    set_by: str = Field(max_length=128)
    set_role: str = Field(sa_type=one_of("client_mark_role", ROLES))
    set_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_by: str | None = Field(default=None, max_length=128)
    client_informed: bool | None = None


client_mark = ClientMarkRow.__table__  # type: ignore[attr-defined]
