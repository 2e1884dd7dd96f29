"""What the service finds wrong with what was sent, as faults of the form's fields and in the words of the pages."""

import re
from collections.abc import Iterable

from ipt_workflow.errors import Fault
from ipt_workflow.web.forms import FieldFault, Pairs, name_of
from ipt_workflow.web.language import gettext, noted, reader

REMOVED = noted("Records of that time are removed. Enter a later time.")
TOO_EARLY = noted("This lies before the course was opened.")
KEY_SET = noted('This is no set of public keys (JWKS), in the form {"keys": […]}.')
KEY = noted("A key cannot be used. Give RSA keys of 2048 to 8192 bits or EC keys on the curve P-384, each with a kid of its own.")
ADDRESS = noted("This is no address that can be called. Write one such as https://example.org/path.")
FORBIDDEN_ADDRESS = noted("This service may not call this address. Use a public one, or ask the operator to allow its network.")
EVENT = noted("There is no such event. Take its number from the list of deliveries.")
SECRET = noted("This is no secret that can be used. Write one that begins with whsec_, or leave it empty.")
PERSON = noted("Choose somebody else: this person cannot take this on.")
# The service's messages speak of JSON. Those that a form can meet are said again here; the numbers in them are kept. The first that fits counts.
SENTENCES: tuple[tuple[str, str], ...] = (
    # a course
    (r"is required for an acute risk", noted("Fill this in: the risk is acute.")),
    (r"is required for an additional session", noted("Say why the session is an additional one.")),
    (r"is required for a measure that could not be obtained", noted("Say why it could not be obtained.")),
    (r"is required for \w+", noted("Give the reason.")),
    (r"is only for the scope sharing", noted("Leave this empty: purposes belong to the consent to share alone.")),
    (r"is required with end code \d+", noted("Fill this in for an ending of this kind.")),
    (r"is required", noted("Fill this in.")),
    (r"must have exactly one of items, total and not_obtained", noted("Give either the answers, or the total, or tick that it could not be obtained.")),
    (r"must name each of the (?P<number>\d+) sessions", noted("Give one number for each of the %(number)s sessions, or none.")),
    (r"must be named once", noted("Name each one once.")),
    (r"must not be more than \d+ s ahead.*|lies ahead", noted("This lies in the future. Enter a time that has passed.")),
    (r"must not be before the course was opened.*|lies before the course was opened.*", TOO_EARLY),
    (r"must lie in the years (?P<first>\d+) to (?P<last>\d+)", noted("Enter a year from %(first)s to %(last)s.")),
    (r"must be a day of the week from (?P<first>\S+) to (?P<last>\S+), each once", noted("Enter a day from %(first)s to %(last)s, each once.")),
    (r"must have activities of \w+ only: .*", noted("Choose activities of this form alone.")),
    (r"must lie from (?P<least>\S+) to (?P<most>\S+) for \S+", noted("Enter a number from %(least)s to %(most)s.")),
    (r"must be a whole number for \S+", noted("Enter a whole number.")),
    (r"must be a multiple of (?P<step>\S+) for \S+", noted("Enter a multiple of %(step)s.")),
    (r"must have (?P<number>\d+) answers for .*", noted("Give %(number)s answers, with a dash for one that is missing.")),
    (r".* is not a sum of answers: send data.total instead", noted("Give the total: this scale takes no single answers.")),
    (r"happened too early: .*", noted("Something of this happened before the other course was opened. Choose the right course.")),
    (r"entry \d+: .*", noted("Something of this does not fit the other course. Choose the right course.")),
    (r"must have either void: true, or data or occurred_at", noted("Say what was different, or that it never happened.")),
    (r"\w+ needs no co-signature here; fire it instead", noted("This needs no agreement. Record it.")),
    (r"cannot be proposed; .*", noted("A supervisor agrees to one step at a time.")),
    # people, and who stands in for whom
    (r"is the id of a person already; .*", noted("This id is taken. An id is never given to another person.")),
    (r"is the person; name somebody else", noted("This is the person themselves. Choose somebody else.")),
    (r"has left already", noted("This person has left already.")),
    (r"has not left", noted("This person has not left.")),
    (r"must be an IANA time zone .*", noted("There is no such time zone. Write one such as Europe/Berlin.")),
    (r"names a person who .*", PERSON),
    (r"names nobody .*", noted("Choose somebody who works here.")),
    (r"is also one of the supervisees; .*", noted("The supervisor is also one of the supervisees. Choose another supervisor.")),
    (r"names a course for the second time; .*", noted("Name each one once.")),
    (r"must be somebody whom you supervise; .*", noted("You do not supervise this person. Ask their supervisor or an administrator.")),
    (r"is no course of the therapist; .*", noted("This is no course of the therapist's own. Cover is for those alone.")),
    (r"must be another person than the therapist", noted("Choose somebody else than the therapist.")),
    (r"must be you: .*", noted("Choose yourself. A supervisor or an administrator arranges cover for others.")),
    (r"lies in the past; leave it out to begin now", noted("This lies in the past. Leave it empty to begin now.")),
    (r"lies in the past", noted("This lies in the past. Enter a day that is still to come.")),
    (r"must come after `from`", noted("The end must come after the beginning.")),
    (r"must come at most (?P<days>\d+) days after `from`; .*", noted("Cover lasts at most %(days)s days. For longer, transfer the courses.")),
    (r"makes more than (?P<days>\d+) days of cover without a break: .*", noted("This makes more than %(days)s days of cover without a break. Ask a supervisor to arrange it.")),
    # groups
    (r"lacks the member .*|has no attendance", noted("Say for every member whether they were there.")),
    (r"was no member of the group then|is no member of this session", noted("Somebody named here was no member of the group then.")),
    (r"is no session of the group", noted("The group has no such session.")),
    (r"must name at least one therapist", noted("Choose at least one therapist.")),
    (r"must name each therapist once", noted("Name each one once.")),
    (r"must name you; only .*", noted("Choose yourself too: only a supervisor makes a group without being in it.")),
    (r"\S+ is not for groups: .*", noted("This form of IPT is not for groups. Choose another.")),
    (r"is no course that you may see", noted("There is no such course, or none that you may see.")),
    (r"has nothing left to sign for .*", noted("Nothing is left to sign. Look at the group.")),
    # programs, and what they send and get
    (r"is allowed only with the role ehr", noted("Leave this empty: only an EHR has a source.")),
    (r"names no source; .*", noted("There is no such source. Choose one that exists.")),
    (r"is the name of (another source|groups' records in the inbox); .*|is taken by another system, .*", noted("This name is taken. Choose another.")),
    (r"must be scopes such as .*", noted("Write scopes such as system/*.rs or system/Encounter.r.")),
    (r"must be 1 to (?P<number>\d+) scopes", noted("Give 1 to %(number)s scopes.")),
    (r"or jwks_url is needed, and not both", noted("Give either public keys or their address, and not both.")),
    (r"must be a JSON Web Key Set: .*", KEY_SET),
    (r"holds a private or shared key\. .*", noted("A key here is private. Withdraw it, make a new one, and give its public part alone.")),
    (r"must have a (different )?kid .*|must have the (use|alg) .*|must be an RSA key, .*|must have \d+ to \d+ bits|is no public key .*", KEY),
    (r"must begin with https://", noted("The address must begin with https://.")),
    (r"must have at most \d+ visible ASCII .*|must be a URL; .*|must not hold a user, .*|must hold a host name .*|must hold brackets .*", ADDRESS),
    (r"must use port (?P<ports>[\d or]+)", noted("The address must use the port %(ports)s.")),
    (r"(holds|is at) an address that .*", FORBIDDEN_ADDRESS),
    (r"must be .*, or `course\.` with a trigger's name", noted("Choose kinds of events that there are.")),
    (r"needs the scope \S+, because .*", noted("The name of this kind of event can disclose clinical facts. Choose the wider contents, or leave it out.")),
    (r"names no course of this organisation", noted("There is no such course in your organisation.")),
    (r"is disabled, and nothing is sent; .*", noted("Nothing is sent while this is stopped. Resume it first.")),
    (r"must hold either since or first", noted("Give either the time or the first event, and not both.")),
    (r"names no event; .*", EVENT),
    (r"must not be before \S+: older records are removed; .*", REMOVED),
    (r"(after whpk_ |after whsec_ |after whsk_ )?a key must .*|after wh\w+_ a key must .*|the two halves of .*|is a private key; .*", SECRET),
    (r"names the version that the courses have; .*", noted("The courses have this version already. Choose another.")),
    (r"names a version whose file is gone, .*", noted("The file of this version is gone. Choose another.")),
    # how long data is kept
    (r"must be longer than nothing", noted("Enter a period that is longer than nothing, such as P10Y.")),
    (r"must be [a-z_ 0-9]+, for .*", noted("This is not what such a policy counts from. Choose another.")),
    (r"is that of a policy in force: .*", noted("A policy of this name is in force. End it first, or choose another name.")),
    (r"contradicts (?P<name>\S+): .*", noted("This contradicts the policy %(name)s: what must be kept cannot be gone before.")),
    (r"belongs to the decision to keep", noted("Leave this empty: it is for a record that is kept.")),
    (r"is needed to keep a record .*", noted("Say why it is kept.")),
    (r"must be a day from today on, .*", noted("Enter the last day for which it is kept: a day to come, at most 30 years ahead.")),
    (r"is needed: a policy in force counts from .*", noted("Enter the date of birth: a policy counts from the 18th birthday.")),
    (r"must be a day before today", noted("Enter a day that has passed.")),
    (r"is not due: .*", noted("This month is not due.")),
    (r"stays for now\. .*", noted("This month stays for now. Look at the list.")),
    # any value
    (r"must not be empty", noted("Fill this in.")),
    (r"must have at most (?P<most>\d+) characters", noted("Write at most %(most)s characters.")),
    (r"must have at least (?P<least>\d+) characters", noted("Write at least %(least)s characters.")),
    (r"must have at most (?P<most>\d+) items?", noted("Give at most %(most)s.")),
    (r"must have at least (?P<least>\d+) items?", noted("Give at least %(least)s.")),
    (r"must be at least (?P<least>[\d.-]+)", noted("Enter %(least)s or more.")),
    (r"must be at most (?P<most>[\d.-]+)", noted("Enter %(most)s or less.")),
    (r"must be a date .*", noted("Enter a day such as 2026-03-01.")),
    (r"must not begin or end with a space|must not have .*: remove .*|must be in Unicode's normal form C .*|must match .*", noted("Use letters and digits as they are usually typed, without a space at either end.")),
    (r"is unknown; use one of .*|is not known; use one of .*", noted("Choose one.")),
    (r"must be one of .*, each once", noted("Choose one, each once.")),
    (r"must be one of .*", noted("Choose one.")),
)  # fmt: skip
OTHER = noted("This does not fit: %(message)s.")
UNFIT = noted("This does not fit. Look at it again.")


def field_faults(faults: Iterable[Fault], pairs: Pairs) -> list[FieldFault]:
    """The service's faults, each at the control that was posted."""
    return [_fault(name_of(fault.where, pairs), fault.message) for fault in faults]


def sentences(faults: Iterable[Fault]) -> list[str]:
    """The service's faults for a page without a control for each, every sentence once."""
    return list(dict.fromkeys(_fault("", each.message).text(gettext) for each in faults))


def _fault(name: str, message: str) -> FieldFault:
    """A fault in the words of the pages. A message that they do not know is repeated to those alone who read its language."""
    for pattern, sentence in SENTENCES:
        if match := re.fullmatch(pattern, message):
            return FieldFault(name, sentence, match.groupdict())
    return FieldFault(name, OTHER, {"message": message}) if reader().language == "en" else FieldFault(name, UNFIT)
