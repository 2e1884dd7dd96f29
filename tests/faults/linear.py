"""Whether what clients saw of one course can be explained by requests that took effect one after another.

A course is a register that holds its version. A write names the version it was decided on, or none, and adds one or several
entries; each takes effect at one moment between its being sent and its being answered. What was never answered may have taken
effect at any moment after it was sent, or never. The search is Wing and Gong's, with what was tried remembered; a course's version
tells how many writes were placed, so the set of those placed is the whole of the state.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One request on one course. Times are monotonic seconds; `answered` is None where nobody knows what became of it.

    `version` is what the answer said: what was read, what the course came to, or, of a write refused as stale, what it was at.
    """

    kind: Literal["read", "write"]
    outcome: Literal["ok", "refused", "unknown"]
    invoked: float
    answered: float | None = None
    version: int | None = None
    expected: int | None = None  # a write's If-Match
    entries: int = 1  # how many entries a write adds
    name: str = ""

    def fits(self, state: int) -> bool:
        """Whether it could take effect, with the answer it got, on a course at this version."""
        if self.kind == "read":
            return self.version == state
        if self.outcome == "refused":
            return self.version == state and self.expected != state
        named = self.expected is None or self.expected == state
        return named and (self.outcome == "unknown" or self.version == state + self.entries)

    @property
    def changes(self) -> int:
        """By how much it raises the version."""
        return self.entries if self.kind == "write" and self.outcome != "refused" else 0


def fault(operations: Iterable[Operation], start: int) -> str | None:
    """None where the operations can be put in one order from version `start` on; else a sentence saying where that ends."""
    known = sorted((each for each in operations if each.outcome != "unknown" or each.changes), key=lambda each: each.invoked)
    must = sum(1 << i for i, each in enumerate(known) if each.outcome != "unknown")
    tried, open_states, furthest = set(), [(0, start)], (0, start)
    while open_states:
        placed, state = _place_what_changes_nothing(known, *open_states.pop())
        if placed & must == must:
            return None
        if placed in tried:
            continue
        tried.add(placed)
        if placed.bit_count() > furthest[0].bit_count():
            furthest = placed, state
        open_states += [
            (placed | 1 << i, state + known[i].changes)
            for i in _next(known, placed)
            if known[i].changes and known[i].fits(state)
        ]  # fmt: skip
    return _told(known, *furthest)


def _place_what_changes_nothing(known: Sequence[Operation], placed: int, state: int) -> tuple[int, int]:
    """Reads and refusals that fit are placed at once: that takes no other order away."""
    while True:
        fitting = [i for i in _next(known, placed) if not known[i].changes and known[i].fits(state)]
        if not fitting:
            return placed, state
        for i in fitting:
            placed |= 1 << i


def _next(known: Sequence[Operation], placed: int) -> list[int]:
    """Those that nothing still to be placed was answered before."""
    waiting = [i for i in range(len(known)) if not placed >> i & 1]
    first_answer = min((known[i].answered for i in waiting if known[i].answered is not None), default=float("inf"))
    return [i for i in waiting if known[i].invoked <= first_answer]


def _told(known: Sequence[Operation], placed: int, state: int) -> str:
    stuck = "; ".join(repr(known[i]) for i in _next(known, placed)[:6])
    return f"No order explains this: after {placed.bit_count()} of {len(known)} operations, at version {state}, none of these fits: {stuck}"
