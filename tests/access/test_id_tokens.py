"""Tokens of identity providers, signed by keys of the test: what no honest provider sends, and what the rules are in numbers."""

import datetime as dt
import json

import pytest
from joserfc import jwk, jwt
from joserfc.jws import JWSRegistry
from support.http_client import START

from ipt_workflow.access import id_tokens, launches, oidc
from ipt_workflow.access.id_tokens import KeyUnknown
from ipt_workflow.access.oidc import Description, OidcSettings
from ipt_workflow.errors import ProviderUnusable, SignInRefused

ISSUER = "https://idp.example"
SETTINGS = OidcSettings(issuer=ISSUER, client_id="ipt", groups={"t": "therapist", "s": "supervisor"})
SECONDS = int(START.timestamp())
EC, OTHER_EC = (jwk.ECKey.generate_key("P-256", {"kid": kid}) for kid in ("a", "b"))
RSA = jwk.RSAKey.generate_key(2048, {"kid": "r"})
SECRET = jwk.OctKey.import_key("a secret of 32 bytes and more 0000", {"kid": "a"})
DEEP = oidc._base64(b"[" * 40_000)
FOUND = Description(issuer=ISSUER, authorization_endpoint=f"{ISSUER}/a?x=1", token_endpoint=f"{ISSUER}/t", jwks_uri=f"{ISSUER}/k")


def claims(**changed):
    return {"iss": ISSUER, "aud": "ipt", "sub": "alice", "iat": SECONDS, "exp": SECONDS + 300, "nonce": "n", **changed}


def signed(key, algorithm, header=(), **changed):
    named = {"alg": algorithm, "kid": key.kid, **dict(header)}
    return jwt.encode(
        {k: v for k, v in named.items() if v is not None},
        claims(**changed),
        key,
        registry=JWSRegistry(algorithms=[algorithm], strict_check_header=False),
    )


def read(text, *keys, settings=SETTINGS, now=START):
    return id_tokens.read_id_token(text, jwk.KeySet(list(keys)), settings, "n", now)


def why(text, *keys, now=START):
    with pytest.raises(SignInRefused) as refused:
        read(text, *keys, now=now)
    return refused.value.why


@pytest.mark.parametrize(("key", "algorithm"), ((EC, "ES256"), (RSA, "RS256"), (RSA, "PS256")))
def test_the_three_algorithms_are_believed(key, algorithm):
    assert read(signed(key, algorithm), EC, RSA).subject == "alice"


@pytest.mark.parametrize(("key", "algorithm"), ((SECRET, "HS256"), (RSA, "RS512"), (RSA, "PS384")))
def test_every_other_algorithm_is_refused_also_the_clients_secret(key, algorithm):
    assert why(signed(key, algorithm), EC, RSA) == "algorithm"


@pytest.mark.filterwarnings("ignore:Key size")
def test_a_short_key_is_refused():
    small = jwk.RSAKey.generate_key(1024, {"kid": "s"})
    assert why(signed(small, "RS256"), small) == "signature"


def test_a_key_signs_only_by_the_algorithm_that_it_is_for():
    fixed = jwk.RSAKey.import_key({**RSA.as_dict(private=True), "alg": "PS256"})
    assert read(signed(RSA, "PS256"), fixed).subject == "alice"
    with pytest.raises(KeyUnknown):
        read(signed(RSA, "RS256"), fixed)


def test_a_token_without_a_key_id_is_by_the_only_key_of_its_kind():
    text = signed(EC, "ES256", {"kid": None})
    assert read(text, EC, RSA).subject == "alice"
    with pytest.raises(KeyUnknown):
        read(text, EC, OTHER_EC)


def test_an_unknown_parameter_of_the_header_is_ignored_and_a_critical_one_refused():
    assert read(signed(EC, "ES256", {"x-of-a-provider": 1}), EC).subject == "alice"
    _, payload, signature = signed(EC, "ES256").split(".")
    head = oidc._base64(b'{"alg":"ES256","kid":"a","crit":["exp2"],"exp2":1}')
    assert why(f"{head}.{payload}.{signature}", EC) in {"signature", "token"}


@pytest.mark.parametrize(
    "changed", ({"iat": SECONDS + 60}, {"exp": SECONDS - 59}, {"nbf": SECONDS + 60}, {"auth_time": SECONDS + 60})
)
def test_clocks_may_differ_by_a_minute(changed):
    assert read(signed(EC, "ES256", **changed), EC).subject == "alice"


@pytest.mark.parametrize(
    ("changed", "check"),
    (
        ({"iat": SECONDS + 61}, "time"),
        ({"exp": SECONDS - 60}, "expired"),
        ({"nbf": SECONDS + 61}, "time"),
        ({"auth_time": SECONDS + 61}, "auth_time"),
        ({"auth_time": "now"}, "auth_time"),
        ({"exp": "later"}, "expired"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": "a\x00b"}, "subject"),
        ({"sub": "a\r\nb"}, "subject"),
        ({"aud": []}, "audience"),
        ({"aud": None}, "audience"),
        ({"nonce": None}, "nonce"),
        ({"nonce": "ñ"}, "nonce"),
    ),
)
def test_and_by_no_more_and_claims_have_their_types(changed, check):
    assert why(signed(EC, "ES256", **changed), EC) == check


@pytest.mark.parametrize("text", ("", ".", "..", "a.b.c", "é.b.c", "." * 1000, "x" * 100_000, f"{DEEP}.b.c"))
def test_what_is_no_token_is_refused(text):
    assert why(text, EC) == "token"


@pytest.mark.parametrize(("sid", "known"), (("p-1", "p-1"), ("", None), ("a\x00b", None), ("x" * 256, None), (5, None)))
def test_a_providers_own_session_is_kept_by_a_name_that_can_be_stored(sid, known):
    assert read(signed(EC, "ES256", sid=sid), EC).session == known
    event = {"events": {id_tokens.LOGOUT_EVENT: {}}, "jti": "j", "nonce": None, "sid": sid}
    text = jwt.encode({"alg": "ES256", "kid": "a"}, {k: v for k, v in claims(**event).items() if v is not None}, EC)
    assert id_tokens.read_logout_token(text, jwk.KeySet([EC]), SETTINGS, START).session == known


def test_a_sign_in_is_as_old_as_its_provider_says():
    known = read(signed(EC, "ES256", auth_time=SECONDS - 300), EC)
    assert known.authenticated_at == START - dt.timedelta(minutes=5)
    asked = oidc.question("browser", again="session")
    id_tokens.check_age(known, asked, START, dt.timedelta(minutes=5))
    with pytest.raises(SignInRefused):
        id_tokens.check_age(known, asked, START + dt.timedelta(seconds=61), dt.timedelta(minutes=5))


@pytest.mark.parametrize(
    ("held", "roles"),
    (
        ({"groups": ["s", "t"]}, ("therapist", "supervisor")),
        ({"groups": "t"}, ("therapist",)),
        ({"groups": ["T", "x"]}, ()),
        ({"groups": [["t"]]}, ()),
        ({"groups": {"t": 1}}, ()),
        ({}, ()),
    ),
)
def test_groups_give_roles_by_the_table_alone(held, roles):
    assert oidc.roles_of(held, SETTINGS) == roles


def test_a_claim_is_named_whole_or_by_its_path():
    held = {"a.b": 1, "c": {"d": {"e": 2}}, "f": 3}
    assert [oidc.claim(held, name) for name in ("a.b", "c.d.e", "f", "f.g", "c.x", "none")] == [1, 2, 3, None, None, None]


def test_both_halves_of_the_basic_header_are_encoded_as_forms_are():
    settings = OidcSettings(issuer=ISSUER, client_id="a:b c", secret="")
    headers, body = oidc.token_request(settings, "p%+q", FOUND, oidc.question("browser"), "code", "https://x/callback", START)
    assert headers["Authorization"] == "Basic YSUzQWIlMjBjOnAlMjUlMkJx"
    assert b"client_secret" not in body
    assert b"code_verifier=" in body


def test_an_address_with_a_query_keeps_it():
    url = oidc.authorization_url(SETTINGS, FOUND, oidc.question("b"), "state", "https://x/callback", dt.timedelta(hours=10))
    assert url.startswith(f"{ISSUER}/a?x=1&response_type=code&")
    assert "code_challenge_method=S256" in url
    assert "prompt" not in url


@pytest.mark.parametrize(
    "content", (b"", b"[]", b'{"keys": 5}', b'{"keys": [5]}', b'{"keys": [{"kty": "oct", "k": "x"}]}', b"\xff", b"[" * 40_000)
)
def test_keys_that_cannot_be_read_or_are_secrets_are_none(content):
    with pytest.raises(ProviderUnusable):
        id_tokens.keys_of(content)


def test_of_a_providers_keys_those_for_signatures_are_taken_that_are_understood():
    known = {"keys": [EC.as_dict(private=False), {"kty": "OKP", "crv": "new"}, {**RSA.as_dict(private=False), "use": "enc"}]}
    assert [each.kid for each in id_tokens.keys_of(json.dumps(known).encode())] == ["a"]


@pytest.mark.parametrize("content", (b"", b"[" * 40_000, b'{"id_token":' * 9_000, b'{"id_token": 5}', b"\xff"))
def test_an_answer_of_a_provider_that_cannot_be_read_is_refused(content):
    with pytest.raises(SignInRefused):
        id_tokens.id_token_of(content)
    with pytest.raises(SignInRefused):
        launches.context_of(content)
    with pytest.raises(ProviderUnusable):
        oidc.description_of(content, ISSUER)
    with pytest.raises(ProviderUnusable):
        launches.server_of(content, ISSUER)


@pytest.mark.parametrize(
    ("address", "safe"),
    (
        ("https://idp.example/a?b=c", True),
        ("http://idp.example/a", False),
        ("javascript:alert(1)", False),
        ("https://idp.example/\r\nSet-Cookie: __Host-ipt=x", False),
        ("https://idp.example/\x00", False),
        ("https://idp.example/a b", False),
        ("https://idp.example/é", False),
        ("https://[", False),
        ("", False),
    ),
)
def test_an_address_of_a_provider_is_as_safe_as_its_own_and_can_stand_in_a_header(address, safe):
    assert oidc.is_safe(address, ISSUER) == safe
