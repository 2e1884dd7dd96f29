"""Assertions of systems: one that is right is accepted, and one that differs in anything is not."""

import base64
import datetime as dt
import hmac
import json

import pytest
from joserfc.jwk import ECKey
from support import smart
from support.http_client import START
from support.smart import EC, RSA, TOKEN_URL

from ipt_workflow.access import assertions
from ipt_workflow.errors import TokenRefused

AT = int(START.timestamp())
CLAIMS = {"iss": "default.north", "sub": "default.north", "aud": TOKEN_URL, "exp": AT + 60, "jti": "1"}
STRANGER = ECKey.generate_key("P-384", {"kid": "ec"}, private=True)


def assertion(system: str = "north", **more) -> str:
    return smart.assertion(system, now=START, **more)


def read(text: str, now: dt.datetime = START) -> assertions.AssertionClaims:
    said = assertions.announced(text)
    return assertions.verified(text, EC if said.algorithm == "ES384" else RSA, said.algorithm, TOKEN_URL, now)


def unsigned(header: dict, claims: dict) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in (header, claims)]
    return f"{parts[0]}.{parts[1]}."


@pytest.mark.parametrize("algorithm", ("ES384", "RS384"))
@pytest.mark.parametrize(
    "claims", [{}, {"aud": ["https://other.example", TOKEN_URL]}, {"iat": AT, "nbf": AT}, {"exp": AT - 30}, {"exp": AT + 330.5}]
)
def test_what_is_signed_for_this_place_and_time_is_accepted(algorithm, claims):
    assert read(assertion(algorithm=algorithm, **claims)).iss == "default.north"


def test_it_says_who_signed_it_and_by_which_key():
    said = assertions.announced(assertion("south", algorithm="RS384"))
    assert (said.organisation, said.system, said.kid, said.algorithm, said.jku) == ("default", "south", "rsa", "RS384", None)


@pytest.mark.parametrize("organisation", ("north", "-", "a" * 40, "north_2"))
def test_every_organisation_can_be_told_by_it(organisation):
    name = assertions.client_id(organisation, "sync-1")
    said = assertions.announced(assertion(iss=name, sub=name))
    assert (said.organisation, said.system) == (organisation, "sync-1")


WRONG_CLAIMS = [
    {"aud": "http://ipt/oauth/token/"}, {"aud": []}, {"aud": "http://evil.example/oauth/token"}, {"aud": None}, {"aud": 7},
    {"exp": AT - 60}, {"exp": AT + 361}, {"exp": None}, {"exp": "soon"}, {"exp": 1e300}, {"nbf": AT + 61}, {"iat": AT + 61},
    {"sub": "default.south"}, {"sub": None}, {"iss": None}, {"iss": "north", "sub": "north"}, {"iss": "default.north\n", "sub": "default.north\n"},
    {"jti": None}, {"jti": ""}, {"jti": "x" * 256}, {"jti": 5},
]  # fmt: skip


@pytest.mark.parametrize("claims", WRONG_CLAIMS, ids=str)
def test_a_claim_that_is_not_right_is_refused(claims):
    with pytest.raises(TokenRefused) as refused:
        read(assertion(**claims))
    assert refused.value.code == "invalid_client"


def test_another_key_of_the_same_name_is_refused():
    with pytest.raises(TokenRefused, match="signature"):
        read(assertion(key=STRANGER))


@pytest.mark.parametrize("header", [{"typ": "at+jwt"}, {"kid": None}], ids=str)
def test_a_header_that_is_not_right_is_refused(header):
    with pytest.raises(TokenRefused):
        read(assertion(header=header))


@pytest.mark.parametrize("header", [{"jku": 5}, {"kid": 5}, {"crit": ["x"], "x": 1}, {"b64": False, "crit": ["b64"]}], ids=str)
def test_a_header_that_no_library_would_sign_is_refused(header):
    with pytest.raises(TokenRefused):
        read(unsigned({"alg": "ES384", "kid": "ec", **header}, CLAIMS))


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS384", "ES256", "RS256", "PS384", "", None, ["ES384"], {}])
def test_no_other_algorithm_is_accepted(algorithm):
    with pytest.raises(TokenRefused):
        read(unsigned({"alg": algorithm, "kid": "ec"}, CLAIMS))


def test_a_public_key_is_not_taken_for_a_shared_secret():
    parts = [
        base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in ({"alg": "HS384", "kid": "ec"}, CLAIMS)
    ]
    mac = hmac.digest(EC.as_pem(private=False), ".".join(parts).encode(), "sha384")
    with pytest.raises(TokenRefused, match="alg must be"):
        read(".".join([*parts, base64.urlsafe_b64encode(mac).decode()]))


@pytest.mark.parametrize(
    "text", ["", "a", "a.b", "a.b.c", "....", "é.é.é", "x" * 9000, "e30.e30.e30", "bnVsbA.bnVsbA.", "W10.e30."]
)
def test_what_is_no_assertion_is_refused(text):
    with pytest.raises(TokenRefused) as refused:
        read(text)
    assert str(refused.value).endswith(("a signed JWT.", "8192 bytes.", "in its form."))


def test_a_changed_assertion_is_refused():
    head, _, signature = assertion().split(".")
    other = assertion("south").split(".")[1]
    with pytest.raises(TokenRefused, match="signature"):
        read(f"{head}.{other}.{signature}")
