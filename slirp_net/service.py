"""The program: takes the device from the engine and serves it until told to stop."""

from __future__ import annotations

import gc
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from select import EPOLLIN

from slirp_net.buffers import Arena
from slirp_net.configuration import Configuration
from slirp_net.control import Control
from slirp_net.device import Device
from slirp_net.host.dns import PORT, Forwarder
from slirp_net.host.dns_stream import StreamService
from slirp_net.host.hosts_file import HostsFile
from slirp_net.host.names import FixedNames
from slirp_net.host.ping import Pings
from slirp_net.host.resolv_conf import NameServers
from slirp_net.host.tcp import Flows
from slirp_net.host.udp import Datagrams
from slirp_net.loop import NEVER, READABLE, Loop
from slirp_net.stack import Stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from slirp_net.host.published import Published

_FAIR: Final = 32  # frames read in one round
_MOST_FLOWS: Final = 16384
_OTHER_DESCRIPTORS: Final = 2048  # for UDP, ping, DNS and ourselves
_TRIM_AFTER: Final = 2.0  # seconds without traffic after which buffers are given back
# The program makes no cyclic garbage while it serves; the collector only has to look now and then.
_COLLECT_AFTER: Final = 50_000


class Service:
    """One container's network."""

    def __init__(self, control: int, loop: Loop) -> None:
        """`control` is the descriptor of the engine's socket."""
        self.alarm = NEVER
        self.deadline = NEVER
        self._loop = loop
        self._arena = Arena()
        self._tap: Device | None = None
        self._frames = 0
        self._active_at = 0.0
        self._control = Control(control, loop, {"attach": self._attach, "publish": self._publish, "stats": self._stats})

    def _attach(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        if self._tap is not None:
            raise ValueError("attached already")
        if len(descriptors) != 1:
            raise ValueError("attach takes one descriptor, the tap")
        configuration = Configuration(request)
        tap = self._tap = Device(descriptors[0])
        descriptors.clear()
        loop, arena = self._loop, self._arena
        self._stack = stack = Stack(configuration, tap, loop)
        self._flows = Flows(stack, tap, loop, arena, _flow_limit())
        self._datagrams = Datagrams(stack, loop, arena)
        self._forwarder = forwarder = Forwarder(loop, NameServers(), [FixedNames(configuration.names), HostsFile()])
        self._datagrams.services[configuration.dns, PORT] = forwarder
        self._flows.services[configuration.dns, PORT] = StreamService(forwarder)
        if configuration.network6 is not None:
            self._datagrams.services[configuration.network6.dns, PORT] = forwarder
            self._flows.services[configuration.network6.dns, PORT] = StreamService(forwarder)
        self._pings = Pings(stack, loop, self._datagrams)
        self._published: Published | None = None
        slot = arena.take()
        assert slot is not None
        self._slot = slot
        loop.watch(tap.descriptor, READABLE, self._on_frames)
        return {}

    def _publish(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        ports = request["ports"]
        if self._tap is None or len(ports) != len(descriptors):
            raise ValueError("publish takes a descriptor for each port, after attach")
        if self._published is None:
            from slirp_net.host.published import Published  # most containers publish nothing

            self._published = Published(self._flows, self._datagrams, self._loop)
        for protocol, port in ports:
            self._published.add(str(protocol), int(port), descriptors.pop(0))
        return {}

    def _stats(self, _request: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        if self._tap is None:
            return {"attached": False}
        return {
            "attached": True,
            "frames": self._frames,
            "dropped": self._stack.dropped,
            "lost": self._tap.lost,
            "tcp": len(self._flows),
            "tcp_refused": self._flows.refused,
            "udp": len(self._datagrams),
            "dns": len(self._forwarder),
            "slots": self._arena.used,
            "copied": self._arena.copied,
        }

    def _on_frames(self, events: int) -> None:
        """Read frames until there are none, or a fair share has been read."""
        assert self._tap is not None
        tap, arena, on_frame = self._tap, self._arena, self._stack.on_frame
        if not events & EPOLLIN and not tap.is_socket:  # a socket tells of it once, by the error that is read below
            self._loop.forget(tap.descriptor)  # the device is gone, and the container with it
            return
        slot = self._slot
        for count in range(_FAIR):
            length = tap.read(slot)
            if not length:
                self._frames += count
                break
            if on_frame(slot, length):
                taken = arena.take()
                assert taken is not None  # whoever keeps a slot leaves another one
                slot = taken
        else:
            self._frames += _FAIR
        self._slot = slot
        self._active_at = self._loop.now
        if self.deadline == NEVER:
            self.deadline = self._active_at + _TRIM_AFTER
            self._loop.schedule(self)

    def on_timer(self) -> None:
        """Give buffers back, after a while without traffic."""
        quiet_at = self._active_at + _TRIM_AFTER
        if quiet_at > self._loop.now:
            self.deadline = quiet_at
            return
        self.deadline = NEVER
        self._arena.trim()
        self._loop.tidy()


def _flow_limit() -> int:
    """Raise the limit of descriptors as far as we may, and return how many TCP flows that allows."""
    _, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (hard, hard))
    return max(min(_MOST_FLOWS, hard - _OTHER_DESCRIPTORS), hard // 2 if hard < 2 * _OTHER_DESCRIPTORS else 0)


def serve(control: int) -> None:
    """Serve until the engine says stop, or ends."""
    loop = Loop()
    service = Service(control, loop)
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    loop.run()
    del service
