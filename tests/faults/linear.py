"""Checks linearizability: can requests that took effect one after another explain what clients saw of one course?

A course is a register that holds its version. A write names the version it was decided on, or none, and adds one or more entries.
Each request takes effect at one moment between its sending and its answer. A request without an answer may have taken effect at any
moment after it was sent, or never. The search is Wing and Gong's, with a memory of what was tried. The version follows from the set of
writes that were placed, so that set is the whole state of the search.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One request on one course. Times are monotonic seconds; `answered` is None if the outcome is unknown.

    `version` is the version in the answer: the one read, the one after the write, or, for a stale write, the current one.
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
        """Whether the request could have taken effect on a course at this version and got its answer."""
        if self.kind == "read":
            return self.version == state
        if self.outcome == "refused":
            return self.version == state and self.expected != state
        named = self.expected is None or self.expected == state
        return named and (self.outcome == "unknown" or self.version == state + self.entries)

    @property
    def changes(self) -> int:
        """How much the request raises the version."""
        return self.entries if self.kind == "write" and self.outcome != "refused" else 0


def fault(operations: Iterable[Operation], start: int) -> str | None:
    """None if one order from version `start` on explains the operations; else a sentence that says where the search got stuck."""
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
    return _explained(known, *furthest)


def _place_what_changes_nothing(known: Sequence[Operation], placed: int, state: int) -> tuple[int, int]:
    """Places all reads and refusals that fit. That rules out no other order."""
    while True:
        fitting = [i for i in _next(known, placed) if not known[i].changes and known[i].fits(state)]
        if not fitting:
            return placed, state
        for i in fitting:
            placed |= 1 << i


def _next(known: Sequence[Operation], placed: int) -> list[int]:
    """Operations that may come next: no other unplaced operation was answered before they were sent."""
    waiting = [i for i in range(len(known)) if not placed >> i & 1]
    first_answer = min((known[i].answered for i in waiting if known[i].answered is not None), default=float("inf"))
    return [i for i in waiting if known[i].invoked <= first_answer]


def _explained(known: Sequence[Operation], placed: int, state: int) -> str:
    stuck = "; ".join(repr(known[i]) for i in _next(known, placed)[:6])
    return f"No order explains this: after {placed.bit_count()} of {len(known)} operations, at version {state}, none of these fits: {stuck}"
