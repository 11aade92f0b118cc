"""The helpers of one container under its monitor's care: which it needs, what they are given, and what happens when one dies.

A dead `slirp_net` is started again with a duplicate of the same tap (a tap and its addresses vanish with the last descriptor, so
the monitor holds one): connections are reset, three tries, then the container goes on without. A dead `fuse_overlay` takes the
container along, because its root is gone.
"""

import contextlib
import os
import select
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from rootless.containers.documents import Document
from rootless.containers.helpers import Helper, serve_root
from rootless.containers.loop import READABLE, Loop
from rootless.containers.namespace_modes import maps_of
from rootless.errors import RlError
from rootless.linux.process import wait_readable
from rootless.linux.sockets import socket
from rootless.locations import Locations
from rootless.networks import modes
from rootless.networks.modes import Network, PrivateNetwork
from rootless.runtime.launch import Watcher

if TYPE_CHECKING:  # few containers publish ports
    from rootless.networks.listening import Listeners

_STACK: Final = "slirp_net"
_UNION: Final = "fuse_overlay"
_STACK_TRIES: Final = 3
_PORTS_OF_REQUEST: Final = 60  # it takes no more than 64 descriptors


class Servers:
    """The helper processes of one container."""

    def __init__(self, locations: Locations, loop: Loop, errors: int, on_lost: Callable[[str], None]) -> None:
        self._runtime_dir = locations.runtime_dir
        self._loop = loop
        self._errors = errors
        self._on_lost = on_lost
        self._helpers: dict[str, Helper] = {}
        self._private: PrivateNetwork | None = None
        self._published: Listeners | None = None
        self._tap = -1
        self._pidfd = -1
        self._restarts = 0
        self._maps: Mapping[str, Any] = {}

    def begin(self, document: Document) -> None:
        """Execute the union's server, if the container needs it: everything will wait for that."""
        self._maps = maps_of(document)
        if document["Driver"] == "fuse":
            self._execute(_UNION)

    def watcher(self, network: Network, published: "Listeners | None") -> Watcher:
        """Return what to do when the stage is under way, and with the descriptors that it sends."""
        self._private, self._published = network.private, published
        return Watcher(self._on_begun, self._on_root, self._on_network)

    def wait_for(self, sync: socket) -> None:
        """Wait until the stage has sent something. Raises `RlError` when the root's server failed meanwhile."""
        poll = select.poll()
        poll.register(sync.fileno(), select.POLLIN)
        union = self._helpers.get(_UNION)
        if union is not None:
            poll.register(union.descriptor, select.POLLIN)
        while sync.fileno() not in (ready := {descriptor for descriptor, _events in poll.poll()}):
            assert union is not None
            assert ready
            if not self._take_union_answer(union):
                poll.unregister(union.descriptor)

    def guard(self, pidfd: int) -> None:
        """Give every helper the container's init, to end it if we die, and watch the helpers from now on."""
        self._pidfd = pidfd
        for name, helper in list(self._helpers.items()):
            self._guard(name, helper)

    def why_lost(self) -> str:
        """Return why the container ended if its root was lost before we noticed: init may be killed by a fault on a page first."""
        union = self._helpers.get(_UNION)
        if union is None or not wait_readable(union.descriptor, 0):
            return ""
        try:
            self._take_union_answer(union)
        except RlError as error:
            return error.message
        return ""

    def end_network(self) -> None:
        """End the network stack and wait for it: it has copies of the sockets of published ports."""
        if _STACK in self._helpers:
            self._end(self._helpers.pop(_STACK))

    def end(self) -> None:
        """End all helpers and wait for them."""
        for helper in self._helpers.values():
            self._end(helper)
        self._helpers.clear()
        if self._tap >= 0:
            os.close(self._tap)
            self._tap = -1

    def _end(self, helper: Helper) -> None:
        self._loop.forget(helper.descriptor)
        helper.close()

    def _execute(self, module: str) -> None:
        self._helpers[module] = Helper(self._runtime_dir, module, self._errors)

    def _on_begun(self) -> None:
        """Execute the network stack, for which nobody waits, while the stage works on another core."""
        if self._private is not None:
            self._execute(_STACK)

    def _on_root(self, descriptors: list[int]) -> None:
        """Hand /dev/fuse, the upper, the work folder and the layers to the union's server."""
        union = self._helpers.get(_UNION)
        try:
            if union is not None:
                serve_root(union, descriptors, self._maps)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _on_network(self, descriptors: list[int]) -> None:
        """Keep the tap, and give it to the network stack."""
        (self._tap,) = descriptors
        self._attach(self._helpers[_STACK])

    def _attach(self, stack: Helper) -> None:
        assert self._private is not None
        stack.request("attach", [self._tap], **modes.attach_request(self._private))
        listening = self._published.all if self._published is not None else []
        for start in range(0, len(listening), _PORTS_OF_REQUEST):
            some = listening[start : start + _PORTS_OF_REQUEST]
            ports = [[protocol, int(number)] for number, _, protocol in (one.port.partition("/") for one in some)]
            stack.request("publish", [one.socket.fileno() for one in some], ports=ports)

    def _guard(self, name: str, helper: Helper) -> None:
        self._loop.watch(helper.descriptor, READABLE, lambda _events: self._on_answer(name, helper))
        helper.request("guard", [self._pidfd])

    def _on_answer(self, name: str, helper: Helper) -> None:
        if name == _UNION:
            try:
                self._take_union_answer(helper)
            except RlError as error:
                self._on_lost(error.message)
            return
        answer = helper.answer()
        if answer is None:
            self._restart_stack(helper)
        elif "error" in answer:
            self._say(f"{name}: {answer['error']}")

    def _take_union_answer(self, union: Helper) -> bool:
        """Take what the union's server says; False when it has ended well. Raises `RlError` when it failed."""
        answer = union.answer()
        if answer is None:
            self._loop.forget(union.descriptor)
            code = union.exit_code()
            if code == 0:
                return False  # the container's mounts are gone, and it with them
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            reason = f"the root file system's server (fuse_overlay) died: {how}"
            self._say(reason)  # a restart forgets it
            raise RlError(reason, "its last words are in the container's engine.log")
        if "error" in answer:
            raise RlError(f"cannot serve the root file system: {answer['error']}")
        return True

    def _restart_stack(self, dead: Helper) -> None:
        self._loop.forget(dead.descriptor)
        dead.close()
        del self._helpers[_STACK]
        if self._restarts == _STACK_TRIES:
            self._say(f"{_STACK} died {_STACK_TRIES + 1} times: the container goes on without a network")
            return
        self._restarts += 1
        self._say(f"{_STACK} died and is started again")
        try:
            self._execute(_STACK)
        except (RlError, OSError) as error:
            self._say(f"{_STACK} cannot be started again, and the container goes on without a network: {error}")
            return
        stack = self._helpers[_STACK]
        self._attach(stack)
        self._guard(_STACK, stack)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk: nothing else can be told it
            os.write(self._errors, f"monitor: {text}\n".encode())
