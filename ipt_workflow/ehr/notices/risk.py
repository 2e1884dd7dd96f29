"""Tells when a measure counts as risk: by the answer about self-harm, by an answer that cannot be read, or by the total.

The FHIR reader and the notices of our own types share these rules.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.protocols.instruments import Instrument

IMPLIED = "The total can only be reached with a positive answer about self-harm, which was not sent. Assess that risk, then retry."
_SHORT = re.compile(r"\(([^()]*)\)")
_NO_WORD = re.compile(r"[^a-z0-9]")


def is_implied(instrument: Instrument, items: Sequence[int | None] | None, total: float | None) -> bool:
    """Whether the total is too high for an answer to the risk item below the threshold. `items` is None if no answer was sent."""
    item = instrument.risk_item
    if total is None or item is None or not instrument.summed:
        return False
    items = items or [None] * instrument.items
    if items[item - 1] is not None:
        return False
    others = [each for index, each in enumerate(items, start=1) if index != item]
    most = sum(instrument.item_max if each is None else each for each in others)
    return total - most >= instrument.risk_threshold


def assessed(content: NoticeContent, body: bytes, instruments: Mapping[str, Instrument]) -> NoticeContent:
    """The content of a notice of our own types with its risk. It is read as far as possible, even in a faulty notice."""
    data = _data(body)
    name, items, total = data.get("instrument"), data.get("items"), data.get("total")
    known = [each for each in instruments.values() if each.risk_item and isinstance(name, str) and _is_called(each, name)]
    risk = any(_is_positive(each, items) for each in known)
    implied = not risk and any(is_implied(each, _readable(each, items), _number(total)) for each in known)
    waits = IMPLIED if implied and content.trigger == "record_measure" else content.needs_person
    return msgspec.structs.replace(content, risk=risk or implied, needs_person=waits)


def _data(body: bytes) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(body)["data"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return {}
    return data if isinstance(data, dict) else {}


def _is_called(instrument: Instrument, name: str) -> bool:
    """Whether a name is a print of the scale's: `phq9@1`, `PHQ-9`, `Patient Health Questionnaire 9`."""
    plain = _plain(name.partition("@")[0])
    shorts = _SHORT.findall(instrument.title)
    title = _plain(_SHORT.sub("", instrument.title))
    ends = {"", *(_plain(short) for short in shorts), *(re.sub(r"\D", "", short) for short in shorts)}
    return plain.startswith((_plain(instrument.id), *map(_plain, shorts))) or plain in {title + end for end in ends}


def _plain(name: str) -> str:
    return _NO_WORD.sub("", name.casefold())


def _is_positive(instrument: Instrument, items: object) -> bool:
    """Whether the answer about self-harm is positive or cannot be read. So are all answers that do not fit the scale's questions."""
    if not items:
        return items is not None and not isinstance(items, list | dict)
    if not isinstance(items, list) or len(items) != instrument.items:
        return True
    answer = items[(instrument.risk_item or 1) - 1]
    number = _number(answer)
    if number is None:
        return answer is not None
    return number >= instrument.risk_threshold or number < instrument.item_min


def _readable(instrument: Instrument, items: object) -> list[int | None] | None:
    """The answers as far as they are numbers of the scale; None if no answer fits its questions."""
    if not isinstance(items, list) or len(items) != instrument.items:
        return None
    numbers = [_number(each) for each in items]
    low, high = instrument.item_min, instrument.item_max
    return [each if each is not None and low <= each <= high else None for each in numbers]


def _number(value: object) -> int | None:
    """A whole number; None for everything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
