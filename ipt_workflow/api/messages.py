"""What became of a source's messages, for that source."""

import msgspec
from litestar import Response, get
from litestar.params import FromQuery

from ipt_workflow.api import requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, moment, one_of, page
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.notices.messages import Messages, MessageView
from ipt_workflow.store.messages import MessageFilters
from ipt_workflow.store.schema.tables import NOTICE_STATUSES


class MessageList(msgspec.Struct, frozen=True):
    items: list[MessageView]
    next: str | None


@get("/v1/ehr/messages", summary="A source's own messages", tags=["ehr"])
async def messages(
    request: ApiRequest,
    message: FromQuery[str | None] = None,
    status: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[MessageList]:
    """What became of the messages of the source that the token is bound to, in the order they came. Never their content.

    Filters: `message` for the `webhook-id` of a notice of our own types, `status`, and `since` for those received then or later.
    """
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    filters = MessageFilters(status=one_of("status", status, NOTICE_STATUSES), since=moment("since", since))
    reader: Messages = services_of(request).messages
    found = await reader.page(principal_of(request), message, filters, after.id, size + 1)
    items, after_text = page(found, size, lambda each: After(each.id))
    return listed(request, MessageList(items, after_text))


HANDLERS = (messages,)
