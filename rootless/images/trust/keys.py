"""Key pairs that sign and verify: ECDSA over P-256 with SHA-256, as cosign and sigstore have them (PEM: PKCS #8, SPKI).

`cryptography` takes 60 ms to import: this module is loaded where something is signed or verified only.
"""

from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rootless.errors import InvalidInput

_COSIGN_OWN = b"ENCRYPTED COSIGN PRIVATE KEY", b"ENCRYPTED SIGSTORE PRIVATE KEY"


class KeyPair(NamedTuple):
    """PEM text of both halves."""

    private: bytes
    public: bytes


def generate(passphrase: bytes | None) -> KeyPair:
    """Return a new key pair, the private half encrypted unless there is no passphrase."""
    key = ec.generate_private_key(ec.SECP256R1())
    cipher = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return KeyPair(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher),
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def load_private(pem: bytes, passphrase: bytes | None, name: str) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a PEM file called `name`. Raises `InvalidInput`."""
    if any(label in pem for label in _COSIGN_OWN):
        raise InvalidInput(
            f"the private key {name} is encrypted in cosign's own way, which is not supported",
            "give it as PKCS #8, encrypted or not: openssl pkcs8 -topk8, or rl image generate-key-pair",
        )
    try:
        key = serialization.load_pem_private_key(pem, passphrase or None)
    except TypeError as error:
        hint = "set COSIGN_PASSWORD, or use a terminal"
        raise InvalidInput(f"the private key {name} needs a passphrase: {error}", hint) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"cannot read the private key {name}: {error}", "check the passphrase and the file") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidInput(f"the private key {name} is not for ECDSA", "make one with rl image generate-key-pair")
    return key


def load_public(pem: bytes, name: str) -> ec.EllipticCurvePublicKey:
    """Return the public key in PEM text that was found at `name`. Raises `InvalidInput`."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"cannot read the public key {name}: {error}", "give a PEM file (-----BEGIN PUBLIC KEY-----)") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidInput(f"the public key {name} is not for ECDSA", "only ECDSA keys, as cosign makes them, are supported")
    return key


def sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    """Return the DER signature of `content`."""
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


def is_signed(key: ec.EllipticCurvePublicKey, content: bytes, signature: bytes) -> bool:
    """Tell whether `signature` over `content` was made by the other half of `key`."""
    try:
        key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
