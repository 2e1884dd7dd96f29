"""From this revision on, the fold keeps more of a course. `db upgrade` rebuilds older snapshots."""

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The tables stay as they are."""


def downgrade() -> None:
    raise NotImplementedError("Snapshots of the older shape are not kept; restore a backup instead.")
