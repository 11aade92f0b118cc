"""Namespaces with a network of ours, of slirp4netns and of pasta, and the programs that make traffic at both ends."""

import os
import signal
import subprocess
import time
from typing import Any, Self

from _peers import IMAGE, Bench, account_options

_GATEWAY = "10.0.2.2"  # the host's loopback, for all three
_TRAFFIC = f"{os.path.dirname(os.path.abspath(__file__))}/_traffic.py"
_PATIENCE = 20  # seconds


class Agent:
    """A running _traffic.py, which does one piece of work after the other."""

    def __init__(self, *wrapper: str, arguments: tuple[str, ...], **options: Any) -> None:
        with open(_TRAFFIC, encoding="utf-8") as file:
            program = file.read()  # the clone may lie where the user cannot read
        command = [*wrapper, "/usr/bin/python3", "-I", "-c", program, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", **options)
        self.says = self._answer()

    def ask(self, work: str) -> None:
        """Begin a piece of work."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{work}\n")
        self._process.stdin.flush()

    def wait(self) -> str:
        """Wait until it is done; returns what went wrong, or nothing."""
        return self._answer().removeprefix("done")

    def end(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("a program that makes traffic has failed: its traceback is above")
        return answer.strip()


class Host:
    """The end on the host's loopback."""

    def __enter__(self) -> Self:
        self._agent = Agent(arguments=("host",))
        return self

    def __exit__(self, *_failure: object) -> None:
        self._agent.end()

    def work_with(self, network: "Network", work: str) -> None:
        """Do a piece of work with the program inside a network. Raises `RuntimeError` when the traffic failed."""
        self._agent.ask(work)
        network.agent.ask(f"{work} {_GATEWAY} {self._agent.says}")
        failure = "; ".join(filter(None, (network.agent.wait(), self._agent.wait())))
        if failure:
            raise RuntimeError(f"{type(network).__name__}: {failure}")


class Network:
    """A network namespace and who serves it; `agent` is the program inside."""

    def __init__(self, bench: Bench, mtu: int) -> None:
        self._bench = bench
        self._mtu = mtu

    def __enter__(self) -> Self:
        self._options = account_options(self._bench.rl.user)
        pid = self._start()
        enter = ("nsenter", "-t", str(pid), "-U", "-n", "--preserve-credentials")
        self._wait_for_route(enter)
        self.agent = Agent(*enter, arguments=("inside",), **self._options)
        return self

    def __exit__(self, *_failure: object) -> None:
        self.agent.end()
        self._stop()

    def _start(self) -> int:
        """Start everything and return the PID of a process inside."""
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError

    def _wait_for_route(self, enter: tuple[str, ...]) -> None:
        end = time.monotonic() + _PATIENCE
        command = (*enter, "sh", "-c", "grep -q 00000000 /proc/net/route")
        while subprocess.run(command, check=False, capture_output=True, **self._options).returncode:
            if time.monotonic() > end:
                raise RuntimeError(f"{type(self).__name__} has no default route after {_PATIENCE} seconds")
            time.sleep(0.05)


class OfRl(Network):
    """A container's."""

    def _start(self) -> int:
        network = f"slirp:mtu={self._mtu},allow_host_loopback=true"
        self._name = f"mtu{self._mtu}"
        self._bench.rl("run", "-d", "--name", self._name, "--network", network, IMAGE, "sleep", "10000")
        return int(self._bench.rl("inspect", "--format", "{{.State.Pid}}", self._name))

    def _stop(self) -> None:
        self._bench.rl("rm", "-f", self._name)


class _OfPeer(Network):
    """A namespace that sleeps, and a program that serves it."""

    def _start(self) -> int:
        sleep = "echo; exec sleep 10000"
        command = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", sleep]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, **self._options)
        assert self._holder.stdout is not None
        self._holder.stdout.read(1)
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._server = subprocess.Popen(self._command(self._holder.pid), **silent, **self._options)
        return self._holder.pid

    def _stop(self) -> None:
        for process in (self._server, self._holder):
            process.send_signal(signal.SIGTERM)
            process.wait()

    def _command(self, pid: int) -> list[str]:
        raise NotImplementedError


class Slirp4netns(_OfPeer):
    """As podman and rootless Docker run it."""

    def _command(self, pid: int) -> list[str]:
        return ["slirp4netns", "--configure", f"--mtu={self._mtu}", str(pid), "tap0"]


class Pasta(_OfPeer):
    """With the same addresses."""

    def _command(self, pid: int) -> list[str]:
        addresses = ["-a", "10.0.2.100", "-n", "255.255.255.0", "-g", _GATEWAY]
        no_ports = [word for option in ("-t", "-u", "-T", "-U") for word in (option, "none")]
        return ["pasta", "-f", "-q", "--config-net", "-4", "-m", str(self._mtu), *addresses, *no_ports, str(pid)]
