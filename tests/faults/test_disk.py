"""The disk of a SQLite database is full: what cannot be written is not acknowledged, and once there is room again it goes on.

There are two ways of having no room. A small file system is the real thing (ENOSPC), but only an administrator can mount
one; a limit on how large the process's files may grow makes the kernel refuse the same writes (EFBIG) and needs no rights.
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

ROOM = 150_000  # bytes that are left when clients begin


class Limited:
    """The service's files may not be written beyond some bytes."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def fill(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM, hard))

    def free(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


class Small:
    """A file system of the database's own, with a file that takes up what is left."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ballast = place.file.with_name("ballast")

    def fill(self, pid: int) -> None:
        with closing(sqlite3.connect(self.place.file)) as connection:  # or the log beside the database has room of its own
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
                    told = sum("503 busy" in each.seen for each in load.sent)
                    disk.free(service.pid)
                    await after.holds(load, place)
                    assert told, "the disk was never full"

    asyncio.run(play())
    after.verifies(place.url)
