"""An authenticator in software: it answers as a browser's `toJSON` does, and misbehaves where a test wants it."""

import json
import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import sha256, websafe_decode, websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

FLAG = AuthenticatorData.FLAG
VERIFIED = FLAG.UP | FLAG.UV


class SoftwareAuthenticator:
    """Holds one passkey. `count` is its sign counter, which stays 0 as that of a synced passkey unless `counts`."""

    def __init__(self, origin: str = "http://localhost:8000", *, counts: bool = False) -> None:
        self.origin = origin
        self.counts = counts
        self.count = 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(16)
        self.user_handle = ""

    def make(self, options: dict, flags: FLAG = VERIFIED, **client: object) -> dict:
        self.user_handle = options["user"]["id"]
        credential = AttestedCredentialData.create(
            b"\0" * 16, self.credential_id, ES256.from_cryptography_key(self.key.public_key())
        )
        data = AuthenticatorData.create(self._rp(options["rp"]["id"]), flags | FLAG.AT, self._counted(), credential)
        attestation = AttestationObject.create("none", data, {})
        response = {
            "clientDataJSON": self._client("webauthn.create", options["challenge"], client),
            "attestationObject": websafe_encode(attestation),
        }
        return self._answer(response)

    def sign(self, options: dict, flags: FLAG = VERIFIED, **client: object) -> dict:
        data = AuthenticatorData.create(self._rp(options["rpId"]), flags, self._counted())
        client_data = self._client("webauthn.get", options["challenge"], client)
        signed = bytes(data) + sha256(websafe_decode(client_data))
        response = {
            "clientDataJSON": client_data,
            "authenticatorData": websafe_encode(data),
            "signature": websafe_encode(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
            "userHandle": self.user_handle,
        }
        return self._answer(response)

    def _answer(self, response: dict) -> dict:
        name = websafe_encode(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "clientExtensionResults": {}, "response": response}

    def _counted(self) -> int:
        self.count += self.counts
        return self.count

    def _client(self, kind: str, challenge: str, more: dict) -> str:
        data = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False, **more}
        return websafe_encode(json.dumps(data).encode())

    def _rp(self, rp_id: str) -> bytes:
        return sha256(rp_id.encode())
