"""What a failure of the database means: one table for PostgreSQL's error codes, one for SQLite's.

A failure that is not in a table is an error of this service or of a stored value, and is raised as the driver's own. All others are
answered with 503. The committer repeats what is Unreachable or Busy.
"""

from collections.abc import Mapping

import msgspec

from ipt_workflow.errors import Busy, DatabaseNotReady, IptError, Locked, ReadOnly, Unreachable


class Meaning(msgspec.Struct, frozen=True):
    """The error that a failure is raised as, and its sentence. With `elsewhere`, a new connection may reach a server that can do it."""

    error: type[IptError]
    sentence: str
    elsewhere: bool = False

    def raised(self) -> IptError:
        return self.error(self.sentence)


AWAY = Meaning(Unreachable, "The database server is not available now. Try again.")
FULL_UP = Meaning(Unreachable, "The database server accepts no further connections. Try again, or lower IPT_DATABASE_CONNECTIONS.")
FORGOTTEN = Meaning(
    Unreachable, "The database connection has lost its prepared statements. Behind PgBouncer use session pooling.", elsewhere=True
)
CONTENDED = Meaning(Busy, "The database is busy. Try again.")
LOCKED = Meaning(Locked, "Another transaction holds a row that this write needs. Try again.")
READ_ONLY = Meaning(
    ReadOnly, "The database can only be read now: the server is a standby, or is set to read-only. Try again.", elsewhere=True
)
NOT_GRANTED = Meaning(ReadOnly, "The database role may not do this. Grant what `ipt-workflow db grants ROLE` prints.")
NOT_LET_IN = Meaning(
    DatabaseNotReady,
    "The database server rejected the connection: unknown database, unknown user or wrong password. Check IPT_DATABASE_URL.",
)
NO_ROOM = Meaning(
    DatabaseNotReady, "The database server has no disk space, memory or other resource left. Free some, then try again."
)
FAILING = Meaning(DatabaseNotReady, "The database server cannot read or write its own files. Check its log and its disk.")
WITHOUT_TABLES = Meaning(
    DatabaseNotReady, "The database lacks tables of this version. Run `ipt-workflow db upgrade`, or restore a backup."
)

# By SQLSTATE, or by its class: the first two characters.
POSTGRESQL: Mapping[str, Meaning] = {
    "08": AWAY,  # the connection failed
    "57P01": AWAY,  # shut down, or this connection was ended
    "57P02": AWAY,  # crashed
    "57P03": AWAY,  # starting up, shutting down, or in recovery
    "57P05": AWAY,  # ended by idle_session_timeout
    "25P03": AWAY,  # ended by idle_in_transaction_session_timeout
    "25P04": CONTENDED,  # ended by transaction_timeout
    "53300": FULL_UP,  # too many connections
    "26000": FORGOTTEN,  # no such prepared statement
    "42P05": FORGOTTEN,  # a prepared statement of this name is there already
    "0A000": CONTENDED,  # a table changed since the statement was prepared
    "40001": CONTENDED,  # serialization failure, or a standby cancelled the query
    "40003": CONTENDED,  # whether the statement was completed is not known
    "40P01": CONTENDED,  # deadlock
    "57014": CONTENDED,  # query cancelled, by a person or by statement_timeout
    "55000": AWAY,  # the database takes no connections now
    "55006": CONTENDED,  # object in use
    "55P03": LOCKED,  # lock_timeout
    "25006": READ_ONLY,  # read-only transaction
    "42501": NOT_GRANTED,  # insufficient privilege
    "28": NOT_LET_IN,  # unknown user, wrong password
    "3D000": NOT_LET_IN,  # no such database
    "57P04": NOT_LET_IN,  # the database was dropped
    "53": NO_ROOM,  # disk full, out of memory, a limit of the configuration
    "58": FAILING,  # a system call failed
    "XX": FAILING,  # damaged data or index, internal error
    "42P01": WITHOUT_TABLES,  # no such table
    "42703": WITHOUT_TABLES,  # no such column
    "3F000": WITHOUT_TABLES,  # no such schema
}

ANOTHER_WRITES = Meaning(Busy, "Another process is writing to the database. Try again.")
READ_ONLY_FILE = Meaning(
    ReadOnly, "The database file can only be read. Let the service write to its file and folder, and leave out mode=ro."
)
NO_SPACE = Meaning(
    DatabaseNotReady, "The database cannot be written: the disk is full or failing. Free some space or check the disk."
)
DAMAGED = Meaning(DatabaseNotReady, "The database file is damaged. Stop the service and restore a backup.")
NOT_OPENED = Meaning(
    DatabaseNotReady, "The database cannot be opened. Check that the service may read and write its file and folder."
)
NO_DATABASE = Meaning(DatabaseNotReady, "The database cannot be opened: the file is not a SQLite database. Check IPT_DATABASE_URL.")
REPLACED = Meaning(
    DatabaseNotReady,
    "The database file was deleted, moved or replaced while the service runs. Put it back, or restart the service.",
)

# By SQLite's primary result code.
SQLITE: Mapping[int, Meaning] = {
    3: READ_ONLY_FILE,  # SQLITE_PERM
    5: ANOTHER_WRITES,  # SQLITE_BUSY
    6: ANOTHER_WRITES,  # SQLITE_LOCKED
    7: NO_SPACE,  # SQLITE_NOMEM
    8: READ_ONLY_FILE,  # SQLITE_READONLY
    9: ANOTHER_WRITES,  # SQLITE_INTERRUPT
    10: NO_SPACE,  # SQLITE_IOERR
    11: DAMAGED,  # SQLITE_CORRUPT
    13: NO_SPACE,  # SQLITE_FULL
    14: NOT_OPENED,  # SQLITE_CANTOPEN
    15: ANOTHER_WRITES,  # SQLITE_PROTOCOL: others hold the locks of the WAL
    17: ANOTHER_WRITES,  # SQLITE_SCHEMA
    22: NO_SPACE,  # SQLITE_NOLFS: the file is larger than the system allows
    23: NOT_OPENED,  # SQLITE_AUTH
    26: NO_DATABASE,  # SQLITE_NOTADB
}
SQLITE_MOVED = 1032  # SQLITE_READONLY_DBMOVED, an extended code
MISSING = ("no such table", "no such column")  # how SQLITE_ERROR says it


def of_sqlstate(code: str | None) -> Meaning | None:
    """What a failure of PostgreSQL means, by its SQLSTATE."""
    return POSTGRESQL.get(code or "") or POSTGRESQL.get((code or "")[:2])


def of_sqlite(code: int | None, message: str) -> Meaning | None:
    """What a failure of SQLite means, by its extended result code, and by its message where the code says nothing."""
    if code == SQLITE_MOVED:
        return REPLACED
    if message.startswith(MISSING):
        return WITHOUT_TABLES
    return SQLITE.get((code or 0) & 0xFF)
