"""Sources: what becomes of other visits, a key for digests; tokens bound to a source; a source's messages in order."""

import secrets

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OTHER_VISITS = sa.Enum("wait", "ignore", name="source_other_visits", native_enum=False, create_constraint=True, length=24)
KEY_BYTES = 32


def upgrade() -> None:
    op.add_column("token", sa.Column("source", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=True))
    op.create_index("ix_notice_source", "notice", ["organisation", "source_id", "id"])
    with op.batch_alter_table("source") as batch:
        batch.add_column(sa.Column("other_visits", OTHER_VISITS, nullable=False, server_default="wait"))
        batch.add_column(sa.Column("digest_key", sa.LargeBinary(), nullable=True))
    _make_keys(op.get_bind())
    with op.batch_alter_table("source") as batch:
        batch.alter_column("other_visits", existing_type=sa.String(length=24), existing_nullable=False, server_default=None)
        batch.alter_column("digest_key", existing_type=sa.LargeBinary(), nullable=False)


def _make_keys(connection: sa.Connection) -> None:
    """Gives every source that exists a random key of its own."""
    source = sa.table("source", sa.column("organisation"), sa.column("id"), sa.column("digest_key", sa.LargeBinary()))
    for organisation, source_id in connection.execute(sa.select(source.c.organisation, source.c.id)).all():
        where = (source.c.organisation == organisation, source.c.id == source_id)
        connection.execute(sa.update(source).where(*where).values(digest_key=secrets.token_bytes(KEY_BYTES)))


def downgrade() -> None:
    raise NotImplementedError("Digests under these keys cannot be made again; restore a backup instead.")
