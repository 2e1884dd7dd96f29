"""Rows as Structs: a field of the Struct for each selected column, under the same name."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

Stored = TypeVar("Stored", bound=msgspec.Struct)


def columns(table: sa.Table, kind: type[msgspec.Struct]) -> list[sa.Column[Any]]:
    """The columns of a table that a Struct has fields for."""
    return [table.c[name] for name in kind.__struct_fields__]


def read_all(
    connection: sa.Connection, statement: sa.Select[Any], kind: type[Stored], values: Mapping[str, Any] | None = None
) -> list[Stored]:
    """What a statement selects. `values` are those of its parameters."""
    return [kind(**row) for row in connection.execute(statement, values).mappings()]


def read_first(
    connection: sa.Connection, statement: sa.Select[Any], kind: type[Stored], values: Mapping[str, Any] | None = None
) -> Stored | None:
    row = connection.execute(statement, values).mappings().first()
    return kind(**row) if row else None


def row_of(organisation: str, stored: msgspec.Struct) -> dict[str, Any]:
    """The row to insert for a Struct."""
    return {"organisation": organisation, **msgspec.structs.asdict(stored)}
