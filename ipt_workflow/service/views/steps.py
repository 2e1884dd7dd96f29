"""The journal as people read it: each entry once, with its corrections at its place."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ipt_workflow import journal
from ipt_workflow.course.fold import contradictions, moved_away, versions
from ipt_workflow.journal import Entry
from ipt_workflow.service.views.entries import EntryView, entry_views

Did = Literal["recorded", "corrected", "took_back", "restored"]
Status = Literal["in_force", "taken_back", "moved", "contradicted"]


class StepVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One entry about a step: the step itself or a correction. After it the step said `data` and had happened at `occurred_at`.

    Both are None if it was taken back; `data` also if it was erased or is masked.
    """

    entry: EntryView
    did: Did
    data: dict[str, Any] | None
    occurred_at: dt.datetime | None


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its corrections, the first recorded first. `data` and `occurred_at` are those in force, else those that it had last.

    `latest` is the entry that a correction of it names. `moved_by` is the entry that moved it to another client's course.
    """

    seq: int
    trigger: str
    status: Status
    data: dict[str, Any] | None
    occurred_at: dt.datetime
    latest: int
    moved_by: int | None
    versions: tuple[StepVersion, ...]

    @property
    def first(self) -> EntryView:
        return self.versions[0].entry


def step_views(entries: Sequence[Entry]) -> list[StepView]:
    """The steps of a course, in the order in which they happened."""
    facts = journal.facts(entries)
    seen = {each.seq: each for each in entry_views(entries, entries)}
    given, gone, contradicted = journal.given_after(entries), moved_away(facts), contradictions(facts)
    steps = []
    for seq, recorded in versions(facts).items():
        found = tuple(
            StepVersion(
                entry=seen[fact.seq],
                did=_did(seen[fact.seq], is_void=after is None),
                data=given[fact.seq][1] if after else None,
                occurred_at=after.occurred_at if after else None,
            )
            for fact, after in recorded
        )
        last = next(each for each in reversed(found) if each.occurred_at is not None)
        steps.append(
            StepView(
                seq=seq,
                trigger=seen[seq].trigger,
                status=_status(is_void=found[-1].occurred_at is None, is_moved=seq in gone, is_contradicted=seq in contradicted),
                data=last.data,
                occurred_at=last.occurred_at or seen[seq].occurred_at,
                latest=found[-1].entry.seq,
                moved_by=gone.get(seq),
                versions=found,
            )
        )
    return sorted(steps, key=lambda each: (each.occurred_at, each.seq))


def _did(entry: EntryView, *, is_void: bool) -> Did:
    if entry.trigger != "amend":
        return "recorded"
    if is_void:
        return "took_back"
    return "restored" if entry.structural.get("void") else "corrected"


def _status(*, is_void: bool, is_moved: bool, is_contradicted: bool) -> Status:
    if is_moved:
        return "moved"
    if is_void:
        return "taken_back"
    return "contradicted" if is_contradicted else "in_force"
