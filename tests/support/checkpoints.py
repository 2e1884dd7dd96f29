"""Checkpoints of a clinic's log as it stands, for tests of what is done with them."""

import sqlalchemy as sa

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, SignedNote
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import log as stored_log
from ipt_workflow.store.schema import tables

ORIGIN = "ipt-workflow/log/default"  # of a clinic without a public address
KEY_FILE = log_keys.new_file()
KEYS = log_keys.of_log(KEY_FILE, ORIGIN)


async def sign(clinic: Clinic) -> SignedNote:
    """Gives positions to all that waits, and signs the log."""
    await fan_out.bring_up_to_date(clinic)
    size = await clinic.read(stored_log.size)
    root = await clinic.read(stored_log.root, size)
    note = log_keys.signed(Checkpoint(ORIGIN, size, root).text(), KEYS, 0)
    row = {
        "organisation": clinic.organisation,
        "size": size,
        "origin": ORIGIN,
        "root": ipt_verify.encoded(root),
        "note": str(note),
        "cosignatures": "",
        "created_at": clinic.clock.now(),
    }
    await clinic.database.write(lambda connection: connection.execute(sa.insert(tables.log_checkpoint), row))
    return note
