"""The service behind PgBouncer: as the example configures it, and with the pool mode that it cannot run with."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults import after
from faults.conftest import Place
from faults.histories import Load
from faults.postgres import Server
from faults.service import Service, command, filled, free_port

from deploy.programs import example, program, running
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.databases.pooler import REFUSAL
from ipt_workflow.store.databases.postgres import BY_KEY

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def database(server) -> tuple[str, dict[str, str]]:
    url = asyncio.run(server.new_database(name="pooled"))
    return url, filled(url)


@contextmanager
def pooled(server: Server, **replaced: str) -> Iterator[str]:
    """The database's URL behind PgBouncer, which runs as the server's user, since it refuses to run as root."""
    folder = server.folder / f"pgbouncer-{next(NUMBERS)}"
    folder.mkdir(mode=0o755)
    port = free_port()
    (folder / "users.txt").write_text('"postgres" ""\n')
    text = example(
        "pgbouncer.ini",
        {
            "ipt = host=db.example port=5432 dbname=ipt": f"pooled = host={server.sockets} dbname=pooled user=postgres",
            "listen_port = 6432": f"listen_port = {port}\nunix_socket_dir =",
            "auth_type = scram-sha-256": "auth_type = trust",
            "/etc/pgbouncer/userlist.txt": f"{folder}/users.txt",
            **replaced,
        },
    )
    (folder / "pgbouncer.ini").write_text(text)

    def is_up() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    log = Path(f"{folder}.log")
    with running([program("pgbouncer"), str(folder / "pgbouncer.ini")], is_up, log, user=server._server.system_user):
        yield f"postgresql://postgres@127.0.0.1:{port}/pooled"


def test_the_service_runs_with_pooled_sessions(server, database, tmp_path):
    _, tokens = database

    async def play(url: str) -> None:
        place = Place(database[0], tokens, tmp_path, server)
        async with Service(url, tmp_path / "log") as service, Load([service.url], tokens["therapist"], 1, name="pooled") as load:
            await service.start()
            await load.open()
            await load.run(most=200)
            assert load.acknowledged
            await after.holds(load, place)
            assert service.errors() == ""

    with pooled(server) as url:
        asyncio.run(play(url))
        assert command(url, "audit", "verify").returncode == 0


def test_a_session_has_its_settings_behind_the_pooler_too(server, database):
    async def look(url: str) -> dict[str, str]:
        opened = open_database(url, statement_seconds=7, connections=1)
        try:
            sql = "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name"
            rows = await opened.fetch({"postgresql": sql}, ["statement_timeout", "lock_timeout", *BY_KEY])
            return {row["name"]: row["value"] for row in rows}
        finally:
            await opened.close()

    with pooled(server) as url:
        found = asyncio.run(look(url))
    assert found == asyncio.run(look(database[0]))
    assert found["statement_timeout"] == "7s"
    assert BY_KEY.items() <= found.items()


@pytest.mark.parametrize("mode", ["transaction", pytest.param("statement", marks=pytest.mark.rest)])
def test_the_service_refuses_pooled_transactions_with_a_sentence(server, database, mode):
    with pooled(server, **{"pool_mode = session": f"pool_mode = {mode}"}) as url:
        done = command(url, "serve")
    assert done.returncode == 1
    assert REFUSAL in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
