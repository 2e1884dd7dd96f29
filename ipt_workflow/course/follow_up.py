"""What a follow-up course brings from the course that it follows."""

import msgspec

from ipt_workflow.course.course import Course, Focus, Formulation, Rhythm
from ipt_workflow.protocols.definition import Protocol

replace = msgspec.structs.replace
OPENING_SEQ = 1  # the entry that opens a course


class CarriedOver(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts of the earlier course, under the names that they have in a `Course`. The later course's first entry keeps them."""

    consents: tuple[str, ...] = ()
    consenting: tuple[str, ...] = ()
    withdrawing: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    focus: Focus | None = None
    formulation: Formulation | None = None
    rhythm: Rhythm = Rhythm()


def carried_over(earlier: Course, protocol: Protocol) -> CarriedOver:
    """Consents, given and withdrawn; and what the later course's protocol names in `[followup]`.

    The texts stay in the earlier course. A formulation keeps its number, so that the next one has the next.
    """
    names = protocol.followup.carries if protocol.followup else ()
    return CarriedOver(
        consents=earlier.consents,
        consenting=earlier.consenting,
        withdrawing=earlier.withdrawing,
        withdrawn=earlier.withdrawn,
        focus=_focus(earlier.focus, protocol) if "focus" in names and earlier.focus else None,
        formulation=earlier.formulation if "formulation" in names else None,
        rhythm=_rhythm(earlier.rhythm) if "rhythm" in names else Rhythm(),
    )


def _focus(focus: Focus, protocol: Protocol) -> Focus | None:
    """The problem areas that the protocol has too; None if it does not have the primary one."""
    if focus.primary not in protocol.focus.areas:
        return None
    kept = tuple(area for area in focus.areas[1:] if area in protocol.focus.areas)[: protocol.focus.max - 1]
    return replace(focus, secondary=kept[0] if kept else None, further=kept[1:], changes=0)


def _rhythm(rhythm: Rhythm) -> Rhythm:
    """The weeks and the targets in force. The later course knows the weeks by its first entry."""
    return replace(rhythm, weeks=tuple(replace(week, seq=OPENING_SEQ) for week in rhythm.weeks))
