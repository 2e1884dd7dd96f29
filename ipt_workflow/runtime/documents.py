"""Reads documents that others wrote: JSON and TOML of limited depth. Whatever is wrong with one is said in words."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ipt_workflow.errors import CommandMalformed

TOML_BYTES_MAX = 262_144
DEPTH_MAX = 256
TOO_DEEP = f"nested more than {DEPTH_MAX} deep"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def json_value(raw: bytes) -> Any:
    """The value of a JSON document. Raises CommandMalformed, whose text goes on after `The body`, or the name of an option."""
    if raw.startswith(BYTE_ORDER_MARK):
        raise CommandMalformed("begins with a byte order mark: save it as UTF-8 without one")
    try:
        value = msgspec.json.decode(raw)
    except RecursionError:
        raise CommandMalformed(f"is not JSON: it is {TOO_DEEP}") from None
    except UnicodeDecodeError as error:
        raise CommandMalformed(f"is not JSON: it is not UTF-8 at byte {error.start + 1} of a text") from None
    except msgspec.DecodeError as error:
        raise CommandMalformed(f"is not JSON: {error}") from None
    if raw.count(b"{") + raw.count(b"[") > DEPTH_MAX and too_deep(value):
        raise CommandMalformed(f"is not JSON: it is {TOO_DEEP}")
    return value


def toml_table(path: Path) -> dict[str, Any]:
    """The table in a TOML file. Raises OSError if it cannot be read, ValueError if it is no such table."""
    with path.open("rb") as file:
        raw = file.read(TOML_BYTES_MAX + 1)
    if len(raw) > TOML_BYTES_MAX:
        raise ValueError(f"it has more than {TOML_BYTES_MAX} bytes")
    if raw.startswith(BYTE_ORDER_MARK):
        raise ValueError("it begins with a byte order mark: save it as UTF-8 without one")
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"it is {TOO_DEEP}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start + 1}") from None
    if too_deep(table):
        raise ValueError(f"it is {TOO_DEEP}")
    return table


def too_deep(value: Any) -> bool:
    """Whether a value nests tables and lists more than DEPTH_MAX deep."""
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        tables = (each.values() for each in level if isinstance(each, dict))
        lists = (each for each in level if isinstance(each, list))
        level = [inner for each in (*tables, *lists) for inner in each if isinstance(inner, dict | list)]
        if not level:
            return False
    return True
