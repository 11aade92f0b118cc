"""SCMP_ACT_NOTIFY: the agent at listenerPath gets the filter's descriptor with the process's state, and answers for the kernel."""

import array
import contextlib
import errno
import fcntl
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.oci_bundle import Runtime, config
from tests.support.test_user import USER

pytestmark = pytest.mark.engine

# seccomp_unotify(2): struct seccomp_notif (id, pid, flags, data) and seccomp_notif_resp (id, val, error, flags)
RECEIVE = 0xC0502100
SEND = 0xC0182101
REQUEST = struct.Struct("=QIIiIQ6Q")
ANSWER = struct.Struct("=QqiI")
CONTINUE = 1
MKDIR, MKDIRAT = 83, 258
EXECVE = 59


class Agent:
    """Takes states and descriptors at a socket; answers mkdir with an errno, and lets all else go on."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "agent.sock")
        self.states: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        os.chown(self.path, USER.pw_uid, USER.pw_gid)
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                payload, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(64))
                while more := connection.recv(1 << 16):  # exactly one state, then the end
                    payload += more
            descriptors = array.array("i")
            descriptors.frombytes(ancillary[0][2])
            self.states.append(json.loads(payload))
            threading.Thread(target=self._answer, args=(descriptors[0],), daemon=True).start()

    def _answer(self, listener: int) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while not any(events & select.POLLHUP for _, events in poll.poll()):  # until nobody is left under the filter
            request = bytearray(REQUEST.size)
            with contextlib.suppress(FileNotFoundError):  # it was killed meanwhile
                fcntl.ioctl(listener, RECEIVE, request)
                cookie, _pid, _flags, number, *_ = REQUEST.unpack(request)
                self.calls.append(number)
                refused = number in (MKDIR, MKDIRAT)
                answer = ANSWER.pack(cookie, 0, -errno.EDQUOT if refused else 0, 0 if refused else CONTINUE)
                fcntl.ioctl(listener, SEND, bytearray(answer))
        os.close(listener)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


@pytest.fixture
def agent(runtime: Runtime) -> Iterator[Agent]:
    made = Agent(runtime.folder)
    yield made
    made.close()


def spec(agent: Agent, *names: str, script: str) -> dict[str, Any]:
    document = config("sh", "-c", script)
    document["annotations"] = {"org.example": "x"}
    document["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": agent.path,
        "listenerMetadata": "some metadata",
        "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}],
    }
    return document


def test_the_agent_answers_and_knows_for_whom(runtime: Runtime, agent: Agent) -> None:
    runtime.write(spec(agent, "mkdir", "mkdirat", script="mkdir /tmp/x 2>&1 | cat; test -d /tmp/x; echo $?"))
    assert runtime.run("run", "one").stdout == "mkdir: can't create directory '/tmp/x': Disk quota exceeded\n1\n"
    (state,) = agent.states
    assert (state["ociVersion"], state["fds"], state["metadata"]) == ("1.0.2", ["seccompFd"], "some metadata")
    inner = state["state"]
    assert (inner["id"], inner["status"], inner["bundle"]) == ("one", "creating", str(runtime.bundle))
    assert inner["annotations"] == {"org.example": "x"}
    assert state["pid"] == inner["pid"] > 0
    assert set(agent.calls) <= {MKDIR, MKDIRAT}


@pytest.mark.parametrize("names", [("sendmsg", "sendto"), ("close", "write"), ("execve", "setresuid", "capset")])
@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_the_runtime_s_own_calls_may_be_asked_for(
    runtime: Runtime, agent: Agent, names: tuple[str, ...], no_new_privileges: bool
) -> None:
    """Between the filter and the command, our own process makes system calls that wait for the agent, too."""
    document = spec(agent, *names, script="echo done")
    document["process"]["noNewPrivileges"] = no_new_privileges
    runtime.write(document)
    assert runtime.run("run", "one").stdout == "done\n"
    assert len(agent.states) == 1
    assert agent.calls


def test_exec_has_a_listener_of_its_own(runtime: Runtime, agent: Agent) -> None:
    runtime.write(spec(agent, "mkdir", "mkdirat", script="sleep 100"))
    runtime.create("one")
    runtime.run("start", "one")
    result = runtime.run("exec", "one", "sh", "-c", "mkdir /tmp/x 2>&1 | cat")
    assert "Disk quota exceeded" in result.stdout
    first, second = agent.states
    assert (first["state"]["status"], second["state"]["status"]) == ("creating", "running")
    assert second["state"]["pid"] == first["pid"] != second["pid"]


def test_a_container_without_its_agent_is_not_made(runtime: Runtime, agent: Agent) -> None:
    document = spec(agent, "mkdir", script="echo no")
    agent.close()
    os.unlink(agent.path)
    runtime.write(document)
    assert "linux.seccomp.listenerPath: cannot reach" in runtime.run("run", "one", check=1).stderr


def test_a_command_without_its_agent_is_not_run(runtime: Runtime, agent: Agent) -> None:
    runtime.write(spec(agent, "mkdir", script="sleep 100"))
    runtime.create("one")
    runtime.run("start", "one")
    before = runtime.run("ps", "--format", "json", "one").stdout
    agent.close()
    os.unlink(agent.path)
    assert "linux.seccomp.listenerPath: cannot reach" in runtime.run("exec", "one", "sleep", "100", check=1).stderr
    assert runtime.run("ps", "--format", "json", "one").stdout == before
