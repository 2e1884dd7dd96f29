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

    @property
    def risk_seen_at(self) -> dt.datetime | None:
        """When the client was seen to be at risk, if the fact says so: by a measure, by a contact, or by raising the risk.

        A fact that was moved also says so if it did before an amendment in the course that it left.
        """
        if self.trigger == "raise_risk" and self.data["level"] != "none":
            return self.occurred_at
        if self.data.get("risk"):
            return msgspec.convert(self.data["taken_at"], dt.datetime) if "taken_at" in self.data else self.occurred_at
        before: str | None = self.data["moved_from"].get("risk_seen_at") if "moved_from" in self.data else None
        return msgspec.convert(before, dt.datetime) if before else None
