"""Groups: their facilitators, members and sessions; and in entries, the group session that an entry records.

From this revision on, the fold keeps contacts by kind, who consents, and who took part. `db upgrade` rebuilds older snapshots.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    "CREATE TRIGGER guard_group_facilitator_update BEFORE UPDATE ON group_facilitator WHEN 1 BEGIN SELECT RAISE(ABORT, 'group_facilitator is append-only'); END",
    "CREATE TRIGGER guard_group_member_update BEFORE UPDATE ON group_member WHEN 1 BEGIN SELECT RAISE(ABORT, 'group_member is append-only'); END",
    "CREATE TRIGGER guard_group_session_update BEFORE UPDATE ON group_session WHEN 1 BEGIN SELECT RAISE(ABORT, 'group_session is append-only'); END",
    "CREATE TRIGGER guard_group_facilitator_delete BEFORE DELETE ON group_facilitator WHEN 1 BEGIN SELECT RAISE(ABORT, 'group_facilitator is append-only'); END",
    "CREATE TRIGGER guard_group_facilitator_insert BEFORE INSERT ON group_facilitator WHEN EXISTS (SELECT 1 FROM group_facilitator WHERE organisation = NEW.organisation AND group_id = NEW.group_id AND seq = NEW.seq AND person = NEW.person) OR EXISTS (SELECT 1 FROM group_facilitator WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'group_facilitator has this row already'); END",
    "CREATE TRIGGER guard_group_member_delete BEFORE DELETE ON group_member WHEN 1 BEGIN SELECT RAISE(ABORT, 'group_member is append-only'); END",
    "CREATE TRIGGER guard_group_member_insert BEFORE INSERT ON group_member WHEN EXISTS (SELECT 1 FROM group_member WHERE organisation = NEW.organisation AND course_id = NEW.course_id AND nth = NEW.nth) OR EXISTS (SELECT 1 FROM group_member WHERE organisation = NEW.organisation AND group_id = NEW.group_id AND seq = NEW.seq) OR EXISTS (SELECT 1 FROM group_member WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'group_member has this row already'); END",
    "CREATE TRIGGER guard_group_session_delete BEFORE DELETE ON group_session WHEN 1 BEGIN SELECT RAISE(ABORT, 'group_session is append-only'); END",
    "CREATE TRIGGER guard_group_session_insert BEFORE INSERT ON group_session WHEN EXISTS (SELECT 1 FROM group_session WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM group_session WHERE organisation = NEW.organisation AND group_id = NEW.group_id AND seq = NEW.seq) OR EXISTS (SELECT 1 FROM group_session WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'group_session has this row already'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE TRIGGER guard_group_facilitator_rows BEFORE UPDATE OR DELETE ON group_facilitator FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_group_facilitator_truncate BEFORE TRUNCATE ON group_facilitator FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_group_member_rows BEFORE UPDATE OR DELETE ON group_member FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_group_member_truncate BEFORE TRUNCATE ON group_member FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_group_session_rows BEFORE UPDATE OR DELETE ON group_session FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_group_session_truncate BEFORE TRUNCATE ON group_session FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
)


def upgrade() -> None:
    op.add_column("entry", sa.Column("group_session", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=True))
    some = sa.text("group_session IS NOT NULL")
    op.create_index("ix_entry_group_session", "entry", ["organisation", "group_session"], sqlite_where=some, postgresql_where=some)
    op.create_table(
        "therapy_group",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("label", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("protocol", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("protocol_version", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("created_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_therapy_group")),
    )
    op.create_table(
        "group_facilitator",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("group_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("person", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("told_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("told_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "group_id", "seq", "person", name=op.f("pk_group_facilitator")),
    )
    op.create_index("ix_group_facilitator_person", "group_facilitator", ["organisation", "person", "group_id"])
    op.create_table(
        "group_member",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("group_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("joined", sa.Boolean(), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("reason", sqlmodel.sql.sqltypes.AutoString(length=24), nullable=True),
        sa.Column("told_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("told_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "course_id", "nth", name=op.f("pk_group_member")),
        sa.UniqueConstraint("organisation", "group_id", "seq", name=op.f("uq_group_member_organisation_group_id_seq")),
    )
    _create_group_session()
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)


def _create_group_session() -> None:
    op.create_table(
        "group_session",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("group_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("occurred_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("recorded_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("recorded_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("medium", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=True),
        sa.Column("scheduled_for", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("told", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_group_session")),
        sa.UniqueConstraint("organisation", "group_id", "seq", name=op.f("uq_group_session_organisation_group_id_seq")),
    )


def downgrade() -> None:
    raise NotImplementedError("What was told is not taken back; restore a backup instead.")
