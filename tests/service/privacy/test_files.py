"""What an erasure leaves in the database's files: searched byte by byte, after what `docs/audit.md` says to do then."""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import msgspec
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


class Told(msgspec.Struct, frozen=True):
    """What is said of a client: other words in each test, since all tests share the files of a server."""

    words: str = msgspec.field(default_factory=lambda: f"Zwölfhundert Kraniche {secrets.token_hex(8)}")
    label: str = msgspec.field(default_factory=lambda: f"Frau {secrets.token_hex(8)}")
    ref: str = msgspec.field(default_factory=lambda: f"EHR-{secrets.token_hex(8)}")

    @property
    def plain(self) -> tuple[str, ...]:
        return self.words, self.label, self.ref


async def filled(clinic, told: Told) -> tuple[str, ...]:
    """A client with words in many places, among them what was changed and removed. Returns what must be gone: also the wrapped keys."""
    course = await service_walk.open_course(clinic, told.ref)
    for number in range(20):
        text = f"{told.words} {number} " + "nach Süden, " * 40
        await service_walk.fire(clinic, course, Command("note", {"text": text}))
        await Drafts(clinic).save(THERAPIST, course, "note", [("text", text)])
    await ClientLabels(clinic).give(THERAPIST, course, lambda: NewClientLabel(label=told.label))
    await service_walk.open_course(clinic, "EHR-other")
    key = tables.client_key.c
    found = await clinic.database.read(
        lambda c: c.execute(tables.client_key.select().where(key.course_id == course)).mappings().all()
    )
    return (*told.plain, *(each["wrapped"] for each in found))


async def erase(clinic, told: Told) -> None:
    await Erasures(clinic).erase(OFFICER, lambda: NewErasure(client_ref=told.ref, ground="objection"))


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
    files, told = lambda: sorted(tmp_path.glob("ipt.db*")), Told()

    async def test(clinic):
        wanted = await filled(clinic, told)
        before = found(files(), wanted)
        assert {told.ref, told.label} <= before
        assert (told.words in before) is (not secret_keys)
        await erase(clinic, told)
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            connection.execute("VACUUM")
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        return wanted

    wanted = service_walk.with_clinic(settings, test)
    assert found(files(), wanted) == set()
    assert len(wanted) == 3 + bool(secret_keys)


def test_sqlite_overwrites_what_the_erasure_removes(tmp_path):
    """Without VACUUM: of a database in which nothing had been changed before."""
    settings, told = databases.empty(tmp_path), Told()

    async def test(clinic):
        course = await service_walk.open_course(clinic, told.ref)
        await service_walk.fire(clinic, course, Command("note", {"text": f"{told.words} " * 90}))
        await erase(clinic, told)

    service_walk.with_clinic(settings, test)  # closing the last connection empties the WAL
    assert found(sorted(tmp_path.glob("ipt.db*")), told.plain) == set()


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
    files, told = server_files(postgres), Told()
    settings = databases.empty(tmp_path, postgres).model_copy(update={"secret_keys": secret_keys})
    wanted = service_walk.with_clinic(settings, lambda clinic: filled(clinic, told))
    before = found(files(), wanted)
    assert {told.ref, told.label} <= before
    assert (told.words in before) is (not secret_keys)
    service_walk.with_clinic(settings, lambda clinic: erase(clinic, told))
    as_administrator(settings.database_url, "VACUUM FULL")
    as_administrator(
        postgres, "ALTER SYSTEM SET wal_recycle = off", "SELECT pg_reload_conf()", "SELECT pg_switch_wal()", "CHECKPOINT"
    )
    as_administrator(postgres, "SELECT pg_switch_wal()", "CHECKPOINT", "ALTER SYSTEM RESET wal_recycle", "SELECT pg_reload_conf()")
    assert found(files(), wanted) == set()
