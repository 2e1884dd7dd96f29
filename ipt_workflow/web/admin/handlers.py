"""Every page of the administration."""

from ipt_workflow.web.admin import cover, organisation, people, programs, protocols, sources, subscriptions

HANDLERS = (
    *organisation.HANDLERS,
    *people.HANDLERS,
    *cover.HANDLERS,
    *programs.HANDLERS,
    *sources.HANDLERS,
    *subscriptions.HANDLERS,
    *protocols.HANDLERS,
)
