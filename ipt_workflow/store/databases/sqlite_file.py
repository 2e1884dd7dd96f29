"""The file of a SQLite database: made for its owner alone, and the same one for as long as the process runs.

A connection goes on with a file that was deleted or replaced meanwhile: it would acknowledge writes that nobody can ever read. So the
files that the paths name, the database and its WAL, are compared with those that were opened first. SQLite itself never replaces either
while a connection is open.
"""

import os
import sqlite3
import threading
from pathlib import Path
from urllib.parse import quote

from ipt_workflow.errors import DatabaseNotReady
from ipt_workflow.store.databases.meanings import NOT_OPENED, REPLACED

OWNER_ONLY = 0o600  # SQLite gives the files beside it, which hold the WAL, the same rights


class DatabaseFile:
    """The file at a path. `mode` is that of SQLite's URIs: `ro`, `rw` or `rwc`."""

    def __init__(self, path: str, mode: str) -> None:
        self._path = path
        self._uri = f"file:{quote(path)}?mode={mode.removesuffix('c')}"  # SQLite never makes the file: `_make` does
        self._creates = mode == "rwc"
        self._path_of_wal = f"{path}-wal"
        self._opened: tuple[int, int] | None = None
        self._wal: tuple[int, int] | None = None
        self._gone = False
        self._opening = threading.Lock()
        if self._creates:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseNotReady(
                    f"The folder of the database cannot be created: {error.strerror}. Check IPT_DATABASE_URL."
                ) from error

    def connect(self, patience: float) -> sqlite3.Connection:
        """A connection that waits `patience` seconds for others. Raises DatabaseNotReady, or what the driver raises."""
        with self._opening:
            if self._opened is None:
                self._make()
                self._opened = _present(self._path)
        connection = sqlite3.connect(self._uri, uri=True, timeout=patience, check_same_thread=False)
        if self._opened is not None and _present(self._path) != self._opened:
            connection.close()
            self._gone = True
            raise REPLACED.raised()
        return connection

    def _make(self) -> None:
        """Makes the file if there is none. SQLite would make it with the rights of the umask."""
        if not self._creates or Path(self._path).exists():
            return
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
        except FileExistsError:
            return  # another process has made it
        except OSError:
            raise NOT_OPENED.raised() from None

    def check_commit(self) -> None:
        """Raises DatabaseNotReady if what was committed just now is in a file that is gone. It asks about the WAL only after a fault."""
        if self._gone or _present(self._path) != self._opened:
            self.check()

    def check_read(self) -> None:
        """The same for what was read, once a fault was found: a read of a kept answer acknowledges its write."""
        if self._gone:
            self.check()

    def check(self) -> None:
        """Raises DatabaseNotReady if the database or its WAL is gone."""
        wal = _present(self._path_of_wal)
        self._wal = self._wal or wal
        self._gone = wal != self._wal or _present(self._path) != self._opened
        if self._gone:
            raise REPLACED.raised()


def _present(path: str) -> tuple[int, int] | None:
    """Which file a path names now; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - every write asks this, and a Path takes three times as long
    except OSError:
        return None
    return found.st_dev, found.st_ino
