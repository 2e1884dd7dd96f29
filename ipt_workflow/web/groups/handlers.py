"""Every page of groups."""

from ipt_workflow.web.groups import members, register, sessions

HANDLERS = (*register.HANDLERS, *sessions.HANDLERS, *members.HANDLERS)
