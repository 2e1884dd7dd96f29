"""Words of the pages about protocols: what a value, a difference, a source's weight and the end of a move are called."""

from collections.abc import Mapping
from typing import Any

from ipt_workflow.web.language import _, noted

CONFIDENCE = {
    "seed": noted("given at the start"),
    "found": noted("read in the source"),
    "memory_high": noted("from memory, sure"),
    "memory_medium": noted("from memory, to be checked"),
    "memory_low": noted("from memory, unsure"),
    "design": noted("decided here"),
}
DIFFERENCES = {
    "added": noted("new"),
    "removed": noted("taken away"),
    "changed": noted("changed"),
    "source": noted("same value, another source"),
}
KINDS = {
    "carries_over": noted("Everything carries over"),
    "new_gaps": noted("Something more is needed"),
    "stuck": noted("Cannot move"),
}
BECAME = {
    "moved": noted("moved"),
    "there_already": noted("was there already"),
    "stuck": noted("cannot move"),
    "conflict": noted("changed meanwhile: try again"),
    "refused": noted("refused"),
    "ended": noted("has ended"),
    "other_protocol": noted("has another protocol"),
    "unknown": noted("is not known, or none that you may see"),
}


def value_text(value: Any) -> str:
    """A value of a definition as one reads it."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, Mapping):
        least, most = value.get("min"), value.get("max")
        return str(least) if least == most else _("%(least)s to %(most)s", least=least, most=most)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
