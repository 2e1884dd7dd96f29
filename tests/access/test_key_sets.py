"""Sets of public keys: what may be registered, what is read of what a system publishes, and which key is the one."""

import json

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey
from support.smart import EC, JWKS, RSA

from ipt_workflow.access import key_sets
from ipt_workflow.errors import CommandInvalid

EC_KEY, RSA_KEY = EC.as_dict(private=False), RSA.as_dict(private=False)
WRONG = {
    "private": EC.as_dict(private=True),
    "private RSA": RSA.as_dict(private=True),
    "shared": OctKey.generate_key(256, {"kid": "o"}).as_dict(),
    "without kid": {name: value for name, value in EC_KEY.items() if name != "kid"},
    "kid of a number": {**EC_KEY, "kid": 1},
    "for encryption": {**EC_KEY, "use": "enc"},
    "other curve": ECKey.generate_key("P-256", {"kid": "a"}).as_dict(private=False),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "a"}).as_dict(private=False),
    "short": {**RSA.as_dict(private=False), "n": RSA.as_dict()["n"][:170]},
    "alg of another kind": {**EC_KEY, "alg": "RS384"},
    "alg of another length": {**RSA_KEY, "alg": "RS256"},
    "alg of a list": {**RSA_KEY, "alg": []},
    "no kind": {"kid": "a"},
    "kind of a list": {"kid": "a", "kty": []},
    "no numbers": {"kid": "a", "kty": "RSA"},
    "small numbers": {"kid": "a", "kty": "RSA", "n": "AQAB", "e": "AQAB"},
    "no point": {"kid": "a", "kty": "EC", "crv": "P-384", "x": "AAAA", "y": "AAAA"},
    "point of numbers": {"kid": "a", "kty": "EC", "crv": "P-384", "x": 1, "y": 2},
    "no ASCII": {"kid": "a", "kty": "RSA", "n": "é", "e": "AQAB"},
    "strange operations": {**EC_KEY, "key_ops": 3},
}


def test_keys_of_both_kinds_are_taken_and_found_by_their_id():
    keys = key_sets.read(key_sets.checked(JWKS))
    assert key_sets.key_of(keys, "ec", "ES384").as_dict() == EC_KEY
    assert key_sets.key_of(keys, "rsa", "RS384").as_dict() == RSA_KEY
    assert key_sets.key_of(keys, "ec", "RS384") is None
    assert key_sets.key_of(keys, "other", "ES384") is None


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_key_that_cannot_verify_is_refused_and_left_out_of_what_is_published(wrong):
    with pytest.raises(CommandInvalid) as refused:
        key_sets.checked({"keys": [RSA_KEY, wrong]})
    assert [each.where for each in refused.value.faults] == ["jwks.keys[1]"]
    assert key_sets.read(json.dumps({"keys": [RSA_KEY, wrong]}).encode()) == [RSA_KEY]


def test_the_number_of_a_private_key_is_not_repeated():
    with pytest.raises(CommandInvalid) as refused:
        key_sets.checked({"keys": [EC.as_dict(private=True)]})
    assert EC.as_dict(private=True)["d"] not in str(refused.value)


@pytest.mark.parametrize("wrong", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": ["a"]}, {"keys": [EC_KEY] * 21}])
def test_what_is_no_set_is_refused(wrong):
    with pytest.raises(CommandInvalid, match="Key Set"):
        key_sets.checked(wrong)
    with pytest.raises(CommandInvalid, match="Key Set"):
        key_sets.read(json.dumps(wrong).encode())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 1000])
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(CommandInvalid, match="Key Set"):
        key_sets.read(raw)


def test_two_keys_of_one_name_are_refused_and_neither_is_the_one():
    other = ECKey.generate_key("P-384", {"kid": "ec"}).as_dict(private=False)
    with pytest.raises(CommandInvalid, match="different kid"):
        key_sets.checked({"keys": [EC_KEY, other]})
    assert key_sets.key_of([EC_KEY, other], "ec", "ES384") is None
