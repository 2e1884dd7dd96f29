"""Small files that must survive a crash: written whole before anybody relies on them, and by one process at a time."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600
LOCK = ".lock"

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process has this file. The lock is a file beside it, and ends with the process. Raises OSError."""
    descriptor = os.open(path.with_name(path.name + LOCK), os.O_RDWR | os.O_CREAT, PRIVATE)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def replace(path: Path, content: str) -> None:
    """Puts new content in place of the old, and returns once it is on the disk. After a crash the file has one or the other. Raises OSError."""
    beside = path.with_name(path.name + ".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "w", encoding="utf-8") as file:  # noqa: PTH123 - a mode is given
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _keep_name(path.parent)


def create(path: Path, content: str) -> None:
    """Makes a private file that is not there yet. Raises FileExistsError, or another OSError."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w", encoding="utf-8") as file:  # noqa: PTH123 - a mode is given
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _keep_name(path.parent)


def _keep_name(folder: Path) -> None:
    if sys.platform == "win32":
        return  # it has no descriptors of folders
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
