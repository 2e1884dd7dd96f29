"""Groups: who facilitates them, who joined and left, which sessions were told of; and of an entry, which group's session it tells of.

Snapshots are taken anew: since this version the fold keeps contacts by kind, who consents, and who took part.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from ipt_workflow import journal
from ipt_workflow.errors import JournalBroken
from ipt_workflow.store.commits import rows

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BATCH = 1000

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
    _take_snapshots_anew(op.get_bind())


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


def _take_snapshots_anew(connection: sa.Connection) -> None:
    course = sa.table("course", *map(sa.column, ("organisation", "id", "snapshot")))
    place = sa.tuple_(course.c.organisation, course.c.id)
    after = ("", "")
    while True:
        some = (
            sa.select(course.c.organisation, course.c.id).where(place > sa.tuple_(*map(sa.literal, after))).order_by(*place.clauses)
        )
        found = connection.execute(some.limit(BATCH)).all()
        for organisation, course_id in found:
            snapshot = _snapshot(connection, organisation, course_id)
            if snapshot is not None:
                where = (course.c.organisation == organisation, course.c.id == course_id)
                connection.execute(sa.update(course).where(*where).values(snapshot=snapshot))
        if len(found) < BATCH:
            return
        after = tuple(found[-1])


def _snapshot(connection: sa.Connection, organisation: str, course_id: str) -> bytes | None:
    """None where the journal cannot be read: `audit verify` tells of it."""
    entry = sa.table("entry", *map(sa.column, ("organisation", "course_id", "seq", "canonical")))
    its = (entry.c.organisation == organisation, entry.c.course_id == course_id)
    written = connection.execute(sa.select(entry.c.canonical).where(*its).order_by(entry.c.seq)).scalars()
    try:
        folded = journal.replay([journal.read(bytes(each), salt=None, sealed=None) for each in written])
    except JournalBroken:
        return None
    return rows.snapshot(folded) if folded is not None else None


def downgrade() -> None:
    raise NotImplementedError("What was told is not taken back; restore a backup instead.")
