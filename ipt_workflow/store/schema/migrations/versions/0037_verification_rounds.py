"""Rounds of the verifier that reads everything again in the background, and what a verification read of the log."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    "CREATE TRIGGER guard_verification_round_update BEFORE UPDATE ON verification_round WHEN OLD.ended_at IS NOT NULL OR NEW.organisation IS NOT OLD.organisation OR NEW.nth IS NOT OLD.nth OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'verification_round has ended'); END",
    "CREATE TRIGGER guard_verification_round_delete BEFORE DELETE ON verification_round WHEN 1 BEGIN SELECT RAISE(ABORT, 'verification_round is append-only'); END",
    "CREATE TRIGGER guard_verification_round_insert BEFORE INSERT ON verification_round WHEN EXISTS (SELECT 1 FROM verification_round WHERE organisation = NEW.organisation AND nth = NEW.nth) OR EXISTS (SELECT 1 FROM verification_round WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'verification_round has this row already'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION guard_verification_round() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.ended_at IS NOT NULL OR NEW.organisation IS DISTINCT FROM OLD.organisation OR NEW.nth IS DISTINCT FROM OLD.nth THEN RAISE EXCEPTION 'verification_round has ended' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER guard_verification_round_rows BEFORE DELETE ON verification_round FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_verification_round_truncate BEFORE TRUNCATE ON verification_round FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_verification_round_ended BEFORE UPDATE ON verification_round FOR EACH ROW EXECUTE FUNCTION guard_verification_round()",
)


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.add_column("verification", sa.Column("leaves", sa.BigInteger(), nullable=True))
    op.add_column("verification", sa.Column("kept_size", sa.BigInteger(), nullable=True))
    op.add_column("verification", sa.Column("bad_position", sa.BigInteger(), nullable=True))
    op.create_table(
        "verification_round",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("started_at", moment(), nullable=False),
        sa.Column("seen_at", moment(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("size", "leaves")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("total", "courses")),
        sa.Column("course_after", text(length=36), nullable=False),
        sa.Column("bad_position", sa.BigInteger(), nullable=True),
        sa.Column("bad_course", text(length=36), nullable=True),
        sa.Column("bad_seq", sa.Integer(), nullable=True),
        sa.Column("fault", text(length=500), nullable=True),
        sa.Column("ended_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "nth", name=op.f("pk_verification_round")),
    )
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("What was recorded is not taken back; restore a backup instead.")
