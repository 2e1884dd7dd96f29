"""Signatures, against the vectors of Standard Webhooks 1.0.0 and its own library."""

import datetime as dt
import json
from pathlib import Path

import pytest
import standardwebhooks

from ipt_workflow.ehr import signatures
from ipt_workflow.errors import SignatureInvalid

VECTORS = {
    each["scheme"]: each
    for each in json.loads((Path(__file__).parents[1] / "vectors" / "standard-webhooks" / "vectors.json").read_text())
}
SECRET = VECTORS["v1"]["secret"]


def keys(scheme: str) -> tuple[str, str]:
    """The key that signs, and the one that verifies."""
    vector = VECTORS[scheme]
    if scheme == "v1":
        return vector["secret"], vector["secret"]
    return "whsk_" + vector["private_key_seed_and_public_base64"], "whpk_" + vector["public_key_base64"]


def headers(vector: dict) -> dict[str, str]:
    return {"webhook-id": vector["id"], "webhook-timestamp": str(vector["timestamp"]), "webhook-signature": vector["signature"]}


@pytest.mark.parametrize("scheme", ("v1", "v1a"))
def test_we_sign_as_the_vector_does(scheme):
    vector = VECTORS[scheme]
    signer = signatures.Signer([signatures.read_key(keys(scheme)[0])])
    assert signer.headers(vector["id"], vector["timestamp"], vector["body"].encode()) == headers(vector)


@pytest.mark.parametrize("scheme", ("v1", "v1a"))
@pytest.mark.parametrize("which", (0, 1))
def test_the_vector_is_verified_with_either_half(scheme, which):
    vector = VECTORS[scheme]
    now = dt.datetime.fromtimestamp(vector["timestamp"], dt.UTC)
    found = signatures.verify(headers(vector), vector["body"].encode(), [signatures.read_key(keys(scheme)[which])], now)
    assert found == signatures.SignedHeaders(vector["id"], vector["timestamp"])


@pytest.mark.parametrize("scheme", ("v1", "v1a"))
@pytest.mark.parametrize("name", ("webhook-id", "webhook-timestamp", "webhook-signature", "body"))
def test_a_vector_with_one_character_changed_is_refused(scheme, name):
    vector = VECTORS[scheme]
    now = dt.datetime.fromtimestamp(vector["timestamp"], dt.UTC)
    sent, body = headers(vector), vector["body"]
    if name == "body":
        body = body.replace("4", "5")
    else:
        sent[name] = sent[name][:-4] + ("1" if sent[name][-4] != "1" else "2") + sent[name][-3:]
    with pytest.raises(SignatureInvalid):
        signatures.verify(sent, body.encode(), [signatures.read_key(keys(scheme)[1])], now)


def test_the_library_verifies_what_we_sign_and_we_what_it_signs():
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    body = '{"type":"course.changed","ä":"ü"}'
    ours = signatures.Signer([signatures.read_key(SECRET)]).headers("evt_1", int(now.timestamp()), body.encode())
    library = standardwebhooks.Webhook(SECRET)
    assert library.verify(body, ours) == json.loads(body)

    theirs = {**ours, "webhook-signature": library.sign("evt_1", now, body)}
    assert signatures.verify(theirs, body.encode(), [signatures.read_key(SECRET)], now).id == "evt_1"


def test_the_library_verifies_a_message_of_ours_under_the_old_key_and_the_new():
    old, new = signatures.mint_shared(), signatures.mint_shared()
    now = int(dt.datetime.now(dt.UTC).timestamp())
    signer = signatures.Signer([signatures.read_key(new), signatures.read_key(old), signatures.read_key(signatures.mint_private())])
    sent = signer.headers("evt_1", now, b"{}")
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(b"{}", sent)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(signatures.mint_shared()).verify(b"{}", sent)


@pytest.mark.parametrize("scheme", ("v1", "v1a"))
@pytest.mark.parametrize("beside", ("{} v1,!!!", "v1,!!! {}", "v1a,A= {}", "v2,AAAA {}", "{} nonsense", " {}", "{}  v1,AAAA "))
def test_the_vector_is_verified_whatever_stands_beside_its_signature(scheme, beside):
    vector = VECTORS[scheme]
    now = dt.datetime.fromtimestamp(vector["timestamp"], dt.UTC)
    sent = {**headers(vector), "webhook-signature": beside.format(vector["signature"])}
    found = signatures.verify(sent, vector["body"].encode(), [signatures.read_key(keys(scheme)[1])], now)
    assert found.id == vector["id"]


@pytest.mark.parametrize("beside", ("v1,!!! {}", "v1,AAAA {}", "v1a,??? {}", "v2,x {}", "{} nonsense", "{}  v1,AAAA"))
def test_the_library_and_we_take_the_same_headers(beside):
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    sent = signatures.Signer([signatures.read_key(SECRET)]).headers("evt_1", int(now.timestamp()), b"{}")
    sent["webhook-signature"] = beside.format(sent["webhook-signature"])
    assert standardwebhooks.Webhook(SECRET).verify(b"{}", sent) == {}
    assert signatures.verify(sent, b"{}", [signatures.read_key(SECRET)], now).id == "evt_1"
