"""Marks on the record of a client: set, and set and ended, by people at the command line."""

from typing import Any

from ipt_workflow.access.marks import MarkEnd, NewMark
from ipt_workflow.access.principal import Principal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.marks import Marks, MarkView

ADMIN = Principal(person="admin-1", role="admin", via="cli")
DEED = Principal(person="supervisor-1", role="supervisor", via="cli")
GROUNDS = {"hold": "litigation", "restriction": "accuracy_contested", "objection": "research_statistics"}


async def mark(
    clinic: Clinic, kind: Any = "hold", ground: str = "", *, ref: str = "EHR-1", by: Principal = DEED, **more: Any
) -> MarkView:
    """Sets a mark on the record of a client."""
    new = NewMark(kind=kind, client_ref=ref, ground=ground or GROUNDS[kind], **more)
    return await Marks(clinic).set(by, lambda: new)


async def end(clinic: Clinic, mark_id: str, by: Principal = ADMIN, **more: Any) -> MarkView:
    """Ends a mark, of which the client was informed."""
    return await Marks(clinic).end(by, mark_id, lambda: MarkEnd(client_informed=True, **more))


async def walk(clinic: Clinic) -> None:
    """A hold that was set and has ended."""
    held = await mark(clinic, note="The solicitor wrote.")
    await end(clinic, held.id, note="Settled.")
