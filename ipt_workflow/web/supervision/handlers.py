"""Every page of supervision."""

from ipt_workflow.web.supervision import agreements, day, emergencies, meetings

HANDLERS = (*day.HANDLERS, *agreements.HANDLERS, *meetings.HANDLERS, *emergencies.HANDLERS)
