"""What is known of an identity provider: asked once, kept for a while, and its new keys found; over loopback."""

import asyncio
from collections.abc import Iterator

import pytest
from support.http_client import START
from support.identity_provider import IdentityProvider, free_port, provider

from ipt_workflow.access import id_tokens
from ipt_workflow.access.oidc import OidcSettings
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries.addresses import Reach, reach_of
from ipt_workflow.errors import ProviderUnusable, SignInRefused
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.providers import AGAIN_AFTER, KEPT, Providers

HERE = reach_of(configuration.load({"IPT_DEVELOPMENT": "true"}))
KEYS, DESCRIPTION = "/jwks", "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def running() -> Iterator[IdentityProvider]:
    with provider(free_port(), "http://localhost:1/sign-in", {}, {"keys": []}) as found:
        yield found


@pytest.fixture
def honest(running: IdentityProvider) -> IdentityProvider:
    running.say()
    return running


def asking(test, reach: Reach = HERE):
    """Runs `test(providers, clock)`."""

    async def inside():
        calls, clock = Calls(reach), VirtualClock(START)
        try:
            return await test(Providers(calls, clock), clock)
        finally:
            await calls.close()

    return asyncio.run(inside())


def token(running, key):
    """An ID token by one of the provider's keys, and its reader."""
    seconds = int(START.timestamp())
    claims = {"iss": running.issuer, "aud": "ipt", "iat": seconds, "exp": seconds + 90_000, "nonce": "n", "sub": "alice"}
    text = running.sign(claims, key)
    settings = OidcSettings(issuer=running.issuer, client_id="ipt")
    return lambda keys: id_tokens.read_id_token(text, keys, settings, "n", START).subject


def test_a_provider_is_asked_once_an_hour_however_many_need_it(honest):
    before = honest.calls(DESCRIPTION), honest.calls(KEYS)

    async def test(providers, clock):
        found = await asyncio.gather(*(providers.description(honest.issuer) for _ in range(10)))
        assert {each.issuer for each in found} == {honest.issuer}
        assert (honest.calls(DESCRIPTION), honest.calls(KEYS)) == (before[0] + 1, before[1] + 1)
        clock.advance(KEPT)
        await providers.description(honest.issuer)
        assert honest.calls(DESCRIPTION) == before[0] + 2

    asking(test)


def test_a_provider_that_changes_its_keys_is_asked_again_once_a_minute_at_most(honest):
    async def test(providers, clock):
        assert await providers.read(honest.issuer, token(honest, "ec")) == "alice"
        honest.say(keys=["next"])
        clock.advance(AGAIN_AFTER)
        before = honest.calls(KEYS)
        assert await providers.read(honest.issuer, token(honest, "next")) == "alice"
        for _ in range(5):  # the old key is none of its keys any more
            with pytest.raises(SignInRefused) as refused:
                await providers.read(honest.issuer, token(honest, "ec"))
            assert refused.value.why == "key"
        assert honest.calls(KEYS) == before + 1

    asking(test)


@pytest.mark.parametrize(
    ("said", "message"),
    (
        ({"description": {"issuer": "https://idp.example"}}, "another issuer"),
        ({"description": {"issuer": None}}, "not JSON, or lacks an endpoint"),
        ({"description": {"token_endpoint": None}}, "not JSON, or lacks an endpoint"),
        ({"description": {"authorization_endpoint": "javascript:alert(1)"}}, "does not begin with https"),
        ({"description": {"end_session_endpoint": "https://idp.example/\r\nX: y"}}, "does not begin with https"),
        ({"description": {"jwks_uri": "file:///etc/passwd"}}, "does not begin with https"),
        ({"description": {"jwks_uri": "http://169.254.169.254/keys"}}, "may not call"),
        ({"keys": []}, "keys cannot be read"),
    ),
)
def test_a_provider_that_says_of_itself_what_it_must_not_is_not_used_nor_asked_again_at_once(honest, said, message):
    honest.say(**said)

    async def test(providers, clock):
        for _ in range(3):
            with pytest.raises(ProviderUnusable, match=message):
                await providers.description(honest.issuer)
        honest.say()
        clock.advance(AGAIN_AFTER)
        assert (await providers.description(honest.issuer)).issuer == honest.issuer

    before = honest.calls(DESCRIPTION)
    asking(test)
    assert honest.calls(DESCRIPTION) == before + 2


def test_a_provider_on_a_private_address_is_called_only_where_the_operator_allows_it(honest):
    async def test(providers, clock):
        with pytest.raises(ProviderUnusable, match="IPT_DELIVERY_NETWORKS"):
            await providers.description(honest.issuer)

    before = honest.calls(DESCRIPTION)
    asking(test, Reach(ports=None, plain_http=True))
    assert honest.calls(DESCRIPTION) == before


def test_a_provider_that_cannot_be_reached_says_so_without_its_address():
    async def test(providers, clock):
        issuer = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(ProviderUnusable, match="cannot be reached") as error:
            await providers.description(issuer)
        assert "127.0.0.1" not in str(error.value)

    asking(test)
