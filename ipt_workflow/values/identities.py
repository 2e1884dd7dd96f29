"""Texts that are identities: references, people, keys. What looks alike must be alike, or one client becomes two.

An identity is in Unicode's normal form C. It has no outer space, and no character that cannot be seen. A pattern cannot say all of that,
so whatever decodes a body also asks `sound`.
"""

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any, TypeGuard

import msgspec
from msgspec import inspect

LENGTH_MAX = 128
FORMAT = "identity"  # of a JSON schema
MARK = {FORMAT: True}  # of a type: the `extra` of its Meta
KINDS = {
    "Cc": "a control character",
    "Cf": "a format character",
    "Cs": "half of a character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
    "Zs": "another space than U+0020",
}
# Letters, marks and symbols that nothing shows: joiners, fillers and selectors of variants (Default_Ignorable_Code_Point)
UNSEEN = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)})
UNSEEN_PLANE = range(0xE0000, 0xE1000)
Sound = Callable[[Any], bool]


def identity_fault(text: str) -> str | None:
    """What keeps a text from being an identity, and what would be right. None if nothing does."""
    if text.isascii() and text.isprintable():
        return "must not begin or end with a space" if text != text.strip() else None
    for place, character in enumerate(text, start=1):
        if kind := _kind(character):
            return f"must not have {kind}: remove U+{ord(character):04X} at place {place}"
    if text != text.strip():
        return "must not begin or end with a space"
    if not unicodedata.is_normalized("NFC", text):
        return "must be in Unicode's normal form C (NFC), in which a letter and its accents are one character if there is one"
    return None


def _kind(character: str) -> str | None:
    """What kind of character that an identity must not have this is; None if it may have it."""
    if character == " ":
        return None
    if ord(character) in UNSEEN or ord(character) in UNSEEN_PLANE:
        return "a character that cannot be seen"
    return KINDS.get(unicodedata.category(character))


def sound(decoded: msgspec.Struct) -> bool:
    """Whether every identity in a decoded Struct is one."""
    check = _of_struct(type(decoded))
    return check is None or check(decoded)


@cache
def _of_struct(struct: type[msgspec.Struct]) -> Sound | None:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    checks = [(field.name, check) for field in info.fields if (check := _of(field.type))]
    if not checks:
        return None
    absent = (None, msgspec.UNSET)
    return lambda value: all(getattr(value, name) in absent or check(getattr(value, name)) for name, check in checks)


def _of(info: inspect.Type) -> Sound | None:
    """The check of a type's values; None if it holds no identity."""
    if isinstance(info, inspect.Metadata):
        return _is_sound if (info.extra or {}).get(FORMAT) else _of(info.type)
    if isinstance(info, inspect.UnionType):
        return _of_union(info)
    if isinstance(info, inspect.VarTupleType):
        item = _of(info.item_type)
        return (lambda value: all(map(item, value))) if item else None
    if isinstance(info, inspect.DictType):
        return _of_dict(info)
    return _of_struct(info.cls) if isinstance(info, inspect.StructType) else None


def _of_dict(info: inspect.DictType) -> Sound | None:
    key, item = _of(info.key_type), _of(info.value_type)
    if key is None and item is None:
        return None
    return lambda value: (key is None or all(map(key, value))) and (item is None or all(map(item, value.values())))


def _of_union(info: inspect.UnionType) -> Sound | None:
    """`X | None`: the only unions whose `X` holds identities."""
    checks = [check for each in info.types if (check := _of(each))]
    if not checks:
        return None
    (check,) = checks
    return check


def _is_sound(text: str) -> bool:
    return identity_fault(text) is None


def is_identity(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= LENGTH_MAX and _is_sound(value)
