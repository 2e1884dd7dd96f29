"""Inquiries: requests to other services whose answers are read, such as their keys. They go through the table of addresses too."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from ipt_workflow.ehr.deliveries.addresses import Reach
from ipt_workflow.ehr.deliveries.sender import AddressDenied, AnswerUnreadable, Connecting, NameUnknown, Resolve
from ipt_workflow.errors import CommandMalformed
from ipt_workflow.runtime.documents import json_value

SECONDS = 10.0


class InquiryFailed(Exception):
    """No usable answer came. The text says why, in words for an administrator."""


class InquiryAnswer(msgspec.Struct, frozen=True):
    """An answer, whatever its status. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Raises InquiryFailed."""
        try:
            return json_value(self.body)
        except CommandMalformed:
            raise InquiryFailed("the answer is not JSON") from None


class Inquiries:
    """Asks other services. Follows no redirect. `seconds` limits a whole inquiry. Call `close` at the end."""

    def __init__(
        self, reach: Reach, seconds: float = SECONDS, *, resolve: Resolve | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._reach = reach
        self._seconds = seconds
        self._connections = Connecting(reach, resolve, ssl_context)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> InquiryAnswer:
        """Raises InquiryFailed, also for any other status than 200."""
        answer = await self._ask("GET", url, {"accept": "application/json", **(headers or {})}, None)
        if answer.status != 200:
            raise InquiryFailed(f"the answer has the status {answer.status}")
        return answer

    async def post_form(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> InquiryAnswer:
        """Raises InquiryFailed. The answer may be a refusal."""
        kind = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", url, {**kind, **(headers or {})}, urlencode(fields).encode())

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> InquiryAnswer:
        if not self._reach.may_try(url):
            raise InquiryFailed("the URL leads to an address that is not allowed")
        try:
            posts = await self._connections.posts()
            async with asyncio.timeout(self._seconds):
                status, given, raw = await posts.ask(method, url, headers, body)
        except AddressDenied:
            raise InquiryFailed("the URL leads to an address that is not allowed") from None
        except NameUnknown:
            raise InquiryFailed("the URL's host is not known") from None
        except TimeoutError:
            raise InquiryFailed("no answer came in time") from None
        except (AnswerUnreadable, OSError):
            raise InquiryFailed("there is no connection, or no answer that can be read") from None
        return InquiryAnswer(status, given, raw)

    async def close(self) -> None:
        await self._connections.close()
