"""Keys, claims, policies: what is accepted, and above all what is not."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import CorruptImage, InvalidInput, RefusedByPolicy
from rootless.images import reference
from rootless.images.trust import claims, decision, keys, policy
from rootless.images.trust.claims import Claim
from rootless.images.trust.decision import Evidence

DIGEST = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64
NAME = reference.parse("example.org:5000/team/app:v1")


def signed(private: bytes, name: str = NAME.name, digest: str = DIGEST) -> Evidence:
    payload = claims.payload_of(Claim(name, digest))
    return Evidence(payload, keys.sign(keys.load_private(private, None, "key"), payload))


def policy_with(*requirements: dict[str, Any], scope: str = "") -> policy.Policy:
    document = {"default": [{"type": "reject"}], "transports": {"docker": {scope: list(requirements)}}}
    return policy.parse(json.dumps(document).encode(), "/p")


def by_key(pair: keys.KeyPair, **identity: str) -> dict[str, Any]:
    requirement: dict[str, Any] = {"type": "sigstoreSigned", "keyData": base64.b64encode(pair.public).decode()}
    return {**requirement, "signedIdentity": identity} if identity else requirement


def check(made: policy.Policy, *found: Evidence, name: reference.Reference = NAME) -> None:
    decision.check(made, made.for_registry(name), name, [DIGEST], found)


@pytest.fixture(scope="module")
def pair() -> keys.KeyPair:
    return keys.generate(None)


def test_a_key_pair_with_a_passphrase() -> None:
    made = keys.generate(b"secret")
    assert b"ENCRYPTED" in made.private
    key = keys.load_private(made.private, b"secret", "k")
    assert keys.is_signed(keys.load_public(made.public, "p"), b"content", keys.sign(key, b"content"))
    for wrong in (None, b"", b"wrong"):
        with pytest.raises(InvalidInput, match="k"):
            keys.load_private(made.private, wrong, "k")
    for text in (b"", b"nonsense", b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----"):
        with pytest.raises(InvalidInput):
            keys.load_private(text, None, "k")
        with pytest.raises(InvalidInput):
            keys.load_public(text, "k")


def test_a_claim_survives_its_payload() -> None:
    claim = Claim("example.org/a:b", DIGEST)
    assert claims.claim_of(claims.payload_of(claim)) == claim


@pytest.mark.parametrize(
    "change", [{"type": "other"}, {"image": {}}, {"image": []}, {"identity": {"docker-reference": 1}}, {"extra": 1}]
)
def test_a_payload_of_another_form_is_refused(change: dict[str, Any]) -> None:
    document = json.loads(claims.payload_of(Claim("example.org/a:b", DIGEST)))
    document["critical"].update(change)
    with pytest.raises(CorruptImage):
        claims.claim_of(json.dumps(document).encode())


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"[" * 100_000, b'{"critical": 1}'])
def test_a_payload_that_is_none_is_refused(payload: bytes) -> None:
    with pytest.raises(CorruptImage):
        claims.claim_of(payload)


def test_signatures_are_added_to_those_that_are_there() -> None:
    manifest, _config = claims.with_signature(None, b"one", b"first")
    manifest, config = claims.with_signature(json.loads(manifest), b"two", b"second")
    found = claims.attached_of(json.loads(manifest))
    assert [(one.payload.digest, one.signature) for one in found] == [
        (claims.digest_of(b"one"), b"first"),
        (claims.digest_of(b"two"), b"second"),
    ]
    assert json.loads(config)["rootfs"]["diff_ids"] == [one.payload.digest for one in found]
    assert claims.attached_of({"layers": [1, {}, {"mediaType": claims.PAYLOAD_TYPE, "annotations": {}}]}) == []


@pytest.mark.parametrize("layers", [{"a": 1}, [1], [{"digest": 5}], [{"digest": DIGEST, "size": 1}] * claims.MAX_SIGNATURES])
def test_nothing_is_added_to_signatures_that_are_malformed_or_too_many(layers: Any) -> None:
    with pytest.raises(CorruptImage, match="signature"):
        claims.with_signature({"layers": layers}, b"payload", b"signature")


def test_the_right_signature_is_accepted(pair: keys.KeyPair) -> None:
    check(policy_with(by_key(pair)), signed(pair.private))
    check(policy_with(by_key(pair)), signed(keys.generate(None).private), signed(pair.private))


@pytest.mark.parametrize(
    ("name", "digest", "reason"),
    [
        (NAME.name, OTHER, f"is for {OTHER}"),
        ("example.org:5000/team/app:v2", DIGEST, "is for the name"),
        ("example.org:5000/team/other:v1", DIGEST, "is for the name"),
        ("example.org:5000/team/app", DIGEST, "is for the name"),
    ],
)
def test_a_signature_for_something_else_is_not(pair: keys.KeyPair, name: str, digest: str, reason: str) -> None:
    with pytest.raises(RefusedByPolicy, match=reason):
        check(policy_with(by_key(pair)), signed(pair.private, name, digest))


def test_no_signature_a_stranger_s_or_a_changed_one_is_refused(pair: keys.KeyPair) -> None:
    good = signed(pair.private)
    changed = [Evidence(good.payload + b" ", good.signature)], [Evidence(good.payload, b"")]
    for found in ([], [signed(keys.generate(None).private)], *changed):
        with pytest.raises(RefusedByPolicy, match=f"/p refuses {NAME.name}"):
            check(policy_with(by_key(pair)), *found)


@pytest.mark.parametrize(
    ("identity", "signed_as", "accepted"),
    [
        ({"type": "matchRepository"}, "example.org:5000/team/app", True),
        ({"type": "matchRepository"}, "example.org:5000/team/app:v9", True),
        ({"type": "matchRepository"}, "example.org:5000/team/apps:v1", False),
        ({"type": "matchExact"}, NAME.name, True),
        ({"type": "exactReference", "dockerReference": "other.org/x:y"}, "other.org/x:y", True),
        ({"type": "exactReference", "dockerReference": "other.org/x:y"}, NAME.name, False),
        ({"type": "exactRepository", "dockerRepository": "other.org/x"}, "other.org/x:z", True),
        ({"type": "remapIdentity", "prefix": "example.org:5000/team", "signedPrefix": "up.org/t"}, "up.org/t/app:v1", True),
        ({"type": "remapIdentity", "prefix": "example.org:5000/tea", "signedPrefix": "up.org/t"}, "up.org/tm/app:v1", False),
    ],
)
def test_signed_identities(pair: keys.KeyPair, identity: dict[str, str], signed_as: str, accepted: bool) -> None:
    made, evidence = policy_with(by_key(pair, **identity)), signed(pair.private, signed_as)
    if accepted:
        check(made, evidence)
    else:
        with pytest.raises(RefusedByPolicy):
            check(made, evidence)


@pytest.mark.parametrize(
    "scope", ["example.org:5000/team/app:v1", "example.org:5000/team/app", "example.org:5000/team", "example.org:5000", "*.org", ""]
)
def test_scopes(scope: str) -> None:
    accepting = {"type": "insecureAcceptAnything"}
    check(policy_with(accepting, scope=scope))
    for other in ("example.org:5000/team/app:v2", "example.org:5000/te", "example.org", "*.example.org"):
        with pytest.raises(RefusedByPolicy, match="rejected"):
            check(policy_with(accepting, scope=other))


def test_gpg_signatures_are_refused_and_said_to_be_unknown() -> None:
    with pytest.raises(RefusedByPolicy, match="GPG"):
        check(policy_with({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"default": []}',
        '{"default": [{"type": "nosuch"}]}',
        '{"default": [{"type": "sigstoreSigned"}]}',
        '{"default": [{"type": "sigstoreSigned", "keyData": "!"}]}',
        '{"default": [{"type": "sigstoreSigned", "keyPath": "/nonexistent"}]}',
        '{"default": [{"type": "sigstoreSigned", "fulcio": {}, "keyData": ""}]}',
        '{"default": [{"type": ["reject"]}]}',
        '{"default": [{"type": "sigstoreSigned", "keyPaths": 5}]}',
        '{"default": [{"type": "sigstoreSigned", "keyDatas": "YQ=="}]}',
        '{"default": [{"type": "sigstoreSigned", "keyPath": "a\\u0000"}]}',
        '{"default": [{"type": "sigstoreSigned", "keyData": "é"}]}',
        '{"default": [{"type": "sigstoreSigned", "keyData": "YQ==", "signedIdentity": {"type": []}}]}',
        '{"default": [{"type": "sigstoreSigned", "keyData": "YQ==", "signedIdentity": {"type": "exactReference"}}]}',
        '{"default": [{"type": "sigstoreSigned", "keyData": "YQ==", "signedIdentity": {"type": "remapIdentity", "prefix": "a"}}]}',
        '{"default": [{"type": "sigstoreSigned", "keyData": "YQ==", "signedIdentity": '
        '{"type": "exactRepository", "dockerRepository": "A b"}}]}',
        '{"default": [{"type": "reject"}], "defaults": 1}',
        '{"default": [{"type": "reject"}], "transports": {"docker": {"": {}}}}',
    ],
)
def test_a_policy_that_is_not_understood_is_an_error(content: str) -> None:
    with pytest.raises(InvalidInput, match="/p"):
        policy.parse(content.encode(), "/p")


def test_the_user_s_policy_comes_before_the_system_s(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    etc = tmp_path / "etc"
    assert policy.load(environ, str(etc)) == policy.ANYTHING
    for folder, kind in ((etc, "reject"), (tmp_path / ".config", "insecureAcceptAnything")):
        (folder / "containers").mkdir(parents=True)
        (folder / "containers" / "policy.json").write_text(json.dumps({"default": [{"type": kind}]}))
        assert policy.load(environ, str(etc)).default[0].kind == kind


def test_files_and_folders_have_no_signatures(pair: keys.KeyPair) -> None:
    document = {"default": [by_key(pair)], "transports": {"oci": {"/srv": [{"type": "insecureAcceptAnything"}]}}}
    made = policy.parse(json.dumps(document).encode(), "/p")
    policy.enforce_unsigned(made, "oci", "/srv/images")
    for transport, path in (("oci", "/home"), ("docker-archive", "/srv/images")):
        with pytest.raises(RefusedByPolicy):
            policy.enforce_unsigned(made, transport, path)
