"""The mark of a sandbox, and the moves of its clock."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    "CREATE TRIGGER guard_sandbox_move_update BEFORE UPDATE ON sandbox_move WHEN 1 BEGIN SELECT RAISE(ABORT, 'sandbox_move is append-only'); END",
    "CREATE TRIGGER guard_sandbox_move_delete BEFORE DELETE ON sandbox_move WHEN 1 BEGIN SELECT RAISE(ABORT, 'sandbox_move is append-only'); END",
    "CREATE TRIGGER guard_sandbox_move_insert BEFORE INSERT ON sandbox_move WHEN EXISTS (SELECT 1 FROM sandbox_move WHERE organisation = NEW.organisation AND nth = NEW.nth) OR EXISTS (SELECT 1 FROM sandbox_move WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'sandbox_move has this row already'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE TRIGGER guard_sandbox_move_rows BEFORE UPDATE OR DELETE ON sandbox_move FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_sandbox_move_truncate BEFORE TRUNCATE ON sandbox_move FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
)


def upgrade() -> None:
    op.create_table(
        "sandbox_move",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("ahead", sa.BigInteger(), nullable=False),
        sa.Column("reached", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "nth", name=op.f("pk_sandbox_move")),
    )
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("A sandbox stays one; restore a backup instead.")
