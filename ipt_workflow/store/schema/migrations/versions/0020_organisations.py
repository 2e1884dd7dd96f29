"""Organisations and people; the role of the operator; why something was read, in the audit log."""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from alembic.operations.base import BatchOperations

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin", "operator")
KINDS = ("refusal", "read", "export", "sign_in", "config", "proposal", "delivery", "notice", "access")
WITH_ROWS = ("token", "course", "client", "protocol", "source", "subscription", "therapy_group", "audit_event")
SQLITE_GUARDS = (
    "CREATE TRIGGER guard_audit_event_update BEFORE UPDATE ON audit_event WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_event_delete BEFORE DELETE ON audit_event WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_event_insert BEFORE INSERT ON audit_event WHEN EXISTS (SELECT 1 FROM audit_event WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM audit_event WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'audit_event has this row already'); END",
)


def upgrade() -> None:
    _create_tables()
    sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("audit_event") as batch:
        batch.add_column(sa.Column("basis", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=True))
        batch.add_column(sa.Column("purpose", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=True))
        _allow(batch, "audit_event", "audit_role", "role", ROLES)
        _allow(batch, "audit_event", "audit_kind", "kind", KINDS)
    with op.batch_alter_table("token") as batch:
        _allow(batch, "token", "token_role", "role", ROLES)
    op.create_index("ix_token_id", "token", ["id"], unique=True)
    for statement in SQLITE_GUARDS if sqlite else ():
        op.execute(statement)
    known = " UNION ".join(f"SELECT organisation FROM {table}" for table in WITH_ROWS)  # noqa: S608 - names of our tables
    nothing = "x'7b7d'" if sqlite else "'\\x7b7d'"  # {}
    now = "strftime('%Y-%m-%d %H:%M:%S.000000', 'now')" if sqlite else "now()"
    rows = f"SELECT organisation, organisation, 'active', {nothing}, 1, {now} FROM ({known}) AS known"  # noqa: S608 - as above
    op.execute(f"INSERT INTO organisation (id, title, status, settings, version, created_at) {rows}")


def _allow(batch: BatchOperations, table: str, name: str, column: str, values: tuple[str, ...]) -> None:
    batch.drop_constraint(op.f(f"ck_{table}_{name}"), type_="check")
    batch.create_check_constraint(name, f"{column} IN ({', '.join(repr(each) for each in values)})")


def _create_tables() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "organisation",
        sa.Column("id", text(length=64), nullable=False),
        sa.Column("title", text(length=128), nullable=False),
        sa.Column("zone", text(length=64), nullable=True),
        sa.Column(
            "status",
            sa.Enum("active", "suspended", name="organisation_status", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("settings", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisation")),
    )
    op.create_table(
        "person",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=128), nullable=False),
        sa.Column("name", text(length=128), nullable=False),
        sa.Column("roles", text(length=80), nullable=False),
        sa.Column(
            "status",
            sa.Enum("active", "left", name="person_status", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("language", text(length=35), nullable=True),
        sa.Column("zone", text(length=64), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("left_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_person")),
    )
    op.create_table(
        "person_supervisor",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("supervisor", text(length=128), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "person", "supervisor", name=op.f("pk_person_supervisor")),
    )
    op.create_index("ix_person_supervisor_supervisor", "person_supervisor", ["organisation", "supervisor", "person"])
    op.create_table(
        "person_identity",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("issuer", text(length=255), nullable=False),
        sa.Column("subject", text(length=255), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("added_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "issuer", "subject", name=op.f("pk_person_identity")),
    )
    op.create_index("ix_person_identity_person", "person_identity", ["organisation", "person"])


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
