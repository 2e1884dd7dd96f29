"""What an erasure leaves in the database's files: searched byte by byte, after what `docs/audit.md` says to do then."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from cryptography.fernet import Fernet
from support import databases, service_walk
from support.service_walk import THERAPIST

from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.service.access.client_labels import ClientLabels, NewClientLabel
from ipt_workflow.service.drafts import Drafts
from ipt_workflow.service.privacy.erasures import Erasures
from ipt_workflow.store.schema import tables

OFFICER = Principal(person="admin-1", role="admin", via="cli")
WORDS, LABEL, REF = "Zwölfhundert Kraniche zogen", "Frau Q-8812 Xylander", "EHR-Q881247119"
PLAIN = (WORDS, LABEL, REF)


async def filled(clinic) -> tuple[str, ...]:
    """A client with words in many places, among them what was changed and removed. Returns what must be gone: also the wrapped keys."""
    course = await service_walk.open_course(clinic, REF)
    for number in range(20):
        text = f"{WORDS} {number} " + "nach Süden, " * 40
        await service_walk.fire(clinic, course, Command("note", {"text": text}))
        await Drafts(clinic).save(THERAPIST, course, "note", [("text", text)])
    await ClientLabels(clinic).give(THERAPIST, course, lambda: NewClientLabel(label=LABEL))
    await service_walk.open_course(clinic, "EHR-other")
    key = tables.client_key.c
    found = await clinic.database.read(
        lambda c: c.execute(tables.client_key.select().where(key.course_id == course)).mappings().all()
    )
    return (*PLAIN, *(each["wrapped"] for each in found))


async def erase(clinic) -> None:
    await Erasures(clinic).erase(OFFICER, lambda: NewErasure(client_ref=REF, ground="objection"))


def found(files: list[Path], wanted: tuple[str, ...]) -> set[str]:
    """Which of the wanted texts stand in a file, as they are or as JSON writes them."""
    contents = [path.read_bytes() for path in files if path.is_file()]
    forms = {text: (text.encode(), text.encode("ascii", "backslashreplace")) for text in wanted}
    return {text for text, written in forms.items() for content in contents if any(form in content for form in written)}


@pytest.fixture(params=["", Fernet.generate_key().decode()], ids=["without keys", "with keys"])
def secret_keys(request) -> str:
    return request.param


def test_no_file_of_sqlite_holds_a_word_or_a_wrapped_key(tmp_path, secret_keys):
    settings = databases.empty(tmp_path).model_copy(update={"secret_keys": secret_keys})
    files = lambda: sorted(tmp_path.glob("ipt.db*"))  # noqa: E731

    async def test(clinic):
        wanted = await filled(clinic)
        before = found(files(), wanted)
        assert {REF, LABEL} <= before
        assert (WORDS in before) is (not secret_keys)
        await erase(clinic)
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            connection.execute("VACUUM")
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        return wanted

    wanted = service_walk.with_clinic(settings, test)
    assert found(files(), wanted) == set()
    assert len(wanted) == len(PLAIN) + bool(secret_keys)


def test_sqlite_overwrites_what_the_erasure_removes(tmp_path):
    """Without VACUUM: of a database in which nothing had been changed before."""
    settings = databases.empty(tmp_path)

    async def test(clinic):
        course = await service_walk.open_course(clinic, REF)
        await service_walk.fire(clinic, course, Command("note", {"text": f"{WORDS} " * 140}))
        await erase(clinic)

    service_walk.with_clinic(settings, test)  # closing the last connection empties the WAL
    assert found(sorted(tmp_path.glob("ipt.db*")), PLAIN) == set()


def as_administrator(url: str, *statements: str) -> list:
    """Runs statements at the server, and returns the value of the last."""

    async def run():
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(each) for each in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(run())


def server_files(server: str) -> Callable[[], list[Path]]:
    """The files of a server: its tables and its WAL."""
    folder = Path(as_administrator(server, "SHOW data_directory"))
    if not folder.is_dir():
        pytest.skip("the PostgreSQL server runs elsewhere: its files cannot be searched")
    return lambda: [*folder.glob("base/*/*"), *folder.glob("pg_wal/*")]


def test_no_file_of_postgresql_holds_a_word_or_a_wrapped_key(tmp_path, postgres, secret_keys):
    files = server_files(postgres)
    settings = databases.empty(tmp_path, postgres).model_copy(update={"secret_keys": secret_keys})
    wanted = service_walk.with_clinic(settings, filled)
    before = found(files(), wanted)
    assert {REF, LABEL} <= before
    assert (WORDS in before) is (not secret_keys)
    service_walk.with_clinic(settings, erase)
    as_administrator(settings.database_url, "VACUUM FULL")
    as_administrator(
        postgres, "ALTER SYSTEM SET wal_recycle = off", "SELECT pg_reload_conf()", "SELECT pg_switch_wal()", "CHECKPOINT"
    )
    as_administrator(postgres, "SELECT pg_switch_wal()", "CHECKPOINT", "ALTER SYSTEM RESET wal_recycle", "SELECT pg_reload_conf()")
    assert found(files(), wanted) == set()
