"""Finds a positive answer about self-harm in a notice of our own types, as far as it can be read."""

from collections.abc import Mapping

import msgspec

from ipt_workflow.protocols.instruments import Instrument


def of_body(body: bytes, instruments: Mapping[str, Instrument]) -> bool:
    """Whether an answer about self-harm is positive, or cannot be read. Reads as far as possible, even in a faulty notice."""
    try:
        data = msgspec.json.decode(body)["data"]
        name, items = data["instrument"], data["items"]
        known = [each for key, each in instruments.items() if name in {each.id, key} and each.risk_item]
        return any(_is_risk(items[each.risk_item - 1], each) for each in known if each.risk_item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return False


def _is_risk(answer: object, instrument: Instrument) -> bool:
    if answer is None:
        return False
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return True
    return answer >= instrument.risk_threshold
