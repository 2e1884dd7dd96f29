"""A course's outcome by its scales, and what an ending still has to tell."""

from typing import Literal

from ipt_workflow.course.course import Course
from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.definition import ENDED_EARLY, Protocol
from ipt_workflow.protocols.instruments import Instrument, Outcome
from ipt_workflow.values.types import AGREED

BETTER = frozenset({"remission", "response", "partial_response"})


def by_scales(protocol: Protocol, course: Course) -> Outcome | None:
    """The outcome by those of the protocol's symptom scales that define it, up to the ending."""
    return instruments.outcome(_taken_twice(protocol, course))


def _taken_twice(protocol: Protocol, course: Course) -> list[tuple[Instrument, float, float]]:
    """The symptom scales that were taken at least twice, each with its first and its last total."""
    tracks = [(protocol.instruments[key], course.measures.get(key)) for key in protocol.instruments_for("symptoms")]
    return [
        (scale, track.baseline.total, track.last.total)
        for scale, track in tracks
        if track and track.baseline and track.last and track.baseline.seq != track.last.seq
        if track.baseline.total is not None and track.last.total is not None
    ]


def contradiction(protocol: Protocol, course: Course, given: str) -> Literal["worse", "better", "case"] | None:
    """What the scales show of the client that the outcome as given contradicts: reliably worse, reliably better, or still unwell."""
    taken = _taken_twice(protocol, course)
    found = instruments.outcome(taken)
    if found and given in BETTER and found.reliable_deterioration:
        return "worse"
    if found and given == "deterioration" and found.reliable_improvement:
        return "better"
    unwell = any(scale.unwell_from is not None and last >= scale.unwell_from for scale, _, last in taken)
    return "case" if given == "remission" and unwell else None


def owed(protocol: Protocol, course: Course) -> tuple[str, ...]:
    """What an early ending that was agreed in the last phase lacks: `outcome`, `gains`, `end_measures`. Nothing blocks it without them.

    An outcome that contradicts the scales is lacking. Measures that could not be obtained are not.
    """
    ending, last = course.ending, protocol.last
    if ending is None or course.state != ENDED_EARLY or ending.end_code != AGREED:
        return ()
    tracks = [course.measures[key] for key in protocol.instruments_for("symptoms") if key in course.measures]
    given = {
        "outcome": ending.outcome is not None and contradiction(protocol, course, ending.outcome) is None,
        "gains": course.gains,
        "end_measures": any(last.id in {*track.phases, *track.not_obtained} for track in tracks),
    }
    asked = {"outcome", *last.requires} - {*course.attested}
    return tuple(name for name, is_given in given.items() if name in asked and not is_given)
