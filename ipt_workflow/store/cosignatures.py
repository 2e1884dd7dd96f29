"""Checkpoints of an organisation's log with the cosignatures of its witnesses."""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.store import structs
from ipt_workflow.store.schema import tables

checkpoint = tables.log_checkpoint
LOOKED_BACK = 60  # checkpoints among which one with a quorum is looked for: about as many minutes


class CosignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint. `note` is what the log signed, and `cosignatures` are the lines that witnesses added."""

    size: int
    origin: str
    note: str
    cosignatures: str
    created_at: dt.datetime


def newest(connection: sa.Connection, organisation: str, limit: int = 1) -> list[CosignedCheckpoint]:
    """The checkpoints of the largest sizes, the largest first."""
    return structs.read_all(connection, _newest, CosignedCheckpoint, {"owner": organisation, "limit": limit})


def newest_header(connection: sa.Connection, organisation: str) -> str | None:
    """The newest checkpoint on one line, as deliveries and the feed carry it. None if there is none."""
    found = connection.execute(_newest, {"owner": organisation, "limit": 1}).first()
    return ipt_verify.header_of(ipt_verify.read_note(found.note)) if found else None


def of_size(connection: sa.Connection, organisation: str, size: int) -> CosignedCheckpoint | None:
    return structs.read_first(connection, _of_size, CosignedCheckpoint, {"owner": organisation, "of_size": size})


def add(connection: sa.Connection, organisation: str, size: int, lines: Sequence[str]) -> None:
    """Adds lines of cosignatures to a checkpoint, unless it has them."""
    known = {"owner": organisation, "of_size": size}
    found = structs.read_first(connection, _of_size.with_for_update(), CosignedCheckpoint, known)
    if found is None:
        return
    new = [each for each in lines if each not in found.cosignatures]
    if new:
        connection.execute(_cosign, {**known, "lines": found.cosignatures + "".join(new)})


def last_with(connection: sa.Connection, organisation: str, text: str) -> CosignedCheckpoint | None:
    """The largest checkpoint that has this text in its cosignatures."""
    escaped = text.replace("/", "//").replace("%", "/%").replace("_", "/_")
    return structs.read_first(connection, _with, CosignedCheckpoint, {"owner": organisation, "pattern": f"%{escaped}%"})


_columns = structs.columns(checkpoint, CosignedCheckpoint)
_owner = sa.bindparam("owner", type_=sa.String)
_ordered = sa.select(*_columns).where(checkpoint.c.organisation == _owner).order_by(checkpoint.c.size.desc())
_newest = _ordered.limit(sa.bindparam("limit", type_=sa.Integer))
_sized = (checkpoint.c.organisation == _owner, checkpoint.c.size == sa.bindparam("of_size", type_=sa.BigInteger))
_of_size = sa.select(*_columns).where(*_sized)
_cosign = sa.update(checkpoint).where(*_sized).values(cosignatures=sa.bindparam("lines", type_=sa.String))
_with = _ordered.where(checkpoint.c.cosignatures.like(sa.bindparam("pattern", type_=sa.String), escape="/")).limit(1)
