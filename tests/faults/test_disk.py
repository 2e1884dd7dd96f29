"""The disk of a SQLite database is full: failed writes are not acknowledged, and the service continues once there is room.

The tests fill the disk in two ways. A small file system gives the real error (ENOSPC), but only an administrator can mount one. A limit
on the size of the process's files makes the kernel refuse the same writes (EFBIG), and needs no rights.
"""

import asyncio
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults import after
from faults.conftest import Place
from faults.histories import Load

ROOM = 150_000  # free bytes when clients begin


class Limited:
    """Limits the size of the service's files."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def fill(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM, hard))

    def free(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


class Small:
    """A small file system for the database, and a file that takes up the free space."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ballast = place.file.with_name("ballast")

    def fill(self, pid: int) -> None:
        with closing(sqlite3.connect(self.place.file)) as connection:  # else the WAL could grow within its present size
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.ballast.write_bytes(bytes(max(0, shutil.disk_usage(self.ballast.parent).free - ROOM)))

    def free(self, pid: int) -> None:
        self.ballast.unlink()


@pytest.fixture
def limited(on_sqlite: Place) -> tuple[Place, Limited]:
    return on_sqlite, Limited(on_sqlite)


@pytest.fixture
def small(on_sqlite: Place, tmp_path: Path) -> Iterator[tuple[Place, Small]]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs the rights of an administrator; the limit on file sizes is tested")
    try:
        shutil.copy(on_sqlite.file, disk)
        place = Place(f"sqlite:///{disk}/ipt.db", on_sqlite.tokens, tmp_path)
        yield place, Small(place)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture(params=["limited", "small"])
def full(request):
    return request.getfixturevalue(request.param)


def test_a_full_disk_loses_nothing_and_is_got_over_without_a_restart(full, seeds):
    place, disk = full

    async def play():
        async with place.service() as service:
            await service.start()
            for seed in seeds:
                async with Load([service.url], place.tokens["therapist"], seed, name="disk") as load:
                    await load.open()
                    disk.fill(service.pid)
                    await load.run(most=10_000, seconds=1)
                    refused = sum("503 busy" in each.seen for each in load.sent)
                    disk.free(service.pid)
                    await after.holds(load, place)
                    assert refused, "the disk was never full"

    asyncio.run(play())
    after.verifies(place.url)
