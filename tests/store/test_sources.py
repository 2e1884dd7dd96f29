"""Sources on both databases: found with their keys in one statement, and given their new settings when a database is upgraded."""

import asyncio
import datetime as dt

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from support import databases

from ipt_workflow.store import lookups, sources
from ipt_workflow.store.schema import migrate
from ipt_workflow.store.sources import SourceUpdate, StoredSource, StoredSourceKey

AT = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)


def source(name: str) -> StoredSource:
    return StoredSource(
        id=name,
        names_persons=False,
        all_visits=True,
        other_visits="ignore",
        digest_key=name.encode() * 8,
        client_prefix="N-",
        created_at=AT,
        created_by="p",
    )


def key(name: str, of: str, days: int | None = None) -> StoredSourceKey:
    expires = None if days is None else AT + dt.timedelta(days=days)
    return StoredSourceKey(id=name, source_id=of, kind="bearer", secret=f"secret of {name}", created_at=AT, expires_at=expires)


def on(url: str, test):
    async def inside():
        database = databases.opened(url)
        try:
            return await test(database)
        finally:
            await database.close()

    return asyncio.run(inside())


def test_a_source_is_found_with_all_its_keys_and_no_others(database_url):
    async def test(database):
        for organisation in ("default", "other"):
            new = source("north"), key(f"{organisation}-1", "north")
            await database.write(sources.add, organisation, *new, organisations=(organisation,))
        await database.write(sources.add, "default", source("south"), key("south-1", "south"))
        await database.write(sources.rotate, "default", key("default-2", "north"), AT + dt.timedelta(days=1))
        await database.write(sources.update, "default", "south", SourceUpdate(all_visits=False, other_visits="wait"))
        await database.write(sources.set_disabled, "default", "south", AT)
        await database.write(lambda c: c.exec_driver_sql("DELETE FROM source_key WHERE id = 'south-1'"))
        found = await database.find(lookups.SOURCES, "default", ["north", "nowhere", "south"])
        assert sorted(found) == ["north", "south"]
        assert found["north"].source == source("north")
        assert sorted(found["north"].keys, key=lambda each: each.id) == [key("default-1", "north", 1), key("default-2", "north")]
        assert found["south"].keys == ()
        changed = msgspec.structs.replace(source("south"), all_visits=False, other_visits="wait", disabled_at=AT)
        assert found["south"].source == changed

    on(database_url, test)


def test_of_many_who_register_one_name_at_once_one_succeeds(database_url):
    async def test(database):
        new = [(source("north"), key(f"north-{n}", "north")) for n in range(8)]
        added = await asyncio.gather(*(database.write(sources.add, "default", *each) for each in new))
        assert sorted(added) == [False] * 7 + [True]
        (only,) = await database.read(sources.keys, "default", "north", AT)
        assert only == new[added.index(True)][1]

    on(database_url, test)


@pytest.fixture
def before(server, tmp_path):
    """A database as it was before sources had these settings, with two sources."""
    url = databases.create(server) if server else f"sqlite:///{tmp_path / 'before.db'}"
    row = "INSERT INTO source (organisation, id, names_persons, all_visits, client_prefix, created_at, created_by) VALUES "
    rows = ", ".join(f"('default', '{name}', false, true, 'N-', '2026-01-05 09:00:00', 'p')" for name in ("north", "south"))

    async def fill(database):
        await database.write(lambda c: command.upgrade(migrate._config(c), "0007"))
        await database.write(lambda c: c.exec_driver_sql(row + rows))
        await database.write(migrate.upgrade)

    on(url, fill)
    return url


def test_sources_of_an_earlier_version_let_other_visits_wait_and_get_a_key_each(before):
    async def test(database):
        found = (await database.find(lookups.SOURCES, "default", ["north", "south"])).values()
        assert [(each.source.other_visits, each.source.all_visits, len(each.source.digest_key)) for each in found] == [
            ("wait", True, 32),
            ("wait", True, 32),
        ]
        assert len({each.source.digest_key for each in found}) == 2
        assert await database.write(migrate.differences) == []

    on(before, test)


@pytest.mark.parametrize("change", ("other_visits = 'maybe'", "other_visits = NULL", "digest_key = NULL"))
def test_the_database_refuses_a_source_without_its_settings(before, change):
    async def test(database):
        with pytest.raises(sa.exc.IntegrityError):
            await database.write(lambda c: c.exec_driver_sql(f"UPDATE source SET {change}"))

    on(before, test)
