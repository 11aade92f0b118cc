"""Debian's docker-registry on loopback, run by the user who measures, with a folder that can be emptied."""

import json
import os
import shutil
import socket
import subprocess
import time
from types import TracebackType

from _peers import Engine

_PATIENCE = 10.0


class Registry:
    """One running registry; `engine` says who runs it and below which folder its data lies."""

    def __init__(self, engine: Engine, name: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.host = f"127.0.0.1:{self._port}"
        self._folder = f"{engine.folder}/{name}"
        self._engine = engine._replace(program="/usr/bin/docker-registry")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Registry":
        config = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": f"{self._folder}/data"}},
            "http": {"addr": self.host},
        }
        os.mkdir(self._folder)
        os.chmod(self._folder, 0o777)  # below a folder of the user's own
        with open(f"{self._folder}/config.yml", "w") as file:
            json.dump(config, file)
        null = subprocess.DEVNULL
        self._process = self._engine.popen("serve", f"{self._folder}/config.yml", stdout=null, stderr=null)
        self._wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def empty(self) -> None:
        """Forget all images; the registry looks at its folder with each request."""
        shutil.rmtree(f"{self._folder}/data", ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("docker-registry does not start")
