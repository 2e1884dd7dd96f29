"""The structural form of a payload, which the journal hashes.

Structural fields stay as they are. A sealed field that was given becomes `true`. That is enough for every gate, and leaves nothing to
erase. References to the client are left out.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

Project = Callable[[Any], Any]


def structural(payload: msgspec.Struct) -> dict[str, Any]:
    """The structural form of a payload, in JSON types. Fields at their defaults are left out."""
    projected: dict[str, Any] = _projection(type(payload))(msgspec.to_builtins(payload))
    return projected


@cache
def _projection(struct: type[msgspec.Struct]) -> Project:
    return _project_struct(inspect.type_info(struct))


def _project_struct(info: inspect.Type) -> Project:
    assert isinstance(info, inspect.StructType)
    fields = {field.encode_name: _project(field.type) for field in info.fields}

    def project(value: dict[str, Any]) -> dict[str, Any]:
        kept = {name: fields[name](item) for name, item in value.items() if item is not None}
        return {name: item for name, item in kept.items() if item is not _LEFT_OUT}

    return project


def _project(info: inspect.Type) -> Project:
    if isinstance(info, inspect.Metadata):
        if (info.extra or {}).get("sealed"):
            return _given
        if (info.extra or {}).get("reference"):
            return _left_out
        return _project(info.type)
    if isinstance(info, inspect.UnionType):
        return _project_optional(info)
    if isinstance(info, inspect.VarTupleType):
        item = _project(info.item_type)
        return lambda value: [item(each) for each in value]
    if isinstance(info, inspect.StructType):
        return _project_struct(info)
    return _as_is


def _project_optional(info: inspect.UnionType) -> Project:
    """`X | None`: the only unions payloads have."""
    (inner,) = (each for each in info.types if not isinstance(each, inspect.NoneType))
    return _project(inner)


_LEFT_OUT = object()


def _as_is(value: Any) -> Any:
    return value


def _given(_value: Any) -> bool:
    return True


def _left_out(_value: Any) -> object:
    return _LEFT_OUT
