"""A real name server for tests: dnsmasq, with authority over example.test."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

ZONE = "example.test"
TTL = 20  # seconds
_TEXT = "x" * 200
_AUTHORITY = (f"--auth-zone={ZONE}", f"--auth-server=ns.{ZONE},lo:1", f"--auth-ttl={TTL}", "--auth-soa=1,root,1,1,1")


class NameServer:
    """The server at some addresses of the network namespace that the command `through` enters, and what it was asked.

    `web` is the address of web.example.test, of which www is an alias; the TXT records of big do not fit into 512 bytes. It
    answers with authority, so with an SOA record, at the address of lo:1, if it is to listen there.
    """

    def __init__(self, through: Sequence[str], log: Path, *addresses: str, web: str = "192.0.2.10") -> None:
        """Start it; returns when it listens."""
        command = [
            *through, "/usr/sbin/dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
            "--log-queries",
            *(f"--listen-address={address}" for address in addresses),
            *(_AUTHORITY if any(not address.startswith("127.") for address in addresses) else ()),
            f"--local=/{ZONE}/", f"--local-ttl={TTL}",
            f"--host-record=web.{ZONE},{web},2001:db8::10,{TTL}", f"--cname=www.{ZONE},web.{ZONE},{TTL}",
            *(f"--txt-record=big.{ZONE},{number}{_TEXT}" for number in range(5)),
        ]  # fmt: skip
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(command, stderr=errors)
        deadline = time.monotonic() + 10
        while "started" not in log.read_text():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The process, in its namespaces."""
        return self._process.pid

    def told(self) -> str:
        """Return its log."""
        return self._log.read_text()

    def asked(self) -> list[str]:
        """Return each query so far: `A web.example.test`."""
        found = [line.partition("query[")[2].split() for line in self._log.read_text().splitlines() if "query[" in line]
        return [f"{kind.rstrip(']')} {name}" for kind, name, *_others in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
