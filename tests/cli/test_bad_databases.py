"""Every command on a database that is not as it should be: a sentence and exit 1, and nothing is changed."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
import typer
from support import databases
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.store.schema import revision

COURSE = "01997f3e-0000-7000-8000-000000000000"
ARGUMENTS = {  # of commands that take more than their name
    "course": {
        "show": [COURSE],
        "options": [COURSE, "--as", "a"],
        "fire": [COURSE, "refer", "--as", "a"],
        "move-entries": [COURSE, COURSE, "--entry", "1", "--as", "a", "--reason", "r"],
        "together": [COURSE, "[]", "--as", "a"],
    },
    "person": {
        "add": ["a", "--name", "a", "--role", "admin"],
        "show": ["a"],
        "set": ["a", "--name", "a"],
        "leave": ["a"],
        "return": ["a"],
    },
    "token": {"create": ["--role", "admin", "--name", "a"], "revoke": ["a"]},
    "organisation": {
        "create": ["a"],
        "show": ["a"],
        "change": ["a"],
        "suspend": ["a"],
        "resume": ["a"],
        "sign-in": {"set": ["a", "--file", "{file}"], "show": ["a"], "check": ["a"], "link": ["a", "a", "s"], "unlink": ["a", "s"]},
    },
    "passkey": {"link": ["a"], "show": ["a"], "revoke": ["a"]},
    "system": {
        "add": ["a", "--scope", "system/*.rs", "--jwks-url", "https://ehr.example/jwks"],
        "set": ["a", "--label", "a"],
        "revoke": ["a"],
    },
    "launch": {"add": ["https://ehr.example/fhir", "--client-id", "a"], "remove": ["https://ehr.example/fhir"]},
    "cover": {"arrange": ["a", "b", "--until", "2030-01-01T00:00:00Z", "--reason", "r", "--as", "a"], "end": [COURSE, "--as", "a"]},
    "restriction": {
        "set": [COURSE, "--reason", "r", "--as", "a"],
        "show": [COURSE],
        "lift": [COURSE, "--as", "a"],
    },
    "emergency": {
        "start": ["c", "--code", "ETREAT", "--reason", "r", "--as", "a"],
        "end": [COURSE, "--as", "a"],
        "show": [COURSE],
        "review": [COURSE, "justified", "--as", "a"],
    },
    "audit": {"unmask": [COURSE, "--reason", "r"]},
    "source": {"add": ["a"], "set": ["a", "--all-visits"], "rotate": ["a"], "disable": ["a"], "enable": ["a"]},
    "proposal": {
        "show": [COURSE],
        "cosign": [COURSE, "--as", "a"],
        "decline": [COURSE, "--as", "a"],
        "return": [COURSE, "Why?", "--as", "a"],
    },
    "group": {
        "create": ["g", "--protocol", "ipt-group", "--as", "a"],
        "show": [COURSE],
        "join": [COURSE, COURSE, "--as", "a"],
        "leave": [COURSE, COURSE, "--reason", "moved", "--as", "a"],
        "facilitators": [COURSE, "a", "--as", "a"],
        "record": [COURSE, f"{COURSE}=5", "--as", "a"],
        "sign": [COURSE, COURSE, "--as", "a"],
    },
    "protocol": {"migrate": ["--from", "ipt@2", "--to", "ipt@2", "--plan"], "replay": ["{file}"]},
    "client": {
        "export": ["c", "--ground", "gdpr-15", "--dry-run", "--as", "a"],
        "access-report": ["c"],
        "accounting": ["c"],
        "disclose": ["c", "--to", "r", "--what", "w", "--purpose", "HLEGAL", "--as", "a"],
        "erase": ["c", "--ground", "objection", "--as", "a"],
    },
    "mark": {
        "set": ["hold", "c", "--ground", "litigation", "--as", "a"],
        "end": [COURSE, "--as", "a"],
        "show": [COURSE],
    },
    "retention": {
        "adopt": ["germany-record", "--as", "a"],
        "end": ["germany-record", "--as", "a"],
        "erase": [COURSE, "--as", "a"],
        "keep": [COURSE, "--until", "2030-12-31", "--ground", "claims", "--as", "a"],
        "reap": ["access_log", "2023-01", "--as", "a"],
    },
    "log": {"export": ["--to", "{file}.zip"], "resume": ["--reason", "r"]},
    "witness": {"request": ["a", "--to", "{file}.txt"], "take": ["{file}"]},
    "import": ["{file}"],
    "serve": ["--port", "0"],
    "relay": ["--once"],
}
WITHOUT_A_DATABASE = {
    ("protocol", "list"),
    ("protocol", "lint"),
    ("protocol", "show"),
    ("protocol", "diagram"),
    ("receive",),
    ("db", "grants"),
    ("witness", "key"),
    ("witness", "serve"),
    ("witness", "show"),
    ("witness", "sign"),
}


def commands(group: typer.core.TyperGroup, *names: str) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found += commands(command, *names, name) if hasattr(command, "commands") else [(*names, name)]
    return found


EVERY = [each for each in commands(typer.main.get_command(app)) if each not in WITHOUT_A_DATABASE]


def arguments_of(command: tuple[str, ...], file: Path) -> list[str]:
    given = ARGUMENTS
    for name in command:
        given = given.get(name, {}) if isinstance(given, dict) else {}
    return [*command, *(each.replace("{file}", str(file)) for each in given or ())]


def said(command: tuple[str, ...], folder: Path, code: int = 1) -> str:
    """What a command says on standard error as it fails."""
    (folder / "lines.toml").write_text("")
    result = CliRunner().invoke(app, arguments_of(command, folder / "lines.toml"))
    assert isinstance(result.exception, SystemExit), (command, result.exception)
    assert result.exit_code == code, (command, result.output)
    assert "Traceback" not in result.output
    return result.stderr


def damaged(path: Path) -> None:
    """The inner pages of the tables that every start reads are overwritten."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        roots = connection.execute("SELECT rootpage FROM sqlite_master WHERE name IN ('alembic_version', 'protocol', 'course')")
        pages = [root for (root,) in roots]
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)


def changed(statement: str):
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)

    return change


STATES = {
    "a damaged file": (damaged, "damaged"),
    "a file cut short": (lambda path: path.write_bytes(path.read_bytes()[:20_000]), "damaged"),
    "no database": (lambda path: path.write_text("no database " * 200), "not a SQLite database"),
    "an empty file": (lambda path: path.write_bytes(b""), "db upgrade"),
    "a newer version": (changed("UPDATE alembic_version SET version_num = '9999'"), "9999"),
    "another program": (changed("UPDATE alembic_version SET version_num = 'a1b2c3'"), "a1b2c3"),
    "two revisions": (changed("INSERT INTO alembic_version VALUES ('0001')"), "another program"),
    "another table of revisions": (changed("ALTER TABLE alembic_version RENAME version_num TO version"), "another program"),
}  # fmt: skip


MAKERS = {("db", "upgrade"), ("sandbox",)}  # they make a database of an empty file
PAIRS = [(command, state) for command in EVERY for state in STATES if state != "an empty file" or command not in MAKERS]


@pytest.mark.matrix(7)
@pytest.mark.parametrize(("command", "state"), PAIRS, ids=[f"{' '.join(command)}: {state}" for command, state in PAIRS])
def test_a_command_says_what_is_wrong_with_the_database(command, state, settings, tmp_path, monkeypatch):
    path = Path(databases.path_of(settings))
    for each in tmp_path.glob("ipt.db-*"):
        each.unlink()
    change, says = STATES[state]
    change(path)
    for name in ("IPT_DATABASE_URL", "IPT_SANDBOX_DATABASE_URL"):
        monkeypatch.setenv(name, f"sqlite:///{path}")
    message = said(command, tmp_path)
    also = {("db", "check"): "page: ", ("sandbox",): "not made as a sandbox"}.get(command, says)
    assert says in message or also in message, message


def test_every_command_is_tried():
    assert len(EVERY) > 30
    assert {("db", "check"), ("audit", "export"), ("import",), ("relay",)} <= set(EVERY)


@pytest.fixture
def cli(settings, monkeypatch):
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    return Path(databases.path_of(settings))


def page_of(path: Path, name: str) -> tuple[int, int]:
    """Where the first page of a table or index begins in the file, and the size of pages."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return (page - 1) * size, size


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_check_finds_a_damaged_page_that_no_start_reads(cli, tmp_path):
    assert CliRunner().invoke(app, ["db", "check"]).exit_code == 0
    at, size = page_of(cli, "ix_course_therapist")
    overwrite(cli, at, b"\xa5" * size)
    assert CliRunner().invoke(app, ["token", "list"]).exit_code == 0
    assert "damaged" in said(("db", "check"), tmp_path)


def test_a_check_finds_a_page_that_was_not_written(cli, tmp_path):
    index = "sqlite_autoindex_client_2"
    at, size = page_of(cli, index)
    before = cli.read_bytes()[at : at + size]
    changed("INSERT INTO client VALUES ('default', 'c1', 'EHR-1', '2026-01-01 00:00:00')")(cli)
    assert page_of(cli, index) == (at, size)
    overwrite(cli, at, before)
    message = said(("db", "check"), tmp_path)
    assert message.startswith("page: row 1 missing from index sqlite_autoindex_client_2; restore a backup\n")
    assert "EHR-1" not in message


def test_tables_of_the_same_names_are_not_touched(tmp_path, monkeypatch):
    path = tmp_path / "other.db"
    changed("CREATE TABLE course (title TEXT)")(path)
    monkeypatch.setenv("IPT_DATABASE_URL", f"sqlite:///{path}")
    message = said(("db", "upgrade"), tmp_path)
    assert "tables that this software did not make: course." in message
    assert "empty database" in message
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("course",)]


async def _on(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


POSTGRES = {
    "may not create": (("REVOKE CREATE ON SCHEMA public FROM PUBLIC",), "may not create or change tables"),
    "no schema": (("DROP SCHEMA public CASCADE",), "no schema to create tables in"),
    "read-only": (("ALTER ROLE {role} SET default_transaction_read_only = on",), "can only be read"),
    "same names": (("CREATE TABLE course (title text)",), "did not make: course"),
    "a newer version": (("CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('9999')"), "newer version"),
    "another program": (("CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('a1b2')"), "Another program"),
}  # fmt: skip


@pytest.mark.parametrize("state", POSTGRES)
def test_an_upgrade_that_postgresql_does_not_let_happen(state, postgres, tmp_path, monkeypatch):
    url = databases.create(postgres)
    role = f"r{sa.make_url(url).database}"
    statements, says = POSTGRES[state]
    owner = (
        (f"CREATE ROLE {role} LOGIN", f"GRANT CREATE ON SCHEMA public TO {role}")
        if state != "may not create"
        else (f"CREATE ROLE {role} LOGIN",)
    )
    asyncio.run(
        _on(
            url,
            *owner,
            *(each.format(role=role) for each in statements),
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}" if state != "no schema" else "SELECT 1",
        )
    )
    monkeypatch.setenv("IPT_DATABASE_URL", sa.make_url(url).set(username=role).render_as_string(hide_password=False))
    assert says in said(("db", "upgrade"), tmp_path)
    assert said(("db", "check"), tmp_path)


def test_a_database_is_upgraded_by_a_role_that_may(postgres, monkeypatch):
    monkeypatch.setenv("IPT_DATABASE_URL", databases.create(postgres))
    result = CliRunner().invoke(app, ["db", "upgrade"])
    assert (result.exit_code, revision.HEAD in result.stdout) == (0, True)


def test_a_copy_of_a_sound_database_is_sound(cli, tmp_path, monkeypatch):
    shutil.copy(cli, tmp_path / "copy.db")
    monkeypatch.setenv("IPT_DATABASE_URL", f"sqlite:///{tmp_path / 'copy.db'}")
    assert CliRunner().invoke(app, ["db", "check"]).exit_code == 0
