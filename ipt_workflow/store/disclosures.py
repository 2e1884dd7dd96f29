"""What was disclosed of a client by other ways than this service, and the names of whoever gets something by this service."""

import datetime as dt
from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import attempts, structs
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.emergencies import SealedText, keep_text
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import LoggedEvent

table, text, subscription, system, token = (
    tables.disclosure,
    tables.access_text,
    tables.subscription,
    tables.system,
    tables.token,
)
SAID = "said"  # the kind of the text in `access_text`
SUBSCRIPTION, SYSTEM = "subscription:", "system:"  # what the id of an actor begins with


class StoredDisclosure(msgspec.Struct, frozen=True, kw_only=True):
    """A disclosure. `said` is the sealed text: to whom, and what; None if it was erased."""

    id: str
    client_id: str
    disclosed_at: dt.datetime
    purpose: str
    authorised: bool
    person: str
    role: str
    via: str
    recorded_at: dt.datetime
    said: bytes | None = None


_OWN = tuple(name for name in StoredDisclosure.__struct_fields__ if name != "said")
_said = sa.and_(text.c.organisation == table.c.organisation, text.c.id == table.c.id, text.c.kind == SAID)
_select = sa.select(*(table.c[name] for name in _OWN), text.c.sealed.label("said")).select_from(table.outerjoin(text, _said))


def insert(connection: sa.Connection, organisation: str, new: StoredDisclosure, said: SealedText, record: LoggedEvent) -> None:
    """Keeps a disclosure with its audit record."""
    row = {"organisation": organisation, **{name: getattr(new, name) for name in _OWN}, "text_digest": said.digest}
    connection.execute(sa.insert(table), row)
    keep_text(connection, organisation, new.id, SAID, said)
    attempts.log(connection, [record])


def of_client(
    connection: sa.Connection, organisation: str, client_id: str, since: dt.datetime, until: dt.datetime
) -> list[StoredDisclosure]:
    """What was disclosed of a client between two moments, in the order in which it was."""
    its = (table.c.organisation == organisation, table.c.client_id == client_id)
    between = (table.c.disclosed_at >= since, table.c.disclosed_at < until)
    return structs.read_all(connection, _select.where(*its, *between).order_by(table.c.disclosed_at, table.c.id), StoredDisclosure)


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """A system that gets something by this service. `address` is where events are sent; `scope` is how much of them a subscriber gets."""

    name: str
    address: str | None = None
    scope: str | None = None


def recipients(connection: sa.Connection, organisation: str, actors: Collection[str]) -> dict[str, Recipient]:
    """The systems among these actors of the audit log, by the id of the actor, as they are known now."""
    found: dict[str, Recipient] = {}
    named = {prefix: [each.removeprefix(prefix) for each in actors if each.startswith(prefix)] for prefix in (SUBSCRIPTION, SYSTEM)}

    def among(column: sa.Column[str], values: list[str]) -> sa.ColumnElement[bool]:
        return one_of(column, "ids", values)[connection.dialect.name]

    for each in connection.execute(
        sa.select(token.c.subject, token.c.name)
        .where(token.c.organisation == organisation, token.c.role == "ehr", among(token.c.subject, sorted(actors)))
        .order_by(token.c.created_at)
    ):
        found[each.subject] = Recipient(name=each.name)
    for each in connection.execute(
        sa.select(subscription.c.id, subscription.c.url, subscription.c.scope).where(
            subscription.c.organisation == organisation, among(subscription.c.id, named[SUBSCRIPTION])
        )
    ):
        found[SUBSCRIPTION + each.id] = Recipient(name=_host(each.url), address=each.url, scope=each.scope)
    for each in connection.execute(
        sa.select(system.c.id, system.c.name).where(system.c.organisation == organisation, among(system.c.id, named[SYSTEM]))
    ):
        found[SYSTEM + each.id] = Recipient(name=each.name)
    return found


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]
