"""A protocol's definition value by value, each with its sources, and what differs between two definitions.

A range counts as one value, and so does a list of names. Phases, rules and measures are known by their names, not by their places: one
that moves is not another one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from ipt_workflow.protocols.definition import Bounds
from ipt_workflow.protocols.instruments import Evidence

NAMED_BY = {"phases": "id", "rules": "rule", "measures": "aim"}  # lists of tables, and the key by which their tables are known
BOUNDS = frozenset(Bounds.__struct_fields__)
UNSTATED = frozenset({"id", "version", "evidence"})  # the name of a definition, and the sources themselves


class Statement(msgspec.Struct, frozen=True):
    """One value of a definition. `key` is its path (`phases[initial].sessions_min`), `place` names it without what it belongs to.

    `within` are the tables around it, the outermost first. `sources` name where the value comes from, the nearest last.
    """

    key: str
    within: tuple[str, ...]
    place: str
    value: Any
    sources: tuple[Evidence, ...] = ()


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What differs in one value. `kind` is `source` if the value is the same, and its sources are not."""

    key: str
    kind: Literal["added", "removed", "changed", "source"]
    before: Statement | None
    after: Statement | None


def statements(definition: Mapping[str, Any]) -> list[Statement]:
    """Every value of a definition as its file writes it, in the order of the file."""
    evidence = msgspec.convert(definition.get("evidence", ()), tuple[Evidence, ...])
    top = {name: value for name, value in definition.items() if name not in UNSTATED}
    return [*_values(top, (), "", evidence)]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """What differs between two definitions: in the order of the new one, then what it no longer has."""
    before, after = ({each.key: each for each in statements(definition)} for definition in (old, new))
    found = [_difference(before.get(key), statement) for key, statement in after.items()]
    found += [_difference(statement, None) for key, statement in before.items() if key not in after]
    return [each for each in found if each is not None]


def _difference(before: Statement | None, after: Statement | None) -> Difference | None:
    known = after or before
    assert known is not None
    if before is None or after is None:
        return Difference(key=known.key, kind="removed" if after is None else "added", before=before, after=after)
    if before.value != after.value:
        return Difference(key=known.key, kind="changed", before=before, after=after)
    said = [[(each.source, each.confidence) for each in side.sources] for side in (before, after)]
    return None if said[0] == said[1] else Difference(key=known.key, kind="source", before=before, after=after)


def _values(table: Mapping[str, Any], within: tuple[str, ...], path: str, evidence: Sequence[Evidence]) -> Iterator[Statement]:
    """The values of a table. `path` is where it is in the file, with numbers, as the sources name it."""
    for name, value in table.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and not value.keys() <= BOUNDS:
            yield from _values(value, (*within, name), here, evidence)
        elif name in NAMED_BY and isinstance(value, Sequence):
            for number, each in enumerate(value):
                inner = {key: found for key, found in each.items() if key != NAMED_BY[name]}
                owner = f"{name}[{each[NAMED_BY[name]]}]"
                yield from _values(inner or {"": True}, (*within, owner), f"{here}[{number}]", evidence)
        else:
            yield Statement(_key(within, name), within, name, value, _sources(here, evidence))


def _key(within: tuple[str, ...], name: str) -> str:
    return ".".join((*within, name) if name else within)


def _sources(path: str, evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """The nearest source of what is around a value and of the value itself, and those of its parts."""
    around = [each for each in evidence if each.key == path or path.startswith((f"{each.key}.", f"{each.key}["))]
    inside = [each for each in evidence if each.key.startswith((f"{path}.", f"{path}["))]
    nearest = [max(around, key=lambda each: len(each.key))] if around else []
    return (*nearest, *inside)
