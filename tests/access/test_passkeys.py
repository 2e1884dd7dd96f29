"""Passkeys: what a browser is asked, and which answers prove who somebody is."""

import json

import msgspec
import pytest
from fido2.utils import websafe_decode, websafe_encode
from hypothesis import given, settings
from hypothesis import strategies as st
from support.authenticator import FLAG, SoftwareAuthenticator

from ipt_workflow.access import passkeys
from ipt_workflow.access.passkeys import KnownPasskey, PasskeyAnswer, PasskeyRefused

ADDRESS = "http://localhost:8000"
PARTY = passkeys.relying_party(ADDRESS)
HANDLE = b"\x07" * 32
CHALLENGE = b"\x01" * 32


def answer(given: dict) -> PasskeyAnswer:
    return msgspec.convert(given, PasskeyAnswer)


def options() -> dict:
    return PARTY.creation(CHALLENGE, HANDLE, "anna", "Anna Berg", [])


def enrolled(authenticator: SoftwareAuthenticator) -> KnownPasskey:
    made = PARTY.made(CHALLENGE, answer(authenticator.make(options())))
    return KnownPasskey(credential=made.credential, sign_count=made.sign_count, user_handle=HANDLE)


def refused(work) -> str:
    with pytest.raises(PasskeyRefused) as error:
        work()
    return error.value.why


def test_a_passkey_that_was_made_is_verified_by_its_answer_to_a_challenge():
    authenticator = SoftwareAuthenticator()
    known = enrolled(authenticator)
    challenge = passkeys.new_challenge()
    assert PARTY.verified(challenge, known, answer(authenticator.sign(PARTY.request(challenge)))) == (0, False)


def test_the_browser_is_asked_for_a_discoverable_passkey_of_a_verified_person():
    selection = options()["authenticatorSelection"]
    assert (selection["residentKey"], selection["requireResidentKey"], selection["userVerification"]) == (
        "required",
        True,
        "required",
    )
    request = PARTY.request(CHALLENGE)
    assert request["userVerification"] == "required"
    assert "allowCredentials" not in request
    assert request["timeout"] == 300_000


def test_an_authenticator_is_told_which_passkeys_the_person_has():
    authenticator = SoftwareAuthenticator()
    known = enrolled(authenticator)
    excluded = PARTY.creation(CHALLENGE, HANDLE, "anna", "Anna Berg", [known.credential])["excludeCredentials"]
    assert [each["id"] for each in excluded] == [websafe_encode(authenticator.credential_id)]


def test_the_id_of_an_answer_is_that_of_the_stored_passkey():
    authenticator = SoftwareAuthenticator()
    made = answer(authenticator.make(options()))
    assert passkeys.id_of(made) == PARTY.made(CHALLENGE, made).id


def test_a_synced_passkey_is_known_as_one():
    authenticator = SoftwareAuthenticator()
    synced = FLAG.UP | FLAG.UV | FLAG.BE | FLAG.BS
    assert PARTY.made(CHALLENGE, answer(authenticator.make(options(), flags=synced))).synced


@pytest.mark.parametrize("flags", [FLAG.UP, FLAG(0), FLAG.UP | FLAG.BE])
def test_an_answer_without_user_verification_is_refused(flags):
    authenticator = SoftwareAuthenticator()
    known = enrolled(authenticator)
    signed = answer(authenticator.sign(PARTY.request(CHALLENGE), flags=flags))
    assert refused(lambda: PARTY.verified(CHALLENGE, known, signed)) == "user_verification"
    made = answer(SoftwareAuthenticator().make(options(), flags=flags))
    assert refused(lambda: PARTY.made(CHALLENGE, made)) == "user_verification"


@pytest.mark.parametrize(
    "client",
    [
        {"origin": "http://localhost:8001"},
        {"origin": "https://localhost:8000"},
        {"origin": "http://evil.localhost:8000"},
        {"type": "webauthn.other"},
        {"challenge": websafe_encode(b"\x02" * 32)},
        {"crossOrigin": True},
    ],
    ids=lambda given: f"{next(iter(given))}",
)
def test_an_answer_to_another_page_or_another_challenge_is_refused(client):
    authenticator = SoftwareAuthenticator()
    known = enrolled(authenticator)
    signed = answer(authenticator.sign(PARTY.request(CHALLENGE), **client))
    assert refused(lambda: PARTY.verified(CHALLENGE, known, signed)) == "answer"
    made = answer(SoftwareAuthenticator().make(options(), **client))
    assert refused(lambda: PARTY.made(CHALLENGE, made)) == "answer"


def test_an_answer_signed_with_another_key_is_refused():
    authenticator, other = SoftwareAuthenticator(), SoftwareAuthenticator()
    known = enrolled(authenticator)
    enrolled(other)
    other.credential_id = authenticator.credential_id
    assert refused(lambda: PARTY.verified(CHALLENGE, known, answer(other.sign(PARTY.request(CHALLENGE))))) == "answer"


@pytest.mark.parametrize("handle", [websafe_encode(b"\x08" * 32), None])
def test_an_answer_that_names_nobody_or_somebody_else_is_refused(handle):
    authenticator = SoftwareAuthenticator()
    known = enrolled(authenticator)
    signed = authenticator.sign(PARTY.request(CHALLENGE))
    signed["response"]["userHandle"] = handle
    assert refused(lambda: PARTY.verified(CHALLENGE, known, answer(signed))) == "answer"


def test_a_sign_counter_may_grow_and_may_not_decrease_or_stand_still():
    authenticator = SoftwareAuthenticator(counts=True)
    known = enrolled(authenticator)
    assert known.sign_count == 1
    count, _ = PARTY.verified(CHALLENGE, known, answer(authenticator.sign(PARTY.request(CHALLENGE))))
    assert count == 2
    copied = msgspec.structs.replace(known, sign_count=7)
    assert refused(lambda: PARTY.verified(CHALLENGE, copied, answer(authenticator.sign(PARTY.request(CHALLENGE))))) == "counter"
    authenticator.counts, authenticator.count = False, 7
    assert refused(lambda: PARTY.verified(CHALLENGE, copied, answer(authenticator.sign(PARTY.request(CHALLENGE))))) == "counter"


def test_a_passkey_that_never_counted_may_begin_to_and_one_that_counted_may_not_stop():
    assert passkeys.counts_on(0, 0)
    assert passkeys.counts_on(0, 1)
    assert not passkeys.counts_on(1, 0)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://clinic.example", "https://clinic.example"),
        ("https://Clinic.example:443/ipt", "https://clinic.example"),
        ("https://clinic.example:8443", "https://clinic.example:8443"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://clinic.localhost", "http://clinic.localhost"),
    ],
)
def test_an_address_with_a_name_has_passkeys_of_its_origin(address, origin):
    authenticator = SoftwareAuthenticator(origin)
    party = passkeys.relying_party(address)
    given = party.creation(CHALLENGE, HANDLE, "anna", "Anna", [])
    assert given["rp"]["id"] == origin.split("//")[1].split(":")[0]
    assert party.made(CHALLENGE, answer(authenticator.make(given))).sign_count == 0


@pytest.mark.parametrize(
    "address",
    ["", "http://127.0.0.1:8000", "https://10.0.0.7", "https://[::1]:8000", "http://clinic.example", "https://a_b.example"],
)
def test_an_address_by_numbers_or_by_http_of_another_machine_has_no_passkeys(address):
    assert passkeys.relying_party(address) is None


def _bent(text: str, at: int, byte: int) -> str:
    data = bytearray(websafe_decode(text))
    data[at % len(data)] = byte
    return websafe_encode(bytes(data))


_AUTHENTICATOR = SoftwareAuthenticator()
_KNOWN = enrolled(_AUTHENTICATOR)
_MADE, _SIGNED = SoftwareAuthenticator().make(options()), _AUTHENTICATOR.sign(PARTY.request(CHALLENGE))


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]),
    st.integers(0, 300),
    st.integers(0, 255),
)
def test_an_answer_that_was_altered_is_refused_or_means_the_same(name, at, byte):
    for whole, check in (
        (_MADE, lambda given: PARTY.made(CHALLENGE, given)),
        (_SIGNED, lambda given: PARTY.verified(CHALLENGE, _KNOWN, given)),
    ):
        bent = json.loads(json.dumps(whole))
        if name in bent["response"]:
            bent["response"][name] = _bent(bent["response"][name], at, byte)
            try:
                check(answer(bent))
            except PasskeyRefused:
                assert bent != whole
            else:
                assert whole is _MADE or bent == whole


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=200), st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_answer_are_refused(first, second):
    given = {"clientDataJSON": websafe_encode(first), "attestationObject": websafe_encode(second)}
    assert refused(lambda: PARTY.made(CHALLENGE, answer({"id": "AAAA", "response": given}))) == "answer"
    given = {"clientDataJSON": websafe_encode(first), "authenticatorData": websafe_encode(second), "signature": "AA"}
    assert refused(lambda: PARTY.verified(CHALLENGE, _KNOWN, answer({"id": "AAAA", "response": given}))) == "answer"


def test_an_answer_nested_deeper_than_a_program_can_read_is_refused():
    deep = websafe_encode(b"\x81" * 15_000)
    given = {"clientDataJSON": _MADE["response"]["clientDataJSON"], "attestationObject": deep}
    assert refused(lambda: PARTY.made(CHALLENGE, answer({"id": _MADE["id"], "response": given}))) == "answer"
    json_deep = {"clientDataJSON": websafe_encode(b"[" * 15_000), "attestationObject": _MADE["response"]["attestationObject"]}
    assert refused(lambda: PARTY.made(CHALLENGE, answer({"id": _MADE["id"], "response": json_deep}))) == "answer"
