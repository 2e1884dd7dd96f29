"""Databases of every earlier revision are upgraded to this version's tables and lose no data."""

import asyncio
import re

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.service.audit import verification
from ipt_workflow.service.upgrade import upgrade
from ipt_workflow.store.schema import migrate, revision, tables

REVISIONS = [script.revision for script in ScriptDirectory.from_config(migrate._config()).walk_revisions()][::-1]


def on(settings, function):
    async def inside():
        database = databases.opened(settings.database_url)
        try:
            return await database.write(function)
        finally:
            await database.close()

    return asyncio.run(inside())


@pytest.fixture(scope="module")
def filled(tmp_path_factory, server):
    async def fill(clinic):
        await service_walk.walk(clinic, await service_walk.open_course(clinic), *service_walk.A_DOZEN)

    return service_walk.database(tmp_path_factory.mktemp("migrations"), fill, server)


@pytest.mark.matrix(12)
@pytest.mark.parametrize("earlier", REVISIONS)
def test_data_of_every_revision_is_there_after_upgrading_and_verifies(filled, server, tmp_path, earlier):
    """The tables of a revision are made by its own migrations, filled with what fits them, and upgraded."""
    old = databases.settings_of(databases.create(server) if server else f"sqlite:///{tmp_path / 'old.db'}")
    on(old, lambda connection: command.upgrade(migrate._config(connection), earlier))
    kept = on(filled, _everything)
    known = on(old, lambda connection: _fill(connection, kept))
    on(old, migrate.upgrade)

    def check(connection):
        assert revision.current(connection) == revision.HEAD
        assert migrate.missing_guards(connection) == []
        assert migrate.differences(connection) == []

    on(old, check)
    assert service_walk.with_clinic(old, verification.verify).checked == len(kept["entry"])
    written = [{name: value if name in known["entry"] else None for name, value in row.items()} for row in kept["entry"]]
    assert on(old, _everything)["entry"] == written


@pytest.mark.matrix(12)
@pytest.mark.parametrize("earlier", [each for each in REVISIONS if each < revision.SNAPSHOTS])
def test_snapshots_of_an_older_shape_are_taken_again_from_the_journal(filled, server, tmp_path, earlier):
    old = databases.settings_of(databases.create(server) if server else f"sqlite:///{tmp_path / 'old.db'}")
    on(old, lambda connection: command.upgrade(migrate._config(connection), earlier))
    kept = on(filled, _everything)
    on(old, lambda connection: _fill(connection, kept))
    on(old, lambda connection: connection.execute(tables.course.update().values(snapshot=b'{"shape": "of then"}')))
    on(old, migrate.upgrade)
    assert on(old, _everything)["course"] == kept["course"]


def test_snapshots_of_todays_shape_are_left_alone(filled, server, tmp_path):
    at_head = databases.copy(filled, tmp_path)
    on(at_head, lambda connection: connection.execute(tables.course.update().values(snapshot=b"{}")))
    on(at_head, migrate.upgrade)
    assert {each["snapshot"] for each in on(at_head, _everything)["course"]} == {b"{}"}


def test_attention_of_new_kinds_is_noted_for_the_courses_of_before(server, tmp_path_factory, tmp_path):
    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        for total in (10, 20):
            await service_walk.fire(clinic, course, Command("record_measure", {"instrument": "phq9", "total": total}))

    kept = on(service_walk.database(tmp_path_factory.mktemp("worse"), fill, server), _everything)
    old = databases.settings_of(databases.create(server) if server else f"sqlite:///{tmp_path / 'old.db'}")
    on(old, lambda connection: command.upgrade(migrate._config(connection), "0015"))
    on(old, lambda connection: _fill(connection, kept))
    on(old, lambda connection: upgrade(connection, old))
    (course,) = on(old, _everything)["course"]
    assert course["deteriorating_from"] is not None
    assert [course] == kept["course"]


def test_a_course_that_cannot_be_read_stops_no_upgrade(filled, server, tmp_path):
    old = databases.settings_of(databases.create(server) if server else f"sqlite:///{tmp_path / 'old.db'}")
    on(old, lambda connection: command.upgrade(migrate._config(connection), "0015"))
    kept = on(filled, _everything)
    on(old, lambda connection: _fill(connection, kept))
    on(old, lambda connection: connection.execute(tables.course.update().values(snapshot=b'{"shape": "of then"}')))
    assert on(old, lambda connection: upgrade(connection, old)) == revision.HEAD


def _everything(connection) -> dict[str, list[tuple]]:
    return {
        name: [dict(row._mapping) for row in connection.execute(table.select().order_by(*table.primary_key.columns))]
        for name, table in tables.METADATA.tables.items()
    }


def _fill(connection, kept) -> dict[str, set[str]]:
    """Rows as they are today, without the columns and tables that the revision does not have. Returns the columns that it has."""
    inspector = sa.inspect(connection)
    columns = {}
    for name, table_rows in kept.items():
        if table_rows and inspector.has_table(name):
            known = columns[name] = {column["name"] for column in inspector.get_columns(name)}
            connection.execute(
                tables.METADATA.tables[name].insert(), [{k: v for k, v in row.items() if k in known} for row in table_rows]
            )
    return columns


def test_every_revision_follows_the_one_before():
    assert sorted(REVISIONS) == REVISIONS
    assert REVISIONS[-1] == revision.HEAD


BEFORE_THE_RULE = "0017"  # later migrations leave the version before working, whose processes may still run (decision 28)
TAKES_AWAY = re.compile(r"drop_table|drop_column|rename_table|new_column_name|(?<!existing_)nullable=False(?!.*server_default)")


def taken_away(migration: str) -> list[str]:
    """What a migration removes or renames, and what it demands that the version before does not write."""
    upgrading = migration.partition("def upgrade")[2].partition("def downgrade")[0]
    return TAKES_AWAY.findall(re.sub(r"op\.create_table\(.*?\n    \)", "", upgrading, flags=re.DOTALL))


def test_a_migration_leaves_the_version_before_working():
    files = sorted((migrate.HERE / "versions").glob("[0-9]*.py"))
    assert {path.name: found for path in files if path.name[:4] > BEFORE_THE_RULE and (found := taken_away(path.read_text()))} == {}


def test_what_a_migration_takes_away_is_found():
    shown = {path.name[:4]: taken_away(path.read_text()) for path in (migrate.HERE / "versions").glob("[0-9]*.py")}
    assert {"rename_table", "drop_table"} <= set(shown["0003"])
    assert "drop_column" in shown["0004"]
    assert shown["0017"] == []
    assert taken_away('def upgrade(): op.add_column("course", sa.Column("x", sa.Text, nullable=False))') == ["nullable=False"]
    assert taken_away('def upgrade(): op.add_column("course", sa.Column("x", sa.Text, nullable=False, server_default=""))') == []
