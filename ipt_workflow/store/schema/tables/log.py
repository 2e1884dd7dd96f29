"""The log of an organisation: its leaves, the tiles of the tree over them, its checkpoints, and what waits for a position in it."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import one_of

LEAF_KINDS = ("entry", "record")

_ENTRIES = sa.text("kind = 'entry'")
_RECORDS = sa.text("kind = 'record'")


class LogOutboxRow(SQLModel, table=True):
    """What is to get a position in the log, and is no event for subscribers: a record of the audit log, or an entry of before there was a log.

    Records of a version without hashes have no `hash` here. The entries of today come from `outbox`.
    """

    __tablename__ = "log_outbox"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    course_id: str | None = Field(default=None, max_length=36)
    seq: int | None = None
    hash: str | None = Field(default=None, max_length=64)
    created_at: dt.datetime


class LogLeafRow(SQLModel, table=True):
    """A leaf: an entry by its course and seq, or a record of the audit log by its id, with the hash of its bytes. It has nothing personal."""

    __tablename__ = "log_leaf"
    __table_args__ = (
        sa.Index(
            "uq_log_leaf_entry",
            "organisation",
            "course_id",
            "seq",
            unique=True,
            sqlite_where=_ENTRIES,
            postgresql_where=_ENTRIES,
        ),
        sa.Index("uq_log_leaf_record", "organisation", "record_id", unique=True, sqlite_where=_RECORDS, postgresql_where=_RECORDS),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    position: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    kind: str = Field(sa_type=one_of("log_leaf_kind", LEAF_KINDS))
    course_id: str | None = Field(default=None, max_length=36)
    seq: int | None = None
    record_id: str | None = Field(default=None, max_length=36)
    hash: str = Field(max_length=64)


class LogTileRow(SQLModel, table=True):
    """A tile of the tree over the leaves (`journal.proof.tree`): up to 256 hashes, one after another. It only grows."""

    __tablename__ = "log_tile"

    organisation: str = Field(primary_key=True, max_length=64)
    level: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    hashes: bytes


class LogHeadRow(SQLModel, table=True):
    """How many leaves a log has. Who gives positions locks the task of numbering, and so writes this row alone."""

    __tablename__ = "log_head"

    organisation: str = Field(primary_key=True, max_length=64)
    size: int = Field(sa_type=sa.BigInteger)


class LogOriginRow(SQLModel, table=True):
    """A name under which checkpoints are signed: the first, and each that `log resume` began. It says what the one before lost.

    It signs trees larger than `began_at`. `kept_size` is the last checkpoint of the name before that is still in the database, `lost_size`
    and `lost_root` (Base64) the last that is known outside it.
    """

    __tablename__ = "log_origin"

    organisation: str = Field(primary_key=True, max_length=64)
    nth: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    origin: str = Field(max_length=255)
    began_at: int = Field(sa_type=sa.BigInteger)
    kept_size: int | None = Field(default=None, sa_type=sa.BigInteger)
    lost_size: int | None = Field(default=None, sa_type=sa.BigInteger)
    lost_root: str | None = Field(default=None, max_length=64)
    record_id: str | None = Field(default=None, max_length=36)  # of the record that says why
    created_at: dt.datetime


class LogCheckpointRow(SQLModel, table=True):
    """A signed checkpoint, one for a size. `root` is in Base64. `note` is the signed note; `cosignatures` are the lines that witnesses add."""

    __tablename__ = "log_checkpoint"

    organisation: str = Field(primary_key=True, max_length=64)
    size: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    origin: str = Field(max_length=255)
    root: str = Field(max_length=64)
    note: str
    cosignatures: str = Field(default="")
    created_at: dt.datetime


log_outbox = LogOutboxRow.__table__  # type: ignore[attr-defined]
log_leaf = LogLeafRow.__table__  # type: ignore[attr-defined]
log_tile = LogTileRow.__table__  # type: ignore[attr-defined]
log_head = LogHeadRow.__table__  # type: ignore[attr-defined]
log_origin = LogOriginRow.__table__  # type: ignore[attr-defined]
log_checkpoint = LogCheckpointRow.__table__  # type: ignore[attr-defined]
