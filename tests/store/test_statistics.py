"""A log is read in one look at each table, also right after everything was written, while the database knows nothing of its tables."""

import asyncio

import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store import log_bundles, log_checks
from ipt_workflow.store.schema import tables

COPIES = 300
JOINED = ("entry", "entry_data", "log_leaf")
READ = {
    "bundled": lambda connection, organisation: log_bundles.entries(connection, organisation, 0, 10 * COPIES, texts=False),
    "checked": lambda connection, organisation: log_checks.check_slice(connection, organisation, 0),
}


def copied(connection: sa.Connection, _organisation: str) -> None:
    """Copies of an entry with its leaf, as an import of many courses leaves them."""
    (entry, data, leaf) = (tables.entry, tables.entry_data, tables.log_leaf)
    for number in range(1, COPIES + 1):
        changed = {"course_id": f"copy-{number:04}", "id": f"copy-{number:04}", "position": 1000 + number}
        for table in (entry, data, leaf):
            columns = [sa.literal(changed[each.name], each.type) if each.name in changed else each for each in table.c]
            first = sa.select(*columns).where(table.c.seq == 1, sa.not_(table.c.course_id.startswith("copy-")))
            connection.execute(sa.insert(table).from_select([each.name for each in table.c], first))
    connection.execute(sa.update(tables.log_head).values(size=1000 + COPIES + 1))
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")


@pytest.mark.parametrize("read", READ)
def test_a_log_is_joined_in_one_look_at_each_table_while_the_statistics_are_old(database_url, read):
    def counted(connection, organisation):
        before = databases.rows_read(connection, *JOINED)
        READ[read](connection, organisation)
        return databases.rows_read(connection, *JOINED) - before

    async def inside():
        async with service_walk.opened(
            configuration.load({"IPT_DATABASE_URL": database_url}), VirtualClock(service_walk.START)
        ) as clinic:
            await service_walk.open_course(clinic)
            await fan_out.bring_up_to_date(clinic)
            await clinic.write(copied)
            return await clinic.read(counted)

    assert asyncio.run(inside()) <= 15 * COPIES
