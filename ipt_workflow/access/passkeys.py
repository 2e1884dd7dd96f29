"""Passkeys (WebAuthn): what a browser is asked, and whether its answer proves who somebody is. Challenges and keys are handed in.

A passkey is bound to the host name of the address at which people reach the service, so an address by numbers has none. The authenticator
must verify the person, by a PIN or a finger, and must keep the passkey itself, so that nobody types a name.
"""

import hashlib
import ipaddress
import re
import secrets
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from msgspec import Meta

from ipt_workflow.errors import IptError
from ipt_workflow.values.types import whole

ALGORITHMS = (-7, -8, -257)  # of COSE: ES256, EdDSA, RS256
CHALLENGE_MINUTES = 5
CREDENTIAL_ID_MAX = 1023  # bytes, by WebAuthn
_REQUIRED = UserVerificationRequirement.REQUIRED
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_Base64 = Annotated[str, Meta(pattern=whole("[A-Za-z0-9_-]+"), max_length=22_000)]
_BAD_ANSWERS = (  # whatever the library raises for bytes that are no answer of an authenticator
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
    UnsupportedAlgorithm,
)


class PasskeyRefused(IptError):
    """An answer of an authenticator proves nothing. `why` is `answer`, `user_verification` or `counter`."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__("The passkey was not accepted.")


class _Response(msgspec.Struct, frozen=True, rename="camel"):
    client_data_json: _Base64 = msgspec.field(name="clientDataJSON")
    authenticator_data: _Base64 | None = None
    signature: _Base64 | None = None
    user_handle: _Base64 | None = None
    attestation_object: _Base64 | None = None


class PasskeyAnswer(msgspec.Struct, frozen=True):
    """What the browser's `toJSON` makes of a new passkey or of an answer to a challenge. Fields that are not used are passed over."""

    id: _Base64
    response: _Response


class NewPasskey(msgspec.Struct, frozen=True, kw_only=True):
    """A passkey that was just made. `credential` holds its id and public key; `synced` says whether it is kept on other devices too."""

    id: str
    credential: bytes
    sign_count: int
    synced: bool


class KnownPasskey(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying needs of a stored passkey."""

    credential: bytes
    sign_count: int
    user_handle: bytes


class RelyingParty:
    """This service as passkeys know it: the host name and the origin of the address at which people reach it."""

    def __init__(self, host: str, origin: str) -> None:
        self._origin = origin
        entity = PublicKeyCredentialRpEntity(id=host, name="ipt_workflow")
        self._server = Fido2Server(entity, verify_origin=lambda given: given == origin)
        self._server.timeout = CHALLENGE_MINUTES * 60_000  # type: ignore[assignment]  # the library infers that it is always None
        self._server.allowed_algorithms = [
            PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=each) for each in ALGORITHMS
        ]

    def creation(
        self, challenge: bytes, user_handle: bytes, person: str, name: str, credentials: Sequence[bytes]
    ) -> dict[str, Any]:
        """The options with which a browser makes a passkey, unless its authenticator has one of `credentials` already."""
        known = [AttestedCredentialData(each).credential_id for each in credentials]
        options, _ = self._server.register_begin(
            PublicKeyCredentialUserEntity(id=user_handle, name=person, display_name=name),
            [PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=each) for each in known],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=_REQUIRED,
            challenge=challenge,
        )
        return dict(dict(options)["publicKey"])

    def request(self, challenge: bytes) -> dict[str, Any]:
        """The options with which a browser asks for a passkey, of whomever."""
        options, _ = self._server.authenticate_begin(user_verification=_REQUIRED, challenge=challenge)
        return dict(dict(options)["publicKey"])

    def made(self, challenge: bytes, answer: PasskeyAnswer) -> NewPasskey:
        """The passkey that a browser made. Raises PasskeyRefused."""
        with _refused():
            given = RegistrationResponse.from_dict(_as_fido2(answer))
            self._check(given.response.client_data, given.response.attestation_object.auth_data)
            data = self._server.register_complete(_state(challenge), given)
            credential = data.credential_data
            if credential is None or credential.public_key.get(3) not in ALGORITHMS:
                raise PasskeyRefused("answer")
            if credential.credential_id != given.raw_id or not 1 <= len(credential.credential_id) <= CREDENTIAL_ID_MAX:
                raise PasskeyRefused("answer")
            return NewPasskey(
                id=_digest(credential.credential_id),
                credential=bytes(credential),
                sign_count=data.counter,
                synced=data.is_backed_up(),
            )

    def verified(self, challenge: bytes, known: KnownPasskey, answer: PasskeyAnswer) -> tuple[int, bool]:
        """The passkey's sign counter now, and whether it is synced. Raises PasskeyRefused unless the passkey's holder answered."""
        with _refused():
            given = AuthenticationResponse.from_dict(_as_fido2(answer))
            data = given.response.authenticator_data
            self._check(given.response.client_data, data)
            self._server.authenticate_complete(_state(challenge), [AttestedCredentialData(known.credential)], given)
            if given.response.user_handle != known.user_handle:
                raise PasskeyRefused("answer")
            if not counts_on(known.sign_count, data.counter):
                raise PasskeyRefused("counter")
            return data.counter, data.is_backed_up()

    def _check(self, client: CollectedClientData, data: AuthenticatorData) -> None:
        """What the library does not check, or does not say apart."""
        if client.cross_origin is not False:
            raise PasskeyRefused("answer")
        if not data.is_user_verified():
            raise PasskeyRefused("user_verification")


def counts_on(stored: int, given: int) -> bool:
    """Whether a sign counter goes on. Synced passkeys have none and say 0 always; any other has grown, or the passkey was copied."""
    return given > stored or (given == 0 and stored == 0)


def relying_party(public_url: str) -> RelyingParty | None:
    """None for an address that passkeys refuse: one by numbers, or by http of another machine than one's own."""
    address = urlsplit(public_url)
    host = (address.hostname or "").lower()
    if not _NAME.fullmatch(host) or _is_ip(host):
        return None
    own = host == "localhost" or host.endswith(".localhost")
    if address.scheme != "https" and not (address.scheme == "http" and own):
        return None
    port = address.netloc.rpartition(":")[2] if ":" in address.netloc else ""
    usual = {"https": "443", "http": "80"}[address.scheme]
    return RelyingParty(host, f"{address.scheme}://{host}" + (f":{port}" if port not in {"", usual} else ""))


def id_of(answer: PasskeyAnswer) -> str:
    """The id under which the passkey of an answer is stored. Raises PasskeyRefused."""
    with _refused():
        return _digest(websafe_decode(answer.id))


def read(text: str | bytes) -> PasskeyAnswer:
    """The answer that a page's script posts. Raises PasskeyRefused."""
    with _refused():
        return msgspec.json.decode(text, type=PasskeyAnswer)


def challenge_of(answer: PasskeyAnswer) -> bytes:
    """The challenge that an answer says it answers. Raises PasskeyRefused."""
    with _refused():
        return CollectedClientData(websafe_decode(answer.response.client_data_json)).challenge


def new_challenge() -> bytes:
    return secrets.token_bytes(32)


def new_user_handle() -> bytes:
    """How authenticators name a person: it tells nothing of them."""
    return secrets.token_bytes(32)


@contextmanager
def _refused() -> Iterator[None]:
    """Whatever an answer that is none makes the library raise, as PasskeyRefused."""
    try:
        yield
    except _BAD_ANSWERS:
        raise PasskeyRefused("answer") from None


def _state(challenge: bytes) -> dict[str, Any]:
    return {"challenge": websafe_encode(challenge), "user_verification": _REQUIRED}


def _as_fido2(answer: PasskeyAnswer) -> dict[str, Any]:
    given = {name: value for name, value in msgspec.to_builtins(answer.response).items() if value is not None}
    return {"id": answer.id, "rawId": answer.id, "type": "public-key", "response": given}


def _digest(credential_id: bytes) -> str:
    return hashlib.sha256(credential_id).hexdigest()


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
