"""Signatures in a real registry: rl signs, rl and openssl verify; a policy keeps the unsigned out."""

import base64
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine
from tests.support.registries import Registry


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.fixture
def signer(engine: Engine, registry: Registry) -> Engine:
    """An engine whose user has a key pair and has pushed busybox twice: as app:signed and app:unsigned."""
    engine.environment["COSIGN_PASSWORD"] = "secret"
    engine.rl("image", "generate-key-pair", "--output-key-prefix", str(engine.folder / "home" / "our"))
    for tag in ("signed", "unsigned"):
        name = f"{registry.host}/team/{tag}:v1"
        engine.rl("tag", "busybox", name)
        engine.rl("push", "-q", name)
        engine.rl("rmi", name)
    return engine


def _home(engine: Engine) -> Path:
    return engine.folder / "home"


def _set_policy(engine: Engine, registry: Registry, **fields: Any) -> Path:
    path = _home(engine) / ".config" / "containers" / "policy.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    requirement = {"type": "sigstoreSigned", "keyPath": str(_home(engine) / "our.pub"), **fields}
    document = {"default": [{"type": "reject"}], "transports": {"docker": {registry.host: [requirement]}}}
    path.write_text(json.dumps(document))
    return path


def test_what_is_signed_comes_in_and_what_is_not_stays_out(signer: Engine, registry: Registry) -> None:
    signed, unsigned = f"{registry.host}/team/signed:v1", f"{registry.host}/team/unsigned:v1"
    our = str(_home(signer) / "our")
    digest = signer.rl("image", "sign", "--key", f"{our}.key", signed).stdout.strip()
    verified = json.loads(signer.rl("image", "verify", "--key", f"{our}.pub", signed).stdout)
    assert verified == [{"Reference": signed, "Digest": digest}]
    assert "has no signatures" in signer.rl("image", "verify", "--key", f"{our}.pub", unsigned, check=1).stderr
    _set_policy(signer, registry)
    signer.rl("pull", "-q", signed)
    refused = signer.rl("pull", "-q", unsigned, check=1)
    assert "a signature was required, but the image has none" in refused.stderr
    assert unsigned.rpartition(":")[0] not in signer.rl("images").stdout
    with Registry() as elsewhere:
        other = f"{elsewhere.host}/team/app:v1"
        signer.rl("push", "-q", signed, other)
        assert "images from there are rejected" in signer.rl("pull", "-q", other, check=1).stderr


def test_signatures_of_strangers_and_for_other_names(signer: Engine, registry: Registry) -> None:
    signed = f"{registry.host}/team/signed:v1"
    home = _home(signer)
    signer.rl("image", "generate-key-pair", "--output-key-prefix", str(home / "their"))
    signer.rl("image", "sign", "--key", str(home / "their.key"), signed)
    assert "none of the 1 signatures" in signer.rl("image", "verify", "--key", str(home / "our.pub"), signed, check=1).stderr
    _set_policy(signer, registry)
    assert "no key of the policy" in signer.rl("pull", "-q", signed, check=1).stderr
    signer.rl("image", "sign", "--key", str(home / "our.key"), signed)
    assert len(json.loads(signer.rl("image", "verify", "--key", str(home / "our.pub"), signed).stdout)) == 1
    signer.rl("pull", "-q", signed)


def test_keys_that_are_wrong(signer: Engine, registry: Registry) -> None:
    signed, home = f"{registry.host}/team/signed:v1", _home(signer)
    wrong = signer.rl("image", "sign", "--key", str(home / "our.key"), signed, env={"COSIGN_PASSWORD": "wrong"}, check=1)
    assert "cannot read the private key" in wrong.stderr
    assert "No such file" in signer.rl("image", "sign", "--key", "/nonexistent", signed, check=1).stderr
    assert "cannot read the public key" in signer.rl("image", "verify", "--key", str(home / "our.key"), signed, check=1).stderr
    again = signer.rl("image", "generate-key-pair", "--output-key-prefix", str(home / "our"), check=1)
    assert "exists already" in again.stderr
    assert (home / "our.key").stat().st_mode & 0o777 == 0o600


def test_openssl_verifies_what_lies_in_the_registry(signer: Engine, registry: Registry) -> None:
    """In cosign's form, and so that a stranger's tool agrees (Debian's skopeo and podman are built without sigstore)."""
    home, name = _home(signer), f"{registry.host}/team/signed:v1"
    digest = signer.rl("image", "sign", "--key", str(home / "our.key"), name).stdout.strip()
    base = f"http://{registry.host}/v2/team/signed"
    manifest = json.loads(_get(f"{base}/manifests/{digest.replace(':', '-')}.sig"))
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    payload = home / "payload"
    payload.write_bytes(_get(f"{base}/blobs/{layer['digest']}"))
    critical = json.loads(payload.read_bytes())["critical"]
    assert critical == {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    signature = home / "signature"
    signature.write_bytes(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
    command = ["openssl", "dgst", "-sha256", "-verify", str(home / "our.pub"), "-signature", str(signature), str(payload)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "Verified OK\n"
    config = json.loads(_get(f"{base}/blobs/{manifest['config']['digest']}"))
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]


def _get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
        content: bytes = response.read()
    return content


def test_skopeo_copies_a_signature_along_as_an_image(signer: Engine, registry: Registry) -> None:
    home, name = _home(signer), f"{registry.host}/team/signed:v1"
    digest = signer.rl("image", "sign", "--key", str(home / "our.key"), name).stdout.strip()
    signatures = f"docker://{registry.host}/team/signed:{digest.replace(':', '-')}.sig"
    registry.copy(signatures, "other/place:sig", "--src-tls-verify=false")


def test_a_key_given_as_data_and_an_unreadable_policy(signer: Engine, registry: Registry) -> None:
    name = f"{registry.host}/team/signed:v1"
    signer.rl("image", "sign", "--key", str(_home(signer) / "our.key"), name)
    data = base64.b64encode((_home(signer) / "our.pub").read_bytes()).decode()
    path = _set_policy(signer, registry)
    document = json.loads(path.read_text())
    document["transports"]["docker"][registry.host] = [{"type": "sigstoreSigned", "keyData": data}]
    path.write_text(json.dumps(document))
    signer.rl("pull", "-q", name)
    path.write_text("{")
    assert "is not JSON" in signer.rl("pull", "-q", name, check=1).stderr


def test_files_and_folders_come_in_as_the_policy_says(signer: Engine, registry: Registry) -> None:
    archive, folder = signer.folder / "a.tar", signer.folder / "layout"
    signer.rl("save", "-q", "-o", str(archive), "busybox")
    signer.rl("push", "-q", "busybox", f"oci:{folder}:v1")
    path = _set_policy(signer, registry)
    run = ("run", "--rm", "--network", "none", f"docker-archive:{archive}", "true")
    for arguments in (("load", "-i", str(archive)), ("pull", f"oci:{folder}:v1"), run):
        assert "refuses" in signer.rl(*arguments, check=125 if arguments == run else 1).stderr
    accepting = [{"type": "insecureAcceptAnything"}]
    document = json.loads(path.read_text())
    document["transports"] |= {"docker-archive": {str(signer.folder): accepting}, "oci": {str(folder): accepting}}
    path.write_text(json.dumps(document))
    signer.rl("load", "-i", str(archive))
    signer.rl("pull", f"oci:{folder}:v1")
    signer.rl(*run)
