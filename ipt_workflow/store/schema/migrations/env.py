"""Alembic's environment. It runs on the connection that `migrate` passes to it."""

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
