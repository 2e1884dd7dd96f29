"""Walks a course with a client that openapi-python-client makes of the document, and prints what it saw."""

import json
import os
import sys

from generated import AuthenticatedClient
from generated.api.audit import audit_log
from generated.api.courses import courses_open_course, courses_options
from generated.api.transitions import transitions_fire, transitions_history
from generated.models import (
    AuditList,
    Command,
    EntryList,
    ForbiddenProblem,
    InvalidProblem,
    Opened,
    Opening,
    OpeningData,
    Options,
    Preview,
    StaleVersionProblem,
    Together,
    TransitionRefusedProblem,
)

URL = os.environ["URL"]
therapist = AuthenticatedClient(base_url=URL, token=os.environ["THERAPIST"])
auditor = AuthenticatedClient(base_url=URL, token=os.environ["AUDITOR"])
data = OpeningData.from_dict({"source": "General practitioner", "indication": "depression"})
opened = courses_open_course.sync(client=therapist, body=Opening(client_ref="PYTHON-1", protocol="ipt", data=data))
assert isinstance(opened, Opened), opened
course = opened.course.id


def fire(body: Command, version: int):
    return transitions_fire.sync(course, client=therapist, body=body, if_match=f'"{version}"')


def example(trigger: str, fields: dict) -> Command:
    options = courses_options.sync(course, client=therapist)
    assert isinstance(options, Options), options
    option = next(each for each in options.items if each.trigger == trigger)
    return Command.from_dict({**option.example.to_dict(), **fields})


# A refusal is a typed problem.
refused = fire(example("start", {}), 1)
assert isinstance(refused, TransitionRefusedProblem), refused

version, state = 1, ""
for trigger, fields in json.loads(os.environ["STEPS"]):
    fired = fire(example(trigger, fields), version)
    assert isinstance(fired, Opened), (trigger, fired)
    version, state = fired.course.version, fired.course.state

stale = fire(Command.from_dict({"trigger": "note", "data": {"text": "x"}}), 1)
assert isinstance(stale, StaleVersionProblem), stale
invalid = fire(Command.from_dict({"trigger": "note", "data": {"text": 7}}), version)
assert isinstance(invalid, InvalidProblem), invalid
held = {"trigger": "record_session", "data": {"attendance": "5"}, "override": {"rules": ["overlaps_session"], "reason": "x"}}
signed = {"trigger": "sign_session", "data": {"session": {"together": 0}}}
evening = transitions_fire.sync(
    course, client=therapist, body=Together.from_dict({"together": [held, signed]}), if_match=f'"{version}"', dry_run=True
)
assert isinstance(evening, Preview), evening
history = transitions_history.sync(course, client=therapist, limit=200)
assert isinstance(history, EntryList), history
audit = audit_log.sync(client=auditor, course=course, kind="refusal")
assert isinstance(audit, AuditList), audit
denied = audit_log.sync(client=therapist)
assert isinstance(denied, ForbiddenProblem), denied

sys.stdout.write(
    json.dumps(
        {
            "rules": [each.rule for each in refused.refusals],
            "remedy": refused.refusals[0].remedies[0].trigger,
            "state": state,
            "version": version,
            "stale": stale.version,
            "invalid": [each.where for each in invalid.errors],
            "evening": evening.option.allowed,
            "history": [each.trigger for each in history.items],
            "audit": [each.rules for each in audit.items],
            "denied": denied.type_,
        }
    )
)
