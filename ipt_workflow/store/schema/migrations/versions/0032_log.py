"""The log of an organisation: positions for entries and records, a tree over them, and its checkpoints. Records get canonical bytes."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    "CREATE TRIGGER guard_log_leaf_update BEFORE UPDATE ON log_leaf WHEN 1 BEGIN SELECT RAISE(ABORT, 'log_leaf is append-only'); END",
    "CREATE TRIGGER guard_log_origin_update BEFORE UPDATE ON log_origin WHEN 1 BEGIN SELECT RAISE(ABORT, 'log_origin is append-only'); END",
    "CREATE TRIGGER guard_log_tile_update BEFORE UPDATE ON log_tile WHEN substr(NEW.hashes, 1, length(OLD.hashes)) IS NOT OLD.hashes OR NEW.organisation IS NOT OLD.organisation OR NEW.level IS NOT OLD.level OR NEW.number IS NOT OLD.number OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'log_tile only grows'); END",
    "CREATE TRIGGER guard_log_head_update BEFORE UPDATE ON log_head WHEN NEW.size < OLD.size OR NEW.organisation IS NOT OLD.organisation OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'log_head only grows'); END",
    "CREATE TRIGGER guard_log_checkpoint_update BEFORE UPDATE ON log_checkpoint WHEN NEW.origin <> OLD.origin OR NEW.root <> OLD.root OR NEW.note <> OLD.note OR NEW.organisation IS NOT OLD.organisation OR NEW.size IS NOT OLD.size OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'log_checkpoint only grows'); END",
    "CREATE TRIGGER guard_log_leaf_delete BEFORE DELETE ON log_leaf WHEN 1 BEGIN SELECT RAISE(ABORT, 'log_leaf is append-only'); END",
    "CREATE TRIGGER guard_log_leaf_insert BEFORE INSERT ON log_leaf WHEN EXISTS (SELECT 1 FROM log_leaf WHERE organisation = NEW.organisation AND position = NEW.position) OR EXISTS (SELECT 1 FROM log_leaf WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'log_leaf has this row already'); END",
    "CREATE TRIGGER guard_log_origin_delete BEFORE DELETE ON log_origin WHEN 1 BEGIN SELECT RAISE(ABORT, 'log_origin is append-only'); END",
    "CREATE TRIGGER guard_log_origin_insert BEFORE INSERT ON log_origin WHEN EXISTS (SELECT 1 FROM log_origin WHERE organisation = NEW.organisation AND nth = NEW.nth) OR EXISTS (SELECT 1 FROM log_origin WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'log_origin has this row already'); END",
    "CREATE TRIGGER guard_log_tile_delete BEFORE DELETE ON log_tile WHEN 1 BEGIN SELECT RAISE(ABORT, 'log_tile is append-only'); END",
    "CREATE TRIGGER guard_log_tile_insert BEFORE INSERT ON log_tile WHEN EXISTS (SELECT 1 FROM log_tile WHERE organisation = NEW.organisation AND level = NEW.level AND number = NEW.number) OR EXISTS (SELECT 1 FROM log_tile WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'log_tile has this row already'); END",
    "CREATE TRIGGER guard_log_head_delete BEFORE DELETE ON log_head WHEN 1 BEGIN SELECT RAISE(ABORT, 'log_head is append-only'); END",
    "CREATE TRIGGER guard_log_head_insert BEFORE INSERT ON log_head WHEN EXISTS (SELECT 1 FROM log_head WHERE organisation = NEW.organisation) OR EXISTS (SELECT 1 FROM log_head WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'log_head has this row already'); END",
    "CREATE TRIGGER guard_log_checkpoint_delete BEFORE DELETE ON log_checkpoint WHEN 1 BEGIN SELECT RAISE(ABORT, 'log_checkpoint is append-only'); END",
    "CREATE TRIGGER guard_log_checkpoint_insert BEFORE INSERT ON log_checkpoint WHEN EXISTS (SELECT 1 FROM log_checkpoint WHERE organisation = NEW.organisation AND size = NEW.size) OR EXISTS (SELECT 1 FROM log_checkpoint WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'log_checkpoint has this row already'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION guard_log_tile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF substring(NEW.hashes FROM 1 FOR length(OLD.hashes)) IS DISTINCT FROM OLD.hashes OR NEW.organisation IS DISTINCT FROM OLD.organisation OR NEW.level IS DISTINCT FROM OLD.level OR NEW.number IS DISTINCT FROM OLD.number THEN RAISE EXCEPTION 'log_tile only grows' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
    "CREATE FUNCTION guard_log_head() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.size < OLD.size OR NEW.organisation IS DISTINCT FROM OLD.organisation THEN RAISE EXCEPTION 'log_head only grows' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
    "CREATE FUNCTION guard_log_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.origin <> OLD.origin OR NEW.root <> OLD.root OR NEW.note <> OLD.note OR NEW.organisation IS DISTINCT FROM OLD.organisation OR NEW.size IS DISTINCT FROM OLD.size THEN RAISE EXCEPTION 'log_checkpoint only grows' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER guard_log_leaf_rows BEFORE UPDATE OR DELETE ON log_leaf FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_leaf_truncate BEFORE TRUNCATE ON log_leaf FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_origin_rows BEFORE UPDATE OR DELETE ON log_origin FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_origin_truncate BEFORE TRUNCATE ON log_origin FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_tile_rows BEFORE DELETE ON log_tile FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_tile_truncate BEFORE TRUNCATE ON log_tile FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_head_rows BEFORE DELETE ON log_head FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_head_truncate BEFORE TRUNCATE ON log_head FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_checkpoint_rows BEFORE DELETE ON log_checkpoint FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_checkpoint_truncate BEFORE TRUNCATE ON log_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_log_tile_grows BEFORE UPDATE ON log_tile FOR EACH ROW EXECUTE FUNCTION guard_log_tile()",
    "CREATE TRIGGER guard_log_head_grows BEFORE UPDATE ON log_head FOR EACH ROW EXECUTE FUNCTION guard_log_head()",
    "CREATE TRIGGER guard_log_checkpoint_grows BEFORE UPDATE ON log_checkpoint FOR EACH ROW EXECUTE FUNCTION guard_log_checkpoint()",
)


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.add_column("audit_event", sa.Column("canonical", sa.LargeBinary(), nullable=True))
    op.add_column("audit_event", sa.Column("hash", text(length=64), nullable=True))
    op.create_table(
        "log_outbox",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("course_id", text(length=36), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("hash", text(length=64), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_log_outbox")),
    )
    kind = sa.Enum("entry", "record", name="log_leaf_kind", native_enum=False, create_constraint=True, length=24)
    op.create_table(
        "log_leaf",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("kind", kind, nullable=False),
        sa.Column("course_id", text(length=36), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("record_id", text(length=36), nullable=True),
        sa.Column("hash", text(length=64), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "position", name=op.f("pk_log_leaf")),
    )
    for name, columns in (("entry", ["organisation", "course_id", "seq"]), ("record", ["organisation", "record_id"])):
        where = sa.text(f"kind = '{name}'")
        op.create_index(f"uq_log_leaf_{name}", "log_leaf", columns, unique=True, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "log_tile",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "level", "number", name=op.f("pk_log_tile")),
    )
    op.create_table(
        "log_head",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", name=op.f("pk_log_head")),
    )
    op.create_table(
        "log_origin",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("origin", text(length=255), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("kept_size", sa.BigInteger(), nullable=True),
        sa.Column("lost_size", sa.BigInteger(), nullable=True),
        sa.Column("lost_root", text(length=64), nullable=True),
        sa.Column("record_id", text(length=36), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "nth", name=op.f("pk_log_origin")),
    )
    op.create_table(
        "log_checkpoint",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("origin", text(length=255), nullable=False),
        sa.Column("root", text(length=64), nullable=False),
        sa.Column("note", text(), nullable=False),
        sa.Column("cosignatures", text(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "size", name=op.f("pk_log_checkpoint")),
    )
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("What was recorded is not taken back; restore a backup instead.")
