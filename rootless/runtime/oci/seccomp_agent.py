"""Handing the listener of a seccomp filter to the agent at listenerPath (config-linux.md, "Container Process State")."""

import array
import json
import os
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket
from collections.abc import Mapping
from typing import Any

from rootless.errors import RlError


def send(seccomp: Mapping[str, Any], listener: int, pid: int, state: Mapping[str, Any]) -> None:
    """Send the container process state of process `pid`, with the listener's descriptor, over a connection of its own."""
    path = seccomp.get("listenerPath", "")
    process_state = {
        "ociVersion": state["ociVersion"],
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": seccomp.get("listenerMetadata", ""),
        "state": state,
    }
    agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    try:
        agent.connect(path)
        payload = json.dumps(process_state).encode()
        sent = agent.sendmsg([payload], [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [listener]))])
        agent.sendall(payload[sent:])
    except OSError as error:
        raise RlError(
            f"config.json: linux.seccomp.listenerPath: cannot reach {path}: {os.strerror(error.errno or 0)}",
            "the seccomp agent must listen there before the container starts",
        ) from None
    finally:
        agent.close()
