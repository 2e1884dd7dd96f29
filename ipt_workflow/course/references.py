"""References within one request: in `together`, a command may name the entry of an earlier command by its place.

`{"session": {"together": 0}}` names the session that the first command records. Its number is known before anything is decided, since
the nth command makes the nth entry. So a reference becomes a number here, and neither rules nor journal ever see one. A payload's type
says which of its fields name an entry, and of which trigger (`values.types`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from ipt_workflow.course.context import Context
from ipt_workflow.course.course import Course
from ipt_workflow.course.triggers import Command, row_of
from ipt_workflow.errors import Fault

PLACE = "together"
FORMULATION = "record_formulation"  # named by its version, not by the seq of its entry
ANY_NUMBER = 1


def resolve(commands: Sequence[Command], index: int, course: Course | None, context: Context) -> tuple[Command, list[Fault]]:
    """One of the commands with numbers in place of its references, and the faults of those that name nothing."""
    command = commands[index]
    naming = naming_fields(command.trigger)
    references = {name: trigger for name, trigger in naming.items() if isinstance(command.data.get(name), dict)} if naming else {}
    if not references:
        return command, []
    numbers: dict[str, int] = {}
    faults: list[Fault] = []
    for name, trigger in references.items():
        place = _place(command.data[name])
        problem = _problem(commands, index, place, trigger)
        if problem or place is None:
            faults.append(Fault(f"data.{name}", problem))
            numbers[name] = ANY_NUMBER  # so that the other fields are checked too
        else:
            numbers[name] = _number(commands, place, course, context)
    return msgspec.structs.replace(command, data={**command.data, **numbers}), faults


def numbered(trigger: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a command with any number in place of its references, to check its other fields."""
    return {**data, **{name: ANY_NUMBER for name in naming_fields(trigger) if isinstance(data.get(name), dict)}}


@cache
def naming_fields(trigger: str) -> dict[str, str | None]:
    """The fields of a trigger's data that name an entry, each with the trigger of that entry; None if it must be recorded already."""
    row = row_of(trigger)
    info = inspect.type_info(row.payload) if row else None
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    extras = {field.encode_name: field.type.extra or {} for field in fields if isinstance(field.type, inspect.Metadata)}
    return {name: extra["names"] for name, extra in extras.items() if "names" in extra}


def _place(given: Mapping[str, Any]) -> int | None:
    """The place in a reference; None if this is not one."""
    place = given.get(PLACE)
    return place if len(given) == 1 and type(place) is int else None


def _problem(commands: Sequence[Command], index: int, place: int | None, trigger: str | None) -> str:
    """Why a reference names no entry; empty if it names one."""
    if place is None:
        return 'must be a number, or {"together": n} with the place of an earlier command, counted from 0'
    if len(commands) == 1:
        return "must be a number: a command that is fired by itself has no others to refer to"
    if not 0 <= place < len(commands):
        return f"must name one of the commands together[0] to together[{len(commands) - 1}]"
    if place == index:
        return "must not name its own command; name an earlier one"
    if place > index:
        return f"must name an earlier command; put together[{place}] before this one"
    if trigger is None:
        return f"must be the number of a recorded entry; change together[{place}] itself instead"
    return "" if commands[place].trigger == trigger else f"must name a {trigger}; together[{place}] is another trigger"


def _number(commands: Sequence[Command], place: int, course: Course | None, context: Context) -> int:
    """The seq of the entry that a command will make, or for a formulation its version."""
    if commands[place].trigger == FORMULATION:
        return _version(commands, place, course, context)
    return (course.version if course else 0) + 1 + place


def _version(commands: Sequence[Command], place: int, course: Course | None, context: Context) -> int:
    """The version of a formulation: versions are counted in the order in which the formulations happened, ties by place."""

    def order(index: int) -> tuple[dt.datetime, int]:
        return commands[index].occurred_at or context.now, index

    recorded = [fact.data["version"] for fact in context.history if fact.trigger == FORMULATION]
    new = sorted((index for index, each in enumerate(commands) if each.trigger == FORMULATION), key=order)
    latest: int = max([course.formulations if course else 0, *recorded])
    return latest + 1 + new.index(place)
