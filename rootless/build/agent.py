"""The ssh agent that `RUN --mount=type=ssh` forwards: a socket in the container, joined with the user's own agent.

The agent asks who connects (OpenSSH takes its own user and root only), so a child of the build, the user, connects for the
container, whose users have other IDs. Keys that are given as files get an agent for the time of the step, by OpenSSH's programs.
"""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
from collections.abc import Mapping
from typing import Final, NoReturn

from rootless.errors import InvalidInput, NodeLacks, RlError
from rootless.linux.own_process import close_all_except, set_parent_death_signal
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent

DEFAULT: Final = "default"
_BLOCK: Final = 1 << 16


def parse_ssh(entries: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return, by ID, the paths of `--ssh ID[=PATH,…]`: one agent's socket, or keys. Raises `InvalidInput`."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        name, _, text = entry.partition("=")
        paths = tuple(text.split(",")) if text else (environ.get("SSH_AUTH_SOCK", ""),)
        if not name or not all(paths):
            raise InvalidInput(f"invalid empty ssh agent socket: {entry!r}", "set SSH_AUTH_SOCK, or give a socket")
        for path in paths:
            if not os.path.exists(path):
                raise InvalidInput(f"no such ssh key or socket: {path}", "give --ssh ID=PATH of a key or of an agent's socket")
        found[name] = paths
    return found


def forwarded(
    locations: Locations, paths: tuple[str, ...], number: int, owner: tuple[int, int], mode: int, stack: contextlib.ExitStack
) -> str:
    """Return the path of a socket that leads to an agent, until `stack` ends. The caller is single-threaded."""
    agent = paths[0] if len(paths) == 1 and _is_socket(paths[0]) else _agent_of_keys(locations, paths, number, stack)
    path = f"{locations.runtime_dir}/build-ssh-{os.getpid()}-{number}.sock"
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        stack.callback(_unlink, path)
        _unlink(path)
        listener.bind(path)
        os.chmod(path, mode)
        listener.listen()
        pid = os.fork()
        if pid == 0:
            _relay(listener, agent)
    stack.callback(_end, pid)
    run_in_parent(locations, os.chown, path, *owner)
    return path


def _is_socket(path: str) -> bool:
    import stat  # with a mount of this type only

    return stat.S_ISSOCK(os.stat(path).st_mode)


def _agent_of_keys(locations: Locations, keys: tuple[str, ...], number: int, stack: contextlib.ExitStack) -> str:
    """Start an agent with the keys; return its socket."""
    path = f"{locations.runtime_dir}/build-agent-{os.getpid()}-{number}.sock"
    try:
        process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: set_parent_death_signal(signal.SIGKILL),  # noqa: PLW1509 - no threads here
        )  # fmt: skip
    except FileNotFoundError:
        hint = "install OpenSSH's client, or name an agent's socket"
        raise NodeLacks("ssh-agent is not installed, and --ssh names a key", hint) from None
    stack.callback(_unlink, path)
    stack.callback(process.wait)
    stack.callback(process.kill)
    for key in keys:
        environment = {**os.environ, "SSH_AUTH_SOCK": path, "SSH_ASKPASS_REQUIRE": "never"}
        done = _when_listening(path, ["ssh-add", "-q", key], environment)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise RlError(f"cannot use the ssh key {key}: {said:.300}", "give one without a passphrase, or an agent's socket")
    return path


def _when_listening(path: str, command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[bytes]":
    """Run a command of the agent's once that listens."""
    import time  # as above

    deadline = time.monotonic() + 10
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _relay(listener: socket.socket, agent: str) -> NoReturn:
    """Pass on what each connection sends to one to the agent, and what that answers, until the build ends."""
    with contextlib.suppress(Exception):
        set_parent_death_signal(signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        close_all_except({0, 1, 2, listener.fileno()})
        others: dict[socket.socket, socket.socket] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _events in selector.select():
                    if key.fileobj is listener:
                        _accept(listener, agent, others, selector)
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in others:
                        _pass_on(key.fileobj, others, selector)
    os._exit(1)


def _accept(
    listener: socket.socket, agent: str, others: dict[socket.socket, socket.socket], selector: selectors.BaseSelector
) -> None:
    client, _address = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(agent)
    except OSError:  # the agent is gone: so is the connection
        client.close()
        server.close()
        return
    others[client], others[server] = server, client
    selector.register(client, selectors.EVENT_READ)
    selector.register(server, selectors.EVENT_READ)


def _pass_on(source: socket.socket, others: dict[socket.socket, socket.socket], selector: selectors.BaseSelector) -> None:
    other = others[source]
    try:
        data = source.recv(_BLOCK)
        if data:
            other.sendall(data)  # small requests and answers, one after the other
            return
    except OSError:  # one of the two has hung up
        pass
    for one in (source, other):
        selector.unregister(one)
        del others[one]
        one.close()


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
