"""Alembic's environment: it is given an open connection and never opens one itself."""

from alembic import context

from ipt_workflow.store.schema import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.METADATA,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
