"""Registries on loopback: Debian's docker-registry, with images put there by skopeo."""

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

from rootless.images import media_types
from tests.support.test_user import USER, drop_privileges

_PATIENCE: Final = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Registry:
    """A running docker-registry of the test user; `options` is merged into its configuration (JSON is YAML)."""

    def __init__(self, port: int | None = None, **options: Any) -> None:
        self.port = port or free_port()
        self.host = f"127.0.0.1:{self.port}"
        self._options = options
        self.folder = tempfile.mkdtemp(prefix="rl-registry-")
        os.chown(self.folder, USER.pw_uid, USER.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Registry":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        config: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": f"{self.folder}/data"}},
            "http": {"addr": self.host},
        }
        for section, values in self._options.items():
            config[section] = {**config.get(section, {}), **values}
        with open(f"{self.folder}/config.yml", "w") as file:
            json.dump(config, file)
        with open(f"{self.folder}/log", "wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", f"{self.folder}/config.yml"], stdout=log, stderr=log, cwd="/", **drop_privileges()
            )
        self._wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def copy(self, source: str, name: str, *options: str) -> None:
        """Copy `source` (a skopeo name) to `name` here."""
        command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", *options, source, f"docker://{self.host}/{name}"]
        # Without credentials of its own it looks in a folder that belongs to whoever used such a tool first.
        credentials = f"{self.folder}/auth.json"
        with open(credentials, "w") as file:
            file.write("{}")
        environment = {**os.environ, "REGISTRY_AUTH_FILE": credentials}
        subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment)

    def push(self, name: str, layers: Sequence[bytes], **changes: Any) -> str:
        """Push an image of plain or compressed tars and return its manifest's digest; `changes` replace keys of the config."""
        image = build_image(layers, **changes)
        repository, _, tag = name.partition(":")
        for digest, content in image.blobs.items():
            self._upload(repository, digest, content)
        headers = {"content-type": media_types.OCI_MANIFEST}
        self._request("PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, headers)
        return image.digest

    def _upload(self, repository: str, digest: str, content: bytes) -> None:
        location = self._request("POST", f"/v2/{repository}/blobs/uploads/", b"", {})
        path = "/" + location.split("/", 3)[3]
        headers = {"content-type": "application/octet-stream"}
        self._request("PUT", f"{path}&digest={digest}", content, headers)

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            assert response.status in {201, 202}, (response.status, content)
            return response.getheader("location") or ""

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        with open(f"{self.folder}/log") as log:
            raise AssertionError(f"docker-registry does not start: {log.read()}")


class BuiltImage:
    """An image in memory: its manifest's bytes, all other blobs by digest, and its layers' descriptors."""

    def __init__(self, manifest: bytes, blobs: dict[str, bytes], config_digest: str, layers: list[dict[str, Any]]) -> None:
        self.manifest, self.blobs, self.config_digest, self.layers = manifest, blobs, config_digest, layers
        self.digest = digest_of(manifest)


def build_image(layers: Sequence[bytes], **changes: Any) -> BuiltImage:
    """Make an image of tars (compressed or not)."""
    diff_ids = [digest_of(gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer) for layer in layers]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            **changes,
        }
    ).encode()
    descriptors = [
        {"mediaType": f"{media_types.OCI_LAYER}+gzip", "digest": digest_of(layer), "size": len(layer)} for layer in layers
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": {"mediaType": media_types.OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": descriptors,
    }
    blobs = {digest_of(config): config, **{digest_of(layer): layer for layer in layers}}
    return BuiltImage(json.dumps(manifest).encode(), blobs, digest_of(config), descriptors)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def login(host: str, user: str, password: str) -> str:
    """Return the text of an auth file."""
    return json.dumps({"auths": {host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})
