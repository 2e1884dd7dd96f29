"""An EHR system for tests: it is registered as a source, signs as EHR systems do, and sends notices."""

import asyncio
import datetime as dt
import hashlib
import hmac
import json
from typing import Any

import httpx
import msgspec
from standardwebhooks import Webhook

from ipt_workflow.ehr.notices.sources import NewSource, Sources
from ipt_workflow.store import notices as stored
from support.http_client import OPERATOR


class Ehr:
    """One source of an open `Api`."""

    def __init__(self, api, name: str, kind: str, secret: str) -> None:
        self.api = api
        self.name = name
        self.kind = kind
        self.secret = secret
        self.sent = 0

    @classmethod
    async def register(cls, api, name: str = "north", kind: str = "standard-webhooks", **more: Any) -> "Ehr":
        new = msgspec.convert({"id": name, "kind": kind, **more}, NewSource)
        made = await Sources(api.clinic).add(OPERATOR, lambda: new)
        return cls(api, name, kind, made.secret or more["secret"])

    # Our own types

    async def notify(
        self, kind: str, data: dict[str, Any], *, key: str | None = None, at: dt.datetime | None = None
    ) -> httpx.Response:
        """Sends a notice of our own types, with a new id unless `key` is given, as of now unless `at` is given."""
        when = at or self.api.clinic.clock.now()
        return await self.send({"type": kind, "timestamp": when.isoformat(), "data": data}, key)

    async def send(self, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.post(
            f"/v1/ehr/notices/{self.name}", raw, {**self.signed(raw, key), "content-type": "application/json", **headers}
        )

    def signed(self, raw: bytes, key: str | None = None) -> dict[str, str]:
        """The signature headers of the reference library, at the service's time."""
        self.sent += 1
        now, message = self.api.clinic.clock.now(), key or f"msg_{self.name}_{self.sent}"
        signature = Webhook(self.secret).sign(message, now, raw.decode("utf-8", "surrogateescape"))
        return {"webhook-id": message, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}

    # FHIR

    async def fhir(self, resource: Any, method: str = "PUT", path: str | None = None, **headers: str) -> httpx.Response:
        """Sends a message, and asks for our own JSON unless `accept` is given."""
        raw = b"" if resource is None else resource if isinstance(resource, bytes) else json.dumps(resource).encode()
        if path is None:
            path = f"/{resource['resourceType']}/{resource['id']}" if method != "POST" else ""
        kind = {"content-type": "application/fhir+json"} if raw else {}
        sent = {**self.proof(raw), **kind, "accept": "application/json", **headers}
        return await self.api.client.request(method, f"/v1/ehr/fhir/{self.name}{path}", content=raw, headers=sent)

    def proof(self, raw: bytes) -> dict[str, str]:
        if self.kind == "bearer":
            return {"authorization": f"Bearer {self.secret}"}
        if self.kind == "x-signature":
            return {"x-signature": hmac.new(self.secret.encode(), raw, hashlib.sha256).hexdigest()}
        return self.signed(raw)

    async def post(self, path: str, raw: bytes, headers: dict[str, str]) -> httpx.Response:
        return await self.api.client.post(path, content=raw, headers=headers)


async def inbox(api, role: str = "supervisor", query: str = "") -> list[dict[str, Any]]:
    answer = await api.get(f"/v1/notices?limit=200{query}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def resolve(api, notice: str, role: str = "supervisor", **resolution: Any) -> httpx.Response:
    return await api.post(f"/v1/notices/{notice}/resolve", resolution, role)


async def settled(api) -> None:
    """Waits until no notice awaits a course that has been opened."""
    async with asyncio.timeout(10):
        while await api.clinic.read(stored.clients_referred, 1):
            await asyncio.sleep(0.01)


async def course(api, course_id: str) -> dict[str, Any]:
    return (await api.get(f"/v1/courses/{course_id}", "supervisor")).json()


async def journal(api, course_id: str) -> list[dict[str, Any]]:
    return (await api.get(f"/v1/courses/{course_id}/transitions?limit=200", "supervisor")).json()["items"]


async def started(api, ref: str = "EHR-1") -> str:
    """A course of therapist-1 in its first phase, opened two weeks ago."""
    opened = (await api.open(ref))["id"]
    await api.walk(opened, "record_consent", "start")
    api.clinic.clock.advance(dt.timedelta(days=14))
    return opened


def status(answer: httpx.Response) -> str:
    assert answer.status_code == 202, answer.text
    return answer.json()["status"]
