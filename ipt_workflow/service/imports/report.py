"""What became of the lines of a file, and why lines were refused, in words."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from ipt_workflow.errors import Faulty, GroupRefused, GroupSessionRefused, IptError, Refusal, TransitionRefused

LineResult = Literal["accepted", "known", "linked"]


class RefusedLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line about a course, or about a `group`."""

    line: int
    course: str | None
    why: str
    group: str | None = None


class ImportReport(msgspec.Struct, kw_only=True):
    """The results of the lines: `accepted` now, `known` from an earlier run, or `refused`, each with the reason.

    `linked` are visits that the course had recorded otherwise. The session got the line's reference, and is still one.
    """

    accepted: int = 0
    known: int = 0
    linked: int = 0
    refused: list[RefusedLine] = []


def why(error: IptError) -> str:
    """An error in one line of words."""
    if isinstance(error, TransitionRefused):
        return f"{error.command} refused: {_rules(error.refusals)}"
    if isinstance(error, GroupRefused):
        return f"refused: {_rules(error.refusals)}"
    if isinstance(error, GroupSessionRefused):
        return "; ".join(f"{error.trigger} refused by {each.course}: {_rules(each.refusals)}" for each in error.members)
    if isinstance(error, Faulty):
        return "; ".join(str(fault) for fault in error.faults)
    return str(error)


def _rules(refusals: Iterable[Refusal]) -> str:
    return "; ".join(f"{refusal.rule}: {refusal.message}{_breaks(refusal)}" for refusal in refusals)


def _breaks(refusal: Refusal) -> str:
    """The later entries that would break, each with what its own rules say."""
    why_each = ((each, " ".join(broken.message for broken in each.refusals)) for each in refusal.breaks or ())
    return "".join(f" [{each.seq} {each.trigger}: {words}]" for each, words in why_each)
