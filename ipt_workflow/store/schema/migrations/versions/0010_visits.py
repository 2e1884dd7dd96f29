"""From this revision on, the fold keeps all names of a session, and how long it took. `db upgrade` rebuilds older snapshots."""

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The tables stay as they are."""


def downgrade() -> None:
    raise NotImplementedError("Snapshots of the older shape are not kept; restore a backup instead.")
