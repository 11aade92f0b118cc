"""What `--network` asks for: no network, the node's own, or a private one with a stack in user space."""

from _socket import AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, socket  # the standard module costs 5 ms
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput, RlError
from rootless.linux.interfaces import DEVICE_PATH, Interfaces, create_tap

DEVICE: Final = "eth0"
_LEAST_MTU6: Final = 1280  # RFC 8200, section 5
_ANYWHERE6: Final = ("2001:db8::1", 9)  # connect(2) of a datagram socket sends nothing
_TUN_HINT: Final = (
    f"ask the administrator to make {DEVICE_PATH} readable and writable (mode 0666, module tun), or use --network host or none"
)
HOST_NAMES: Final = ("host.containers.internal", "host.docker.internal")


class PrivateNetwork(NamedTuple):
    """The addresses of a container's private network and what its stack may do; `ipv6` None: as the node has it (`resolved`)."""

    address: str = "10.0.2.100"
    prefix: int = 24
    gateway: str = "10.0.2.2"
    dns: str = "10.0.2.3"
    mtu: int = 65520
    mac: str = "02:00:0a:00:02:64"
    gateway_mac: str = "02:00:0a:00:02:02"
    ipv6: bool | None = None
    address6: str = "fd00::100"
    prefix6: int = 64
    gateway6: str = "fd00::2"
    dns6: str = "fd00::3"
    allow_host_loopback: bool = False
    device: str = ""  # tap or veth; empty: a tap where the node permits it


class Network(NamedTuple):
    """A parsed `--network`: `mode` is none, host, slirp or container:ID; only slirp has a `private` part."""

    mode: str
    private: PrivateNetwork | None = None

    @property
    def is_joined(self) -> bool:
        """Whether it is another container's."""
        return self.mode.startswith("container:")


def parse(text: str) -> Network:
    """Parse none, host, slirp[:OPTION,...]; Docker's `bridge` and Podman's `slirp4netns` are slirp. Raises `InvalidInput`."""
    mode, _, option_text = text.partition(":")
    if mode in ("none", "host") and not option_text:
        return Network(mode)
    if mode == "container":
        if not option_text:
            raise InvalidInput("invalid container format container:<name|id>", "name the container")
        return Network(text)
    if mode in ("slirp", "slirp4netns", "bridge", "default", ""):
        return Network("slirp", _with_options(PrivateNetwork(), option_text))
    raise InvalidInput(f"unknown network: {text}", "choose none, host, container:NAME or slirp[:OPTION,...], as in slirp:mtu=1500")


def _with_options(private: PrivateNetwork, option_text: str) -> PrivateNetwork:
    for option in filter(None, option_text.split(",")):
        name, _, value = option.partition("=")
        if name == "mtu" and value.isdecimal() and 576 <= int(value) <= 65520:
            private = private._replace(mtu=int(value))
        elif name == "allow_host_loopback" and value in ("true", "false"):
            private = private._replace(allow_host_loopback=value == "true")
        elif name in ("ipv6", "enable_ipv6") and value in ("true", "false"):
            private = private._replace(ipv6=value == "true")
        elif name == "device" and value in ("tap", "veth"):
            private = private._replace(device=value)
        else:
            raise InvalidInput(
                f'invalid option of the network slirp: "{option}"',
                "known are mtu=576..65520, ipv6=true|false, allow_host_loopback=true|false and device=tap|veth",
            )
    if private.ipv6 and private.mtu < _LEAST_MTU6:
        raise InvalidInput(f"IPv6 needs an MTU of at least {_LEAST_MTU6}", "leave out mtu= or ipv6=true")
    return private


def resolved(network: Network) -> Network:
    """Return the network with IPv6 or without, as the node reaches the outside by it now, unless it was asked for.

    A container without it asks name servers for no addresses that it could not reach.
    """
    private = network.private
    if private is None or private.ipv6 is not None:
        return network
    return network._replace(private=private._replace(ipv6=private.mtu >= _LEAST_MTU6 and _has_ipv6()))


def _has_ipv6() -> bool:
    try:
        outside = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC)
    except OSError:  # a kernel without IPv6
        return False
    try:
        outside.connect(_ANYWHERE6)
    except OSError:  # no route
        return False
    finally:
        outside.close()
    return True


def with_mac(network: Network, mac: str | None) -> Network:
    """Return the network with `--mac-address` for its device, where that is its own."""
    if not mac or network.private is None:
        return network
    return network._replace(private=network.private._replace(mac=mac))


def make_device(network: Network) -> int | None:
    """Set up the caller's new network namespace; returns the device's descriptor where there is one, which the caller closes.

    Nothing is made in the node's own namespace (mode host) or in another container's.

    Raises `OSError`, and `RlError` where the node permits no device.
    """
    if network.mode == "host" or network.is_joined:
        return None
    interfaces = Interfaces()
    try:
        interfaces.set_up("lo")
        return None if network.private is None else _make_device(interfaces, network.private)
    finally:
        interfaces.close()


def _make_device(interfaces: Interfaces, private: PrivateNetwork) -> int:
    device = _open_device(private)
    interfaces.set_mtu(DEVICE, private.mtu)
    interfaces.set_mac(DEVICE, private.mac)
    interfaces.set_address(DEVICE, private.address, private.prefix)
    interfaces.set_up(DEVICE)
    interfaces.add_default_route(private.gateway)
    if private.ipv6:
        interfaces.set_ipv6(DEVICE, private.address6, private.prefix6, private.gateway6)
    return device


def _open_device(private: PrivateNetwork) -> int:
    """Make the device: a tap, or where the node permits none, a veth pair with a packet socket at its other end."""
    if private.device == "veth":
        return _open_veth(private, "")
    try:
        return create_tap(DEVICE)
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}"
        if private.device == "tap":
            raise RlError(f"cannot make the container's network device: {reason}", _TUN_HINT) from None
    return _open_veth(private, f"{reason}; and ")


def _open_veth(private: PrivateNetwork, before: str) -> int:
    from rootless.linux import veth  # most nodes permit a tap

    try:
        return veth.create_veth(DEVICE, private.mtu)
    except OSError as error:
        raise RlError(f"cannot make the container's network device: {before}{error.strerror}", _TUN_HINT) from None


def attach_request(private: PrivateNetwork) -> dict[str, Any]:
    """Return the fields of `slirp_net`'s request `attach`."""
    ipv6 = {"address": f"{private.address6}/{private.prefix6}", "gateway": private.gateway6, "dns": private.dns6}
    return {
        **({"ipv6": ipv6} if private.ipv6 else {}),
        "address": f"{private.address}/{private.prefix}",
        "gateway": private.gateway,
        "dns": private.dns,
        "mtu": private.mtu,
        "mac": private.mac,
        "gateway_mac": private.gateway_mac,
        "allow_host_loopback": private.allow_host_loopback,
        "names": dict.fromkeys(HOST_NAMES, private.gateway),
    }


def settings(network: Network) -> dict[str, Any]:
    """Return Docker's NetworkSettings for a running container."""
    private = network.private
    endpoint = {
        "NetworkID": network.mode,
        "Gateway": private.gateway if private else "",
        "IPAddress": private.address if private else "",
        "IPPrefixLen": private.prefix if private else 0,
        "MacAddress": private.mac if private else "",
        "IPv6Gateway": private.gateway6 if private and private.ipv6 else "",
        "GlobalIPv6Address": private.address6 if private and private.ipv6 else "",
        "GlobalIPv6PrefixLen": private.prefix6 if private and private.ipv6 else 0,
    }
    shown = {key: value for key, value in endpoint.items() if key != "NetworkID"}
    return {**shown, "Ports": {}, "Networks": {} if network.is_joined else {network.mode: endpoint}}
