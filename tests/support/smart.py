"""A system as others write them: its keys, the assertions it signs, and the tokens it asks for."""

import datetime as dt
from typing import Any
from uuid import uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from support.http_client import Api

TOKEN_URL = "http://ipt/oauth/token"  # of an application without the setting public_url, in the process of the test
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EC = ECKey.generate_key("P-384", {"kid": "ec", "use": "sig", "alg": "ES384"}, private=True)
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS384"}, private=True)
KEYS = {"ES384": EC, "RS384": RSA}
JWKS: dict[str, Any] = {"keys": [key.as_dict(private=False) for key in KEYS.values()]}


def assertion(
    system: str = "north",
    *,
    algorithm: str = "ES384",
    key: Any = None,
    header: Any = None,
    now: dt.datetime | None = None,
    **claims: Any,
) -> str:
    """A signed assertion, as it should be but for the `claims` and `header` that are given; None leaves one out."""
    name = f"default.{system}"
    body = {
        "iss": name,
        "sub": name,
        "aud": TOKEN_URL,
        "exp": int((now or dt.datetime.now(dt.UTC)).timestamp()) + 240,
        "jti": str(uuid4()),
        **claims,
    }
    head = {"alg": algorithm, "kid": KEYS[algorithm].kid if algorithm in KEYS else "ec", "typ": "JWT", **(header or {})}
    signed = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(
        {name: value for name, value in head.items() if value is not None}, signed, key or KEYS[algorithm], algorithms=[head["alg"]]
    )


def form(asserted: str, scope: str = "system/*.rs", **more: Any) -> dict[str, str]:
    fields = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": asserted,
    }
    return {name: value for name, value in {**fields, **more}.items() if value is not None}


async def registered(api: Api, system: str = "north", scopes: tuple[str, ...] = ("system/*.rs",), **more: Any) -> dict[str, Any]:
    keys = {} if "jwks_url" in more else {"jwks": JWKS}
    answer = await api.post("/v1/systems", {"id": system, "scopes": scopes, **keys, **more}, await administrator(api))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def administrator(api: Api) -> str:
    """A role whose token is that of an administrator's session: a person has just signed in."""
    if "administrator" not in api.tokens:
        sessions = api.services.sessions
        begun = await sessions.begin("admin-1", ("admin",), "oidc", authenticated_at=api.clinic.clock.now())
        api.tokens["administrator"] = (await sessions.open_access(begun.session)).access
    return "administrator"


async def asked(api: Api, asserted: str, scope: str = "system/*.rs", **more: Any) -> httpx.Response:
    return await api.client.post("/oauth/token", data=form(asserted, scope, **more))


async def signed_in(api: Api, system: str = "north", scope: str = "system/*.rs", now: dt.datetime | None = None) -> str:
    """An access token. It is also the token of the role `system`."""
    answer = await asked(api, assertion(system, now=now), scope)
    assert answer.status_code == 200, answer.text
    api.tokens["system"] = answer.json()["access_token"]
    return api.tokens["system"]
