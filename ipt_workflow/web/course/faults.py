"""What the service finds wrong with a command, as faults of the form's fields and in the words of the pages."""

import re
from collections.abc import Iterable

from ipt_workflow.errors import Fault
from ipt_workflow.web.forms import FieldFault, Pairs, name_of
from ipt_workflow.web.language import noted

# The service's messages speak of JSON. Those that a form can meet are said again here; the numbers in them are kept.
SENTENCES: tuple[tuple[str, str], ...] = (
    (r"is required for an acute risk", noted("Fill this in: the risk is acute.")),
    (r"is required for an additional session", noted("Say why the session is an additional one.")),
    (r"is required for a measure that could not be obtained", noted("Say why it could not be obtained.")),
    (r"is required for \w+", noted("Give the reason.")),
    (r"is required with end code \d+", noted("Fill this in for an ending of this kind.")),
    (r"is required", noted("Fill this in.")),
    (r"must have exactly one of items, total and not_obtained", noted("Give either the answers, or the total, or tick that it could not be obtained.")),
    (r"must name each of the (?P<number>\d+) sessions", noted("Give one number for each of the %(number)s sessions, or none.")),
    (r"must be named once", noted("Name each one once.")),
    (r"must not be more than \d+ s ahead.*", noted("This lies in the future. Enter a time that has passed.")),
    (r"must lie in the years (?P<first>\d+) to (?P<last>\d+)", noted("Enter a year from %(first)s to %(last)s.")),
    (r"must be a day of the week from (?P<first>\S+) to (?P<last>\S+), each once", noted("Enter a day from %(first)s to %(last)s, each once.")),
    (r"must lie from (?P<least>\S+) to (?P<most>\S+) for \S+", noted("Enter a number from %(least)s to %(most)s.")),
    (r"must be a whole number for \S+", noted("Enter a whole number.")),
    (r"must be a multiple of (?P<step>\S+) for \S+", noted("Enter a multiple of %(step)s.")),
    (r"must have (?P<number>\d+) answers for .*", noted("Give %(number)s answers, with a dash for one that is missing.")),
    (r".* is not a sum of answers: send data.total instead", noted("Give the total: this scale takes no single answers.")),
    (r"is unknown; use one of .*", noted("Choose one.")),
    (r"must be one of .*, each once", noted("Choose one, each once.")),
    (r"names a person who .*", noted("Choose somebody else: this person cannot take this on.")),
    (r"names nobody .*", noted("Choose somebody who works here.")),
)  # fmt: skip
OTHER = noted("This does not fit: %(message)s.")


def field_faults(faults: Iterable[Fault], pairs: Pairs) -> list[FieldFault]:
    """The service's faults, each at the control that was posted."""
    return [_fault(name_of(fault.where, pairs), fault.message) for fault in faults]


def _fault(name: str, message: str) -> FieldFault:
    for pattern, sentence in SENTENCES:
        if match := re.fullmatch(pattern, message):
            return FieldFault(name, sentence, match.groupdict())
    return FieldFault(name, OTHER, {"message": message})
