"""Webhooks: events with positions, subscriptions with their keys, deliveries; and their records in the audit log."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

AUDIT_KINDS = ("refusal", "read", "export", "sign_in", "config", "proposal", "delivery", "notice")
ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
COPY = (
    "INSERT INTO audit_event (organisation, id, kind, recorded_at, person, role, via, action, rules, request_id) "
    "SELECT organisation, id, kind, recorded_at, person, role, via, action, rules, request_id FROM audit_event_before ORDER BY rowid"
)
SQLITE_GUARDS = (
    "CREATE TRIGGER guard_audit_event_update BEFORE UPDATE ON audit_event WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_event_delete BEFORE DELETE ON audit_event WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_event_insert BEFORE INSERT ON audit_event WHEN EXISTS (SELECT 1 FROM audit_event WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM audit_event WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'audit_event has this row already'); END",
)


def upgrade() -> None:
    op.create_table(
        "attention_told",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kinds", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("next_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "course_id", name=op.f("pk_attention_told")),
    )
    op.create_table(
        "delivery",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("subscription_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("lane", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "waiting",
                "delivered",
                "dead",
                "withheld",
                "cancelled",
                name="delivery_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("lease", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=True),
        sa.Column("leased_until", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_problem", sqlmodel.sql.sqltypes.AutoString(length=24), nullable=True),
        sa.Column("last_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("ended_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "organisation", "subscription_id", "position", name=op.f("uq_delivery_organisation_subscription_id_position")
        ),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index("ix_delivery_due", ["organisation", "status", "next_at"], unique=False)
        batch_op.create_index("ix_delivery_lane", ["organisation", "subscription_id", "lane", "status", "position"], unique=False)

    op.create_table(
        "event",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "entry",
                "refusal",
                "attention",
                "disabled",
                "ping",
                name="event_kind",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("detail", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.Column("subscription_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=True),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "position", name=op.f("pk_event")),
        sa.UniqueConstraint("organisation", "id", name=op.f("uq_event_organisation_id")),
    )
    op.create_index("ix_event_created", "event", ["organisation", "created_at"], unique=False)
    op.create_table(
        "relay_task",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(length=24), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "name", name=op.f("pk_relay_task")),
    )
    op.create_table(
        "subscription",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("url", sqlmodel.sql.sqltypes.AutoString(length=2000), nullable=False),
        sa.Column("types", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("courses", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column(
            "scope",
            sa.Enum("thin", "clinical", name="subscription_scope", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "paused",
                "disabled",
                "deleted",
                name="subscription_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("reason", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("created_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("failing_since", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("throttled_until", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_subscription")),
    )
    op.create_table(
        "subscription_key",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("subscription_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("scheme", sqlmodel.sql.sqltypes.AutoString(length=8), nullable=False),
        sa.Column("secret", sqlmodel.sql.sqltypes.AutoString(length=500), nullable=False),
        sa.Column("public", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("expires_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_subscription_key")),
    )
    with op.batch_alter_table("subscription_key", schema=None) as batch_op:
        batch_op.create_index("ix_subscription_key_subscription", ["organisation", "subscription_id"], unique=False)

    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "kind",
                sa.Enum(
                    "entry",
                    "refusal",
                    "attention",
                    "disabled",
                    "ping",
                    name="outbox_kind",
                    native_enum=False,
                    create_constraint=True,
                    length=24,
                ),
                server_default="entry",
                nullable=False,
            )
        )
        batch_op.add_column(sa.Column("detail", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True))
        batch_op.add_column(sa.Column("subscription_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=True))
        batch_op.alter_column("course_id", existing_type=sa.VARCHAR(length=36), nullable=True)
        batch_op.alter_column("seq", existing_type=sa.INTEGER(), nullable=True)

    if op.get_bind().dialect.name == "sqlite":
        _copy_audit_event()
    else:
        op.drop_constraint(op.f("ck_audit_event_audit_kind"), "audit_event", type_="check")
        op.create_check_constraint(op.f("ck_audit_event_audit_kind"), "audit_event", sa.column("kind").in_(AUDIT_KINDS))


def _copy_audit_event() -> None:
    """SQLite cannot change a CHECK. So the rows move into a table with the new one, under the same guards."""
    op.rename_table("audit_event", "audit_event_before")
    for index in ("ix_audit_event_recorded", "ix_audit_event_person"):
        op.drop_index(index, "audit_event_before")
    op.create_table(
        "audit_event",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column(
            "kind", sa.Enum(*AUDIT_KINDS, name="audit_kind", native_enum=False, create_constraint=True, length=24), nullable=False
        ),
        sa.Column("recorded_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("person", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("role", sa.Enum(*ROLES, name="audit_role", native_enum=False, create_constraint=True, length=24), nullable=False),
        sa.Column("via", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("action", sqlmodel.sql.sqltypes.AutoString(length=80), nullable=False),
        sa.Column("rules", sqlmodel.sql.sqltypes.AutoString(length=2000), nullable=True),
        sa.Column("request_id", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_audit_event")),
    )
    op.execute(COPY)
    op.drop_table("audit_event_before")
    op.create_index("ix_audit_event_recorded", "audit_event", ["organisation", "recorded_at", "id"], unique=False)
    op.create_index("ix_audit_event_person", "audit_event", ["organisation", "person", "recorded_at", "id"], unique=False)
    for statement in SQLITE_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("What was told is not taken back; restore a backup instead.")
