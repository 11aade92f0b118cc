"""A token server (distribution's "Token Authentication") for docker-registry, and the registry's settings for it."""

import base64
import datetime
import json
import secrets
import time
import urllib.parse
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from tests.support.scripted_registry import Request, ScriptedRegistry

SERVICE = "the registry"
ISSUER = "the test"


class TokenServer:
    """Gives tokens to `user` with `password`; answers at /token of a scripted registry. `scopes` are those that were asked for."""

    def __init__(self, server: ScriptedRegistry, user: str, password: str) -> None:
        self.realm = f"http://{server.host}/token"
        self.scopes: list[list[str]] = []
        self._login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.datetime.now(datetime.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        server.replies["/token"] = self._reply

    @property
    def certificate(self) -> str:
        """The certificate of the key that signs tokens, in PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def settings(self, certificate_path: str) -> dict[str, Any]:
        """Return docker-registry's section `auth`; the file has `certificate`."""
        return {"token": {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": certificate_path}}

    def _reply(self, request: Request) -> None:
        if request.headers.get("authorization") != self._login:
            request.answer(401, b'{"errors": [{"message": "wrong"}]}')
            return
        scopes = urllib.parse.parse_qs(request.path.partition("?")[2]).get("scope", [])
        self.scopes.append(scopes)
        request.answer(200, json.dumps({"token": self._token(scopes)}).encode())

    def _token(self, scopes: list[str]) -> str:
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        times = {"iat": now, "nbf": now - 60, "exp": now + 300}
        claims = {"iss": ISSUER, "sub": "user", "aud": SERVICE, "jti": secrets.token_hex(8), "access": access, **times}
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        first, second = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(first.to_bytes(32, 'big') + second.to_bytes(32, 'big'))}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
