"""The requests of the load generator, one after another, as a job describes them."""

import base64
import datetime as dt
import hashlib
import hmac
import itertools
import json
import random
import string
import time
from collections.abc import Iterator
from typing import Any

HOST = "127.0.0.1"


def requests(described: dict[str, Any], run: str) -> Iterator[bytes]:
    """Endless requests. `run` makes keys and message ids unique."""
    body = json.dumps(described["body"]) if described.get("body") is not None else ""
    method = "POST" if body else "GET"
    headers = "".join(f"{name}: {value}\r\n" for name, value in described["headers"].items())
    paths, courses, chance = described["paths"], described.get("courses", 1), random.Random(run)  # noqa: S311 - it draws courses, not secrets
    head = f" HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n{headers}"
    tokens = described.get("tokens")
    varied = string.Template(body) if described.get("varied") else None
    content, sign = body.encode(), _signer(described.get("signed"))
    for number in itertools.count():
        course, name = chance.randint(1, courses), f"{run}-{number}"
        if varied:
            content = varied.substitute(course=course, name=name, now=dt.datetime.now(dt.UTC).isoformat()).encode()
        more = f"Idempotency-Key: {name}\r\n" if described.get("keyed") else ""
        more += f"Authorization: Bearer {chance.choice(tokens)}\r\n" if tokens else ""
        more += "".join(f"{header}: {value}\r\n" for header, value in sign(name, content).items()) if sign else ""
        path = chance.choice(paths).format(course=course)
        yield f"{method} {path}{head}Content-Length: {len(content)}\r\n{more}\r\n".encode() + content


def signature(secret: str, message: str, content: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks for a message that is sent now."""
    return _headers(base64.b64decode(secret.removeprefix("whsec_")), message, content)


def _signer(secret: str | None) -> Any:
    if secret is None:
        return None
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return lambda message, content: _headers(key, message, content)


def _headers(key: bytes, message: str, content: bytes) -> dict[str, str]:
    now = int(time.time())
    signed = base64.b64encode(hmac.digest(key, f"{message}.{now}.".encode() + content, hashlib.sha256)).decode()
    return {"webhook-id": message, "webhook-timestamp": str(now), "webhook-signature": f"v1,{signed}"}
