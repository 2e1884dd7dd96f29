"""Measures deciding a command by all its rules and sealing the entry, without HTTP and database, in a process of its own.

python -m bench.fire < {snapshot, head, commands: {trigger: body}, rounds} > {trigger: [microseconds, …]}
"""

import datetime as dt
import json
import secrets
import sys
import time
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow import journal
from ipt_workflow.course import Course
from ipt_workflow.course.rules import KNOWN_RULES, Actor, Context
from ipt_workflow.course.triggers import Command
from ipt_workflow.machine import Accepted, decide
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.runtime import settings

TIMES = 2000


def once(protocol: Protocol, course: Course, head: str, command: Command, context: Context) -> journal.Entry:
    answer = decide(protocol, course, command, context)
    assert isinstance(answer, Accepted), answer
    return journal.seal(
        answer.drafts[0],
        organisation="default",
        entry_id=course.id,
        prev_hash=head,
        salt=secrets.token_bytes(journal.SALT_BYTES),
    )


def microseconds(protocol: Protocol, course: Course, head: str, command: Command, context: Context) -> float:
    """The mean of one round."""
    started = time.perf_counter()
    for _ in range(TIMES):
        once(protocol, course, head, command, context)
    return (time.perf_counter() - started) / TIMES * 1e6


def main() -> None:
    job = json.load(sys.stdin)
    configuration = settings.load({})
    catalogue = protocol_files.load_catalogue(configuration.protocols, configuration.instruments, KNOWN_RULES)
    course = msgspec.json.decode(job["snapshot"], type=Course)
    protocol = catalogue.get(course.protocol, course.protocol_version)
    now = dt.datetime.now(dt.UTC)
    context = Context(now=now, actor=Actor(course.therapist or "", "therapist", "api"), zone=ZoneInfo("UTC"))
    commands = {trigger: msgspec.convert(body, Command) for trigger, body in job["commands"].items()}
    for command in commands.values():
        once(protocol, course, job["head"], command, context)
    rounds = [
        {name: microseconds(protocol, course, job["head"], command, context) for name, command in commands.items()}
        for _ in range(job["rounds"])
    ]
    json.dump({name: [each[name] for each in rounds] for name in commands}, sys.stdout)


if __name__ == "__main__":
    main()
