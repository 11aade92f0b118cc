"""The published ports of a container that starts: what its record asks for, bound."""

from typing import TYPE_CHECKING

from rootless.containers.documents import Document
from rootless.networks import modes

if TYPE_CHECKING:
    from rootless.networks.listening import Listeners


def bind(document: Document) -> "Listeners | None":
    """Bind the node's ports and note them in the record's NetworkSettings; None where the container has none.

    Raises `RlError`; nothing is bound then.
    """
    host_config = document["HostConfig"]
    bindings, publishes_all = host_config.get("PortBindings") or {}, host_config.get("PublishAllPorts")
    if not bindings and not publishes_all:
        return None
    if modes.parse(host_config["NetworkMode"]).private is None:
        return None  # the user was told
    from rootless.networks import listening, publishing  # few containers publish ports

    if publishes_all:
        bindings = publishing.with_exposed(bindings, document["Config"].get("ExposedPorts") or {})
    listeners = listening.Listeners(bindings)
    document["NetworkSettings"]["Ports"] = listeners.shown()
    return listeners
