"""What a hold blocks: erasure and retention ask here, inside the transaction in which they remove something."""

from ipt_workflow.access.marks import GROUNDS
from ipt_workflow.errors import RecordHeld
from ipt_workflow.store import holds
from ipt_workflow.store.database import Connection
from ipt_workflow.store.holds import HoldInForce


def require_none(connection: Connection, organisation: str, client_id: str) -> None:
    """Raises RecordHeld with every hold in force on a client's record. Until the transaction ends, nobody can set one."""
    if found := holds.blocking(connection, organisation, client_id):
        raise RecordHeld([in_words(each) for each in found])


def in_words(hold: HoldInForce) -> str:
    """A hold as refusals show it: on what ground, by whom, since when."""
    return f"{hold.ground} ({GROUNDS['hold'][hold.ground]}), set by {hold.set_by} at {hold.set_at.isoformat()}"
