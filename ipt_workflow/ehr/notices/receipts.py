"""A message as it is taken in, and the answer to its sender."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.store.notices import StoredNotice


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An authentic message: its bytes, and each thing that it says, as far as it is readable.

    `key` identifies it when it comes again; without one, it is compared with the versions of its resource. `kept` is stored instead of
    `body` if it is given. `problem` is what is wrong: the sender gets it, and the message waits. With `room`, it is kept even if the
    inbox is full. With `complete`, what an earlier version said and this one does not is taken back. A deletion says nothing: it
    `withdraws` things, each given by its latest notice. With `always`, a row is stored even if it is ignored.
    """

    key: str | None
    body: bytes
    contents: tuple[NoticeContent, ...]
    kept: bytes | None = None
    problem: Exception | None = None
    room: bool = False
    complete: bool = False
    withdraws: tuple[StoredNotice, ...] = ()
    always: bool = False


class ThingReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one thing that a message says. If nothing is kept of it, `reason` is the code of why it is ignored."""

    id: str | None
    status: str
    type: str
    reason: str | None = None
    says: tuple[str, ...] = ()


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a sender. `id` is null if nothing was stored; `says` holds remarks on how the message was read.

    `things` says what became of each thing, if the message says several.
    """

    id: str | None
    status: str
    reason: str | None = None
    says: tuple[str, ...] = ()
    things: tuple[ThingReceipt, ...] = ()


def receipt_of(things: Sequence[ThingReceipt]) -> Receipt:
    """The answer about a message. It waits if any of its things waits, and is applied if any was."""
    order = ("waiting", "applied", "ignored", "received")
    first = min(things, key=lambda each: order.index(each.status))
    says = tuple(dict.fromkeys(remark for each in things for remark in each.says))
    several = tuple(things) if len(things) > 1 else ()
    return Receipt(id=first.id, status=first.status, reason=first.reason, says=says, things=several)
