"""A walk of the course that follows another one."""

from typing import Any

import msgspec

from ipt_workflow.course.triggers import Command
from ipt_workflow.machine import machine_for
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.courses import followup
from support.course_walk import Walk, replaced


def opened_after(walk: Walk, protocol: Protocol, **more: Any) -> Walk:
    """Fires `open_followup` on a walk, as the service does. Returns the walk of the course that it opens."""
    walk.target = protocol
    body = msgspec.convert(walk.body("open_followup", data={"protocol": protocol.id}, **more), Command)
    context = replaced(walk.context(trigger="open_followup"), course_id="course-2")
    accepted = machine_for(walk.protocol).fire(walk.c, body, context)
    walk.target = None
    walk.keep(accepted)
    later = Walk(protocol)
    later.now = walk.now
    later.keep(followup(accepted, context))
    return later
