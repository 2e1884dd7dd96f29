"""Row-level security on PostgreSQL, which `db upgrade` establishes after the migrations (`row_security.establish`).

A credential is found by its digest, in whichever organisation: so the digests get an index.
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_token_secret_hash", "token", ["secret_hash"])


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
