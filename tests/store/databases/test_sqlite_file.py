"""The file of a SQLite database: its rights, its mode, and what happens if it goes away while the service runs."""

import asyncio
import os
import shutil
import stat
from pathlib import Path

import pytest
from support import databases, service_walk
from support.http_client import running

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import DatabaseNotReady, ReadOnly
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.schema import migrate

NOTE = Command("note", {"text": "She called."})


def rights(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_file_and_its_wal_are_for_their_owner_alone(tmp_path):
    before = os.umask(0)

    async def make():
        database = open_database(f"sqlite:///{tmp_path}/new/ipt.db")
        await database.write(migrate.upgrade)
        found = {file.name: rights(file) for file in (tmp_path / "new").iterdir()}
        await database.close()
        return found

    try:
        found = asyncio.run(make())
    finally:
        os.umask(before)
    assert found == dict.fromkeys(("ipt.db", "ipt.db-wal", "ipt.db-shm"), 0o600)


def test_the_rights_of_a_file_that_is_there_are_left_alone(tmp_path):
    settings = databases.empty(tmp_path)
    Path(databases.path_of(settings)).chmod(0o640)
    service_walk.with_clinic(settings, service_walk.open_course)
    assert rights(Path(databases.path_of(settings))) == 0o640


async def is_refused(api, course: str, *, reads: bool = True) -> None:
    """Nothing is acknowledged any more, and readiness says why."""
    ready = await api.get("/health/ready")
    assert (ready.status_code, ready.json()["type"]) == (503, "/problems/busy")
    assert "deleted, moved or replaced" in ready.json()["detail"]
    body = {"trigger": "note", "data": {"text": "x"}}
    write = await api.post(f"/v1/courses/{course}/transitions", body, If_Match='"1"')
    opening = await api.post("/v1/courses", {"client_ref": "EHR-2", "protocol": "ipt", "data": {"source": "x"}})
    for answer in (write, opening, await api.get(f"/v1/courses/{course}")):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text


def delete(file: Path) -> None:
    file.unlink()


def replace_by_a_copy(file: Path) -> None:
    shutil.copy(file, f"{file}.copy")
    Path(f"{file}.copy").replace(file)


def replace_by_nothing(file: Path) -> None:
    file.unlink()
    file.touch()


def delete_the_wal(file: Path) -> None:
    Path(f"{file}-wal").unlink()


@pytest.mark.parametrize("harm", (delete, replace_by_a_copy, replace_by_nothing, delete_the_wal))
def test_nothing_is_acknowledged_in_a_file_that_is_gone(settings, harm):
    async def test():
        async with running(settings) as api:
            course = (await api.open())["id"]
            harm(Path(databases.path_of(settings)))
            await is_refused(api, course)

    asyncio.run(test())


def test_a_file_that_is_put_back_is_written_again(settings):
    file = Path(databases.path_of(settings))

    async def test():
        async with running(settings) as api:
            course = (await api.open())["id"]
            shutil.move(file, f"{file}.away")
            await is_refused(api, course)
            shutil.move(f"{file}.away", file)
            api.clinic.installation._probe._began = float("-inf")  # a second later
            assert (await api.get("/health/ready")).status_code == 200
            assert (await api.fire(course, "note", {"text": "x"})).status_code == 201

    asyncio.run(test())


def with_mode(settings, mode: str):
    return settings.model_copy(update={"database_url": f"{settings.database_url}?mode={mode}"})


def test_a_file_that_is_opened_for_reading_is_read_and_never_written(settings):
    course = service_walk.with_clinic(settings, service_walk.open_course)

    async def test(clinic):
        assert await clinic.visible_course(service_walk.THERAPIST, course)
        assert sum(count for *_, count in await CourseReads(clinic).count_courses()) == 1
        with pytest.raises(ReadOnly):
            await service_walk.fire(clinic, course, NOTE)
        with pytest.raises(ReadOnly):
            await clinic.installation.ready()

    service_walk.with_clinic(with_mode(settings, "ro"), test)
    assert databases.select(settings, "SELECT version FROM course") == [(1,)]


@pytest.mark.parametrize("mode", ("ro", "rw"))
def test_a_file_that_is_not_there_is_made_by_no_mode_but_rwc(tmp_path, mode):
    async def read():
        database = open_database(f"sqlite:///{tmp_path}/none/ipt.db?mode={mode}")
        try:
            await database.read(lambda _: None)
        finally:
            await database.close()

    with pytest.raises(DatabaseNotReady, match="cannot be opened"):
        asyncio.run(read())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_page_is_answered_with_503_and_says_what_to_do(settings):
    file = Path(databases.path_of(settings))
    course = service_walk.with_clinic(settings, service_walk.open_course)
    ((page,),) = databases.select(settings, "SELECT rootpage FROM sqlite_master WHERE name = 'course'")
    ((size,),) = databases.select(settings, "PRAGMA page_size")
    with file.open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xff" * size)

    async def test():
        async with running(settings) as api:
            answer = await api.get(f"/v1/courses/{course}")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "restore a backup" in answer.json()["detail"]

    asyncio.run(test())


def test_a_full_database_is_answered_with_503_until_there_is_room(settings):
    async def test():
        async with running(settings) as api:
            course = (await api.open())["id"]
            await api.get(f"/v1/courses/{course}")
            writer = api.clinic.installation.database._putting
            writer.execute("PRAGMA max_page_count = 1")  # at least the pages that there are
            answers = [await api.fire(course, "note", {"text": "x" * 3000}, version=1 + n) for n in range(6)]
            assert 503 in {answer.status_code for answer in answers} <= {201, 503, 412}
            writer.execute("PRAGMA max_page_count = 1000000")
            assert (await api.fire(course, "note", {"text": "x"})).status_code == 201

    asyncio.run(test())


def test_tables_that_are_gone_are_answered_with_503(settings):
    async def test():
        async with running(settings) as api:
            course = (await api.open())["id"]
            await api.clinic.database.write(lambda c: c.exec_driver_sql("DROP TABLE entry_data"))
            answer = await api.get(f"/v1/courses/{course}")
            assert answer.status_code == 503
            assert "db upgrade" in answer.json()["detail"]

    asyncio.run(test())
