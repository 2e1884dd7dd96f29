"""The trigger table of one protocol as rows for `transitions`, and the diagram that `transitions` draws from them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from transitions.extensions import GraphMachine

from ipt_workflow.course import triggers
from ipt_workflow.protocols import definition
from ipt_workflow.protocols.definition import NEW, Protocol


class TransitionRow(NamedTuple):
    """One arrow between states. `dest` is None if the state stays.

    `chosen` marks one of several rows of a trigger and a source: the course decides which of them applies.
    """

    trigger: str
    source: str
    dest: str | None
    chosen: bool = False


def states(protocol: Protocol) -> list[str]:
    """Every state, in the order a course may see them."""
    return [NEW, definition.REFERRED, *protocol.phase_ids, definition.PAUSED, *definition.ENDED]


def rows(protocol: Protocol) -> Iterator[TransitionRow]:
    """Every trigger's rows: one for each source, or one for each source and destination if the course decides."""
    for name in triggers.names(protocol):
        row = triggers.find(name, protocol)
        assert row is not None  # it is one of this protocol's names
        for source in triggers.sources(protocol, name):
            if row.course_decides:
                yield from (TransitionRow(name, source, dest, chosen=True) for dest in _destinations(protocol, row, source))
            else:
                yield TransitionRow(name, source, triggers.destination(protocol, row, name))


def _destinations(protocol: Protocol, row: triggers.Trigger, source: str) -> Sequence[str]:
    phases = protocol.phase_ids
    if row.to == "adopted" or source == definition.PAUSED:
        return phases
    if source == definition.COMPLETED:
        return phases[-1:]
    if source == definition.NOT_SUITABLE:
        return (definition.REFERRED, phases[0])
    return (definition.REFERRED, *phases, definition.PAUSED)


def diagram(protocol: Protocol) -> str:
    """The protocol's states and the triggers between them, as mermaid text."""
    drawn = [
        {"trigger": row.trigger, "source": row.source, "dest": row.dest}
        for row in rows(protocol)
        if row.dest is not None and row.source != NEW
    ]
    shown = [state for state in states(protocol) if state != NEW]
    machine = GraphMachine(
        states=shown, initial=definition.REFERRED, transitions=drawn, auto_transitions=False, graph_engine="mermaid"
    )
    lines = str(machine.get_graph().source).splitlines()
    arrows = [line for line in lines if "-->" in line]  # the library also writes front matter, styles, and a title for each state
    return "\n".join(["stateDiagram-v2", "  direction LR", arrows[-1], *arrows[:-1]]) + "\n"
