"""An accepted trigger, as the fold and the rules read it."""

import datetime as dt
from typing import Any

import msgspec


class EntryActor(msgspec.Struct, frozen=True):
    """Who fired a trigger, as the entry records it."""

    person: str
    role: str
    via: str


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted trigger, without its sealed document. `data` is structural."""

    course: str
    seq: int
    trigger: str
    actor: EntryActor
    cosigned_by: str | None
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    protocol_digest: str  # of the protocol that judged it
    overridden: tuple[str, ...]
    contradicts: tuple[int, ...]
    data: dict[str, Any]
