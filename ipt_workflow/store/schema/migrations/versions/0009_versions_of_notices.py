"""Notices are versions of the things that a resource comes to, and every digest that is kept of a message is keyed.

A digest that was kept so far becomes the keyed digest of itself, so that a message sent before is still known when it comes again.
"""

import hashlib
import hmac

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BATCH = 1000
SOME = sa.text("status = 'waiting'")
PATIENT = ("fhir.Patient",)


def upgrade() -> None:
    op.add_column("notice", sa.Column("resource_key", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True))
    op.add_column("notice", sa.Column("part", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False, server_default=""))
    op.add_column("notice", sa.Column("ordinal", sa.Integer(), nullable=True))
    op.add_column("notice", sa.Column("void", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("notice", sa.Column("content_digest", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True))
    op.add_column("notice", sa.Column("awaits_course", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE notice SET void = TRUE WHERE resource_version = 'deleted'")
    _key_digests(op.get_bind())
    op.drop_index("ix_notice_resource", table_name="notice")
    op.create_index("uq_notice_key", "notice", ["organisation", "key"], unique=True)
    op.create_index("uq_notice_version", "notice", ["organisation", "resource_key", "part", "ordinal"], unique=True)
    op.create_index(
        "ix_notice_waiting_source_id", "notice", ["organisation", "source_id"], sqlite_where=SOME, postgresql_where=SOME
    )


def _key_digests(connection: sa.Connection) -> None:
    source = sa.table("source", sa.column("organisation"), sa.column("id"), sa.column("digest_key", sa.LargeBinary()))
    for organisation, source_id, key in connection.execute(sa.select(source)).all():
        _key_digests_of(connection, organisation, source_id, bytes(key))


def _key_digests_of(connection: sa.Connection, organisation: str, source_id: str, key: bytes) -> None:
    """Keys the digests of a source's notices, oldest first, and counts the versions of each resource."""
    names = ("organisation", "id", "source_id", "key", "body_hash", "type", "resource", "resource_key", "ordinal")
    notice = sa.table("notice", *map(sa.column, names))
    ordinals: dict[str, int] = {}
    last = ""
    while True:
        of_source = (notice.c.organisation == organisation, notice.c.source_id == source_id, notice.c.id > last)
        found = connection.execute(sa.select(notice).where(*of_source).order_by(notice.c.id).limit(BATCH)).mappings().all()
        for row in found:
            values = {"key": _keyed(key, row["key"]), "body_hash": _keyed(key, row["body_hash"])}
            if row["resource"]:
                ordinals[row["resource"]] = ordinals.get(row["resource"], 0) + 1
                values |= {"resource_key": _keyed(key, row["resource"]), "ordinal": ordinals[row["resource"]]}
            if row["type"] in PATIENT:  # its name was a digest that anybody can make of a client's reference
                values["resource"] = "Patient"
            connection.execute(sa.update(notice).where(*of_source[:2], notice.c.id == row["id"]).values(**values))
        if len(found) < BATCH:
            return
        last = found[-1]["id"]


def _keyed(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def downgrade() -> None:
    raise NotImplementedError("Digests are not taken back; restore a backup instead.")
