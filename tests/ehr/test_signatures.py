"""Signed messages: whatever is sent, it is verified or refused with one kind of error."""

import base64
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_workflow.ehr import signatures
from ipt_workflow.errors import SignatureInvalid

NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
STAMP = int(NOW.timestamp())
SHARED, PRIVATE = signatures.mint_shared(), signatures.mint_private()
KEYS = [signatures.read_key(SHARED), signatures.read_key(PRIVATE)]
BODY = b'{"type":"course.changed"}'
SENT = signatures.Signer(KEYS).headers("evt_1", STAMP, BODY)


def refused(body=BODY, keys=KEYS, now=NOW, **changed) -> str:
    sent = {name: value for name, value in {**SENT, **changed}.items() if value is not None}
    with pytest.raises(SignatureInvalid) as error:
        signatures.verify(sent, body, keys, now)
    return str(error.value)


def test_what_is_signed_is_verified_under_either_key_and_header_names_may_be_in_any_case():
    shouted = {name.upper(): value for name, value in SENT.items()}
    for key in KEYS:
        assert signatures.verify(shouted, BODY, [key], NOW) == signatures.SignedHeaders("evt_1", STAMP)


@pytest.mark.parametrize("seconds", (-300, 0, 300))
def test_a_message_may_be_five_minutes_old_or_early(seconds):
    signatures.verify(SENT, BODY, KEYS, NOW + dt.timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", (-301, 301, 10**9))
def test_a_message_from_further_off_is_refused_though_it_is_signed(seconds):
    assert "within 300 seconds" in refused(now=NOW + dt.timedelta(seconds=seconds))


def test_a_message_under_a_key_that_is_not_known_is_refused():
    assert "no signature of a key that is known" in refused(keys=[signatures.read_key(signatures.mint_shared())])
    assert "no signature of a key that is known" in refused(keys=[])


@pytest.mark.parametrize("name", (signatures.ID, signatures.TIMESTAMP, signatures.SIGNATURE))
def test_a_message_without_one_of_the_headers_is_refused_with_its_name(name):
    assert name in refused(**{name: None})
    assert name in refused(**{name: ""})


@pytest.mark.parametrize("value", ("evt.1", "evt 1", "evt_1, evt_1", "é", "x" * 257))
def test_an_id_that_cannot_be_signed_is_refused(value):
    assert signatures.ID in refused(**{signatures.ID: value})


@pytest.mark.parametrize("value", (f"{STAMP}.0", f"+{STAMP}", f"-{STAMP}", f" {STAMP}", "nan", "1e9", "٣" * 10, "9" * 13))
def test_a_timestamp_that_is_no_whole_second_is_refused(value):
    assert signatures.TIMESTAMP in refused(**{signatures.TIMESTAMP: value})


UNREADABLE = ("garbage", "v1", "v1,!!!", "v1,é", ",", "V1,AAAA", "v1,AAA", "v1,AAAA,", "v9,whatever", "v1\t,AAAA", "")


@pytest.mark.parametrize("value", UNREADABLE)
def test_a_signature_header_without_one_signature_that_can_be_read_is_refused(value):
    for text in (value, f" {value} ", f"{value} {value}"):
        assert "must hold a signature such as v1," in refused(**{signatures.SIGNATURE: text})


@pytest.mark.parametrize("value", UNREADABLE)
def test_what_cannot_be_read_beside_a_right_signature_is_passed_over(value):
    for one in SENT[signatures.SIGNATURE].split(" "):
        for text in (f"{value} {one}", f"{one} {value}", f"  {value}  {one}  "):
            assert signatures.verify({**SENT, signatures.SIGNATURE: text}, BODY, KEYS, NOW).id == "evt_1"


def test_too_many_signatures_are_refused_whether_or_not_they_can_be_read():
    one = SENT[signatures.SIGNATURE].split(" ")[0]
    for other in (one, "v9,whatever", "garbage"):
        assert "at most 16" in refused(**{signatures.SIGNATURE: " ".join([one, *[other] * 16])})


def test_a_signature_of_one_version_does_not_stand_for_another():
    shared, private = SENT[signatures.SIGNATURE].split(" ")
    swapped = f"v1a,{shared.partition(',')[2]} v1,{private.partition(',')[2]}"
    assert "no signature" in refused(**{signatures.SIGNATURE: swapped})


HEADER = st.text(max_size=80) | st.sampled_from(list(SENT.values()))
TOKEN = st.tuples(
    st.sampled_from(["v1", "v1a", "v2", "", "v1,"]),
    st.text(max_size=40) | st.binary(max_size=80).map(base64.b64encode).map(bytes.decode),
)


@given(
    st.dictionaries(st.sampled_from(list(SENT)), HEADER | st.lists(TOKEN.map(",".join), max_size=20).map(" ".join), min_size=1),
    st.binary(max_size=200),
)
def test_whatever_is_in_the_headers_and_the_body_it_is_refused_in_one_way(changed, body):
    sent = {**SENT, **changed}
    try:
        signatures.verify(sent, body, KEYS, NOW)
    except SignatureInvalid:
        return
    assert body == BODY
    assert set(SENT[signatures.SIGNATURE].split(" ")) & set(sent[signatures.SIGNATURE].split(" "))


@given(
    st.integers(0, 10**13),
    st.binary(max_size=200),
    st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=256),
)
def test_whatever_is_signed_is_verified_at_its_time_and_no_other(stamp, body, message_id):
    if stamp >= 10**12:
        with pytest.raises(ValueError, match="whole seconds"):
            signatures.Signer(KEYS).headers(message_id, stamp, body)
        return
    sent = signatures.Signer(KEYS).headers(message_id, stamp, body)
    if stamp < 2**32:
        assert signatures.verify(sent, body, KEYS, dt.datetime.fromtimestamp(stamp, dt.UTC)).id == message_id
    if abs(stamp - STAMP) > 300:
        with pytest.raises(SignatureInvalid):
            signatures.verify(sent, body, KEYS, NOW)


@pytest.mark.parametrize(
    ("text", "why"),
    (
        ("", "begin with"),
        ("secret", "begin with"),
        ("whsec_*", "base64"),
        ("whsec_é", "base64"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "24 to 64"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "24 to 64"),
        ("whsk_" + base64.b64encode(b"x" * 33).decode(), "32 or 64"),
        ("whsk_" + base64.b64encode(b"x" * 64).decode(), "belong together"),
        ("whpk_" + base64.b64encode(b"x" * 31).decode(), "32 bytes"),
    ),
)
def test_a_key_that_is_none_is_refused_without_being_repeated(text, why):
    with pytest.raises(ValueError, match=why) as error:
        signatures.read_key(text)
    assert len(text) < 9 or text[7:] not in str(error.value)


def test_a_key_does_not_print_itself():
    assert SHARED[6:] not in repr(KEYS)
    assert PRIVATE[5:] not in repr(KEYS)


def test_minted_keys_differ_and_a_private_key_knows_its_public_half():
    assert signatures.mint_shared() != signatures.mint_shared()
    key = signatures.read_key(PRIVATE)
    assert isinstance(key, signatures.PrivateKey)
    signatures.verify(SENT, BODY, [signatures.read_key(key.public)], NOW)


def test_a_public_key_cannot_sign_and_without_a_key_nothing_is_signed():
    key = signatures.read_key(PRIVATE)
    assert isinstance(key, signatures.PrivateKey)
    for keys in ([], [signatures.read_key(key.public)]):
        with pytest.raises(ValueError, match="signing needs"):
            signatures.Signer(keys)
    with pytest.raises(ValueError, match="without a dot"):
        signatures.Signer(KEYS).headers("evt.1", STAMP, BODY)
