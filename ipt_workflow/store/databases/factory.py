"""Opening a database by its URL."""

from ipt_workflow.access.client_keys import KeyRing
from ipt_workflow.errors import Fault, SettingsInvalid
from ipt_workflow.runtime import database_urls
from ipt_workflow.store.database import Database
from ipt_workflow.store.databases.sqlite import SqliteDatabase


def open_database(
    url: str, *, statement_seconds: float | None = None, connections: int = 4, keys: KeyRing | None = None
) -> Database:
    """Opens `sqlite:///path` or `postgresql://…`.

    On PostgreSQL a statement may take `statement_seconds`, and each of the two pools holds as many connections as `connections`. `keys`
    open the texts that are read.
    Raises SettingsInvalid if the URL is not valid, DatabaseNotReady if a file that it names cannot be read.
    """
    try:
        parsed = database_urls.parse(url)
    except ValueError as error:
        raise SettingsInvalid([Fault("IPT_DATABASE_URL", str(error))]) from None
    if parsed.system == "sqlite":
        return SqliteDatabase(parsed.path, parsed.options.get("mode", "rwc"), keys)
    from ipt_workflow.store.databases.postgres import PostgresDatabase  # noqa: PLC0415 - its driver is loaded only if it is used

    return PostgresDatabase(parsed, statement_seconds, connections, keys)
