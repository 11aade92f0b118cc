"""Plays scripts of the network layer on a whole stack with a device that is made up; an outside exists only on the loopback device.

    < udp PORT > ADDRESS:PORT len N     the container sends; sum bad|none, says N (its length field)
    < icmp ADDRESS type T code C len N  with id N seq N for an echo; sum bad
    < proto P ADDRESS len N             any other protocol
    < arp who-has A tell B              op 2 for a reply
        behind any of the first three: id N, ttl N, from ADDRESS, to broadcast|elsewhere (the frame's MAC), frag FIRST-LAST[+] (only
        these bytes of the IP payload, + with more to come), and for a bad IP header: version N, ihl N, total N, check bad, pad N
    > up udp PORT > ADDRESS:PORT len N  a transport was given this packet; for scripts below `udp` only echo has a real one
    > udp, > icmp, > arp                the container is sent this; `about` tells what an error quotes, `frag` that it is a fragment
    mtu N, dropped N                    set the MTU (first); check how many frames were dropped so far
    server open|close, server got N, server sends N      a UDP server on the host's loopback, whose port is written `server`

Payloads have bytes that tell where they belong, and every byte and every checksum is checked.
"""

import re
import sys
from collections import deque
from socket import AF_INET, SOCK_DGRAM, inet_aton, inet_ntoa, socket
from typing import Any

from slirp_net.buffers import Arena
from slirp_net.configuration import Configuration
from slirp_net.host.ping import Pings
from slirp_net.host.udp import Datagrams
from slirp_net.loop import Loop
from slirp_net.stack import Stack
from slirp_net.wire import checksum, ethernet, icmp, ipv4, udp, vnet

_CONTAINER = "10.0.2.100"
_FIELDS = {
    "address": f"{_CONTAINER}/24", "gateway": "10.0.2.2", "dns": "10.0.2.3", "mtu": 1500, "mac": "02:00:0a:00:02:64",
    "gateway_mac": "02:00:0a:00:02:02", "allow_host_loopback": True, "names": {},
}  # fmt: skip
_MAC, _GATEWAY_MAC = (bytes.fromhex(str(_FIELDS[name]).replace(":", "")) for name in ("mac", "gateway_mac"))
_ELSEWHERE = bytes.fromhex("02000a000209")
_PROTOCOLS = {ipv4.ICMP: "icmp", ipv4.TCP: "tcp", ipv4.UDP: "udp"}
_UDP = re.compile(r"udp (?P<port>\d+) > (?P<address>[\d.]+):(?P<remote>\w+) len (?P<len>\d+)(?P<rest>.*)")
_ICMP = re.compile(r"icmp (?P<address>[\d.]+) type (?P<type>\d+) code (?P<code>\d+)(?P<rest>.*)")
_OTHER = re.compile(r"proto (?P<proto>\d+) (?P<address>[\d.]+) len (?P<len>\d+)(?P<rest>.*)")
_ARP = re.compile(r"arp who-has (?P<wanted>[\d.]+) tell (?P<sender>[\d.]+)(?P<rest>.*)")


def pattern(length: int) -> bytes:
    return bytes(at * 5 >> 2 & 0xFF for at in range(length))


def _words(rest: str) -> dict[str, str]:
    words = rest.split()
    return dict(zip(words[::2], words[1::2], strict=True))


class _Recorder:
    """Stands for a transport."""

    def __init__(self, actor: "IpActor") -> None:
        self._actor = actor

    def on_packet(self, source: bytes, destination: bytes, packet: memoryview, payload: memoryview, *_: Any) -> bool:
        protocol = packet[9]
        self._actor.note(f"up {describe(protocol, inet_ntoa(source), inet_ntoa(destination), bytes(payload), up=True)}")
        return False


class IpActor:
    """A stack, and a container that is played by the script; with `transports` UDP goes to real sockets on the loopback device."""

    def __init__(self, *, transports: bool = False) -> None:
        self._now = 1000.0
        self._transports = transports
        self._sent: deque[tuple[float, str]] = deque()
        self._server = socket(AF_INET, SOCK_DGRAM)
        self._client: Any = None
        self._ports: dict[str, int] = {}
        self._make(1500)

    def _make(self, mtu: int) -> None:
        device: Any = self
        self._loop = Loop(lambda: self._now)
        self._arena = Arena()
        self._stack = Stack(Configuration({**_FIELDS, "mtu": mtu}), device, self._loop)
        datagrams = Datagrams(self._stack, self._loop, self._arena)
        self._pings = Pings(self._stack, self._loop, datagrams)
        if not self._transports:
            for protocol in (ipv4.UDP, ipv4.TCP):
                self._stack.carry(protocol, _Recorder(self))

    def note(self, text: str) -> None:
        self._sent.append((self._now, text))

    def write(self, parts: tuple[bytes | memoryview, ...]) -> None:
        """Take a frame of the stack's, as the device does."""
        frame = b"".join(parts)
        header, frame = frame[: vnet.LENGTH], frame[vnet.LENGTH :]
        assert frame[:12] == _MAC + _GATEWAY_MAC, frame[:12]
        packet = frame[ethernet.LENGTH :]
        if frame[12:14] == ethernet.ARP:
            self.note(f"arp {inet_ntoa(packet[14:18])} is-at {packet[8:14].hex(':')}")
            return
        fields = ipv4.parse(memoryview(packet))
        assert fields is not None
        length, total, protocol, source, destination, _ttl, fragment, identification = fields
        assert total == len(packet)
        payload = packet[length:]
        if header[0] & vnet.NEEDS_CSUM:  # the container's kernel computes it
            at = int.from_bytes(header[8:10], sys.byteorder)
            payload = payload[:at] + checksum.checksum(payload).to_bytes(2, "big") + payload[at + 2 :]
        if fragment & ipv4.FRAGMENT_MASK:
            first = (fragment & ipv4.OFFSET_MASK) << 3
            more = "+" if fragment & ipv4.MORE_FRAGMENTS else ""
            self.note(f"{_PROTOCOLS[protocol]} {inet_ntoa(source)} frag {first}-{first + len(payload)}{more} id {identification}")
            return
        self.note(describe(protocol, inet_ntoa(source), inet_ntoa(destination), payload))

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._loop.round(0)

    def next_sent(self) -> tuple[float, str] | None:
        return (self._now - self._sent[0][0], self._sent[0][1]) if self._sent else None

    def expect(self, text: str) -> None:
        _, sent = self._sent.popleft()
        text = self._with_ports(text)
        assert sent == text or sent.startswith(f"{text} "), f"sent was {sent}"

    def perform(self, verb: str, rest: str) -> None:
        if verb == "<":
            self._on_sent_by_container(self._with_ports(rest))
        else:
            getattr(self, f"_do_{verb}")(*rest.split())
        for _ in range(2):
            self._loop.round(0)

    def close(self) -> None:
        """End the server, and as time does, whatever the stack has opened."""
        self._server.close()
        self._now += 1000
        self._loop.round(0)

    def _with_ports(self, text: str) -> str:
        return text.replace(":server", f":{self._ports['server']}") if ":server" in text else text

    def _do_mtu(self, mtu: str) -> None:
        self._make(int(mtu))

    def _do_dropped(self, count: str) -> None:
        assert self._stack.dropped == int(count), self._stack.dropped

    def _do_server(self, what: str, count: str = "0") -> None:
        if what == "open":
            self._server.bind(("127.0.0.1", 0))
            self._server.settimeout(5)
            self._ports["server"] = self._server.getsockname()[1]
        elif what == "close":
            self._server.close()
        elif what == "got":
            data, self._client = self._server.recvfrom(65536)
            assert data == pattern(int(count)), len(data)
        else:
            self._server.sendto(pattern(int(count)), self._client)

    def _on_sent_by_container(self, text: str) -> None:
        if match := _ARP.fullmatch(text):
            operation = int(_words(match["rest"]).get("op", "1"))
            head = b"\0\1\x08\0\x06\x04" + operation.to_bytes(2, "big")
            packet = head + _MAC + inet_aton(match["sender"]) + bytes(6) + inet_aton(match["wanted"])
            self._frame(ethernet.BROADCAST + _MAC + ethernet.ARP + packet)
            return
        protocol, address, payload, options = self._ip_payload(text)
        first, last, more = re.fullmatch(r"(\d+)-(\d+)(\+?)", options.get("frag", f"0-{len(payload)}")).groups()  # type: ignore[union-attr]
        field = (int(first) >> 3) | (ipv4.MORE_FRAGMENTS if more else 0)
        payload = payload[int(first) : int(last)]
        ends = inet_aton(options.get("from", _CONTAINER)), inet_aton(address)
        header = bytearray(ipv4.header(protocol, *ends, len(payload), field, int(options.get("id", "0"))))
        header[8] = int(options.get("ttl", "64"))
        header += bytes((int(options.get("ihl", "5")) - 5) * 4) if int(options.get("ihl", "5")) > 5 else b""
        header[0] = int(options.get("version", "4")) << 4 | int(options.get("ihl", "5"))
        header[2:4] = int(options.get("total", str(len(header) + len(payload)))).to_bytes(2, "big")
        header[10:12] = bytes(2)
        header[10:12] = (checksum.checksum(bytes(header)) ^ (1 if "check" in options else 0)).to_bytes(2, "big")
        to = {"broadcast": ethernet.BROADCAST, "elsewhere": _ELSEWHERE}.get(options.get("to", ""), _GATEWAY_MAC)
        self._frame(to + _MAC + ethernet.IPV4 + bytes(header) + payload + bytes(int(options.get("pad", "0"))))

    def _ip_payload(self, text: str) -> tuple[int, str, bytes, dict[str, str]]:
        """Return protocol, destination and payload of what the container sends, and the rest of the words."""
        if match := _UDP.fullmatch(text):
            options, payload = _words(match["rest"]), pattern(int(match["len"]))
            ends = inet_aton(_CONTAINER), inet_aton(match["address"])
            head = bytearray(udp.header4(*ends, int(match["port"]), int(match["remote"]), payload))
            head[4:6] = int(options.get("says", str(len(payload) + udp.LENGTH))).to_bytes(2, "big")
            if "sum" in options:
                wrong = int.from_bytes(head[6:8], "big") ^ 1 or 3
                head[6:8] = {"none": 0, "bad": wrong}[options["sum"]].to_bytes(2, "big")
            return ipv4.UDP, match["address"], bytes(head) + payload, options
        if match := _ICMP.fullmatch(text):
            options = _words(match["rest"])
            data = pattern(int(options.get("len", "0")))
            numbers = int(options.get("id", "0")), int(options.get("seq", "0"))
            message = bytearray(icmp.echo(int(match["type"]), *numbers, data))
            message[1] = int(match["code"])
            message[2:4] = bytes(2)
            message[2:4] = (checksum.checksum(bytes(message)) ^ ("sum" in options)).to_bytes(2, "big")
            return ipv4.ICMP, match["address"], bytes(message), options
        match = _OTHER.fullmatch(text)
        if match is None:
            raise ValueError(f"not a packet: {text}")
        return int(match["proto"]), match["address"], pattern(int(match["len"])), _words(match["rest"])

    def _frame(self, frame: bytes) -> None:
        slot = self._arena.take()
        assert slot is not None
        frame = vnet.PLAIN + frame
        slot.view[: len(frame)] = frame
        if not self._stack.on_frame(slot, len(frame)):
            self._arena.give(slot)


def describe(protocol: int, source: str, destination: str, payload: bytes, *, up: bool = False) -> str:
    """Return an IP packet in words, and check its checksums and payload."""
    if protocol == ipv4.UDP:
        fields = udp.parse(memoryview(payload))
        assert fields is not None, "not a datagram"
        port, remote, length, check = fields
        pseudo = ipv4.pseudo_sum(ipv4.UDP, inet_aton(source), inet_aton(destination)) + length
        assert up or checksum.is_valid(payload, pseudo), check
        assert payload[udp.LENGTH : length] == pattern(length - udp.LENGTH), "other bytes"
        if up:
            return f"udp {port} > {destination}:{remote} len {length - udp.LENGTH}"
        return f"udp {source}:{port} > {remote} len {length - udp.LENGTH}"
    if protocol == ipv4.ICMP:
        message = icmp.parse(memoryview(payload))
        assert message is not None, "a wrong checksum"
        kind, code, identifier, sequence = message
        data = payload[icmp.LENGTH :]
        if kind == icmp.ECHO_REPLY:
            assert data == pattern(len(data)), "other bytes"
            return f"icmp {source} reply id {identifier} seq {sequence} len {len(data)}"
        return f"icmp {source} type {kind} code {code} about {_quoted(data)}"
    return f"proto {protocol} {destination} len {len(payload)}"


def _quoted(packet: bytes) -> str:
    """Return in words what an error quotes."""
    assert packet[0] == 0x45, "no packet"
    assert inet_ntoa(packet[12:16]) == _CONTAINER, "not the container's packet"
    name = _PROTOCOLS.get(packet[9], f"proto {packet[9]}")
    return f"{name} {inet_ntoa(packet[16:20])} quoting {len(packet)}"
