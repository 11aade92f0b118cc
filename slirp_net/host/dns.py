"""The name server that the container sees: it knows the names of the host itself, and forwards all else to the host's servers.

Theory of operation. A query comes by UDP, or by a TCP connection (`dns_stream`). What one of the sources in `names` knows is
answered here, for addresses and for the names of addresses; else an answer that is still kept (`dns_cache`), or one that comes from
the host's name servers (`dns_exchange`), goes back byte for byte, but for the identifier and the case of the question, which are
those of who asked. Who asks what somebody else is waiting for, waits with him: also one who asks again because it takes long. An
answer larger than the asker takes by UDP is truncated, and he comes back by TCP.
"""

from __future__ import annotations

from slirp_net.host.dns_cache import Cache
from slirp_net.host.dns_exchange import PORT, Exchange
from slirp_net.wire import dns, dns_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeAlias

    from slirp_net.host.names import Names
    from slirp_net.host.resolv_conf import NameServers
    from slirp_net.loop import Loop

    Reply: TypeAlias = Callable[[bytes], None]

__all__ = ["PORT", "Forwarder"]

_MOST: Final = 256  # exchanges under way
_MOST_WAITING: Final = 64  # askers of one of them
_PENALTY: Final = 30.0  # seconds for which a server that did not answer is asked after the others
_TRANSFERS: Final = frozenset({dns.IXFR, dns.AXFR})
_ADDRESS_LENGTH: Final = {dns.A: 4, dns.AAAA: 16}


class Forwarder:
    """Answers queries; `names` are the sources of names asked first, in this order."""

    def __init__(self, loop: Loop, name_servers: NameServers, names: list[Names]) -> None:
        self.loop = loop
        self.names = names
        self._name_servers = name_servers
        self._changes = 0
        self._cache = Cache()
        self._exchanges: dict[tuple[bytes, bool], Exchange] = {}  # oldest first
        self._waiting: dict[Exchange, dict[object, tuple[bytes, Reply]]] = {}
        self._silent: dict[str, float] = {}  # servers, and until when they are asked last

    def __len__(self) -> int:
        return len(self._exchanges)

    def on_query(self, payload: bytes | memoryview, asker: object, reply: Reply, *, by_stream: bool = False) -> bool:
        """Take a query and call `reply` with the answer, now or later; tells whether there will be one.

        `asker` is who asks, as far as it can be told.
        """
        question = dns.parse_query(payload)
        if question is None:
            refusal = dns.refusal(payload)
            if refusal is not None:
                reply(refusal)
            return refusal is not None
        message = self._at_once(payload, question)
        if message is None:
            self._forward(bytes(payload), question, asker, reply, by_stream=by_stream)
        else:
            reply(_fit(message, payload, question, by_stream=by_stream))
        return True

    def on_answer(self, exchange: Exchange, message: bytes) -> None:
        """Give an answer to all who wait for it (`dns_exchange.Owner`)."""
        self._cache.put(exchange.question, message, self.loop.now)
        for asked, reply in self._remove(exchange).values():
            question = dns.parse_query(asked)
            assert question is not None
            reply(_fit(message, asked, question, by_stream=exchange.by_stream))

    def on_silence(self, server: str) -> None:
        """Ask a server after the others for a while (`dns_exchange.Owner`)."""
        self._silent[server] = self.loop.now + _PENALTY

    def _at_once(self, payload: bytes | memoryview, question: dns.Question) -> bytes | None:
        """Return the answer that can be given at once, or None."""
        if question.kind in _TRANSFERS:  # of many messages
            return dns.answer(payload, question, [], dns.NOT_IMPLEMENTED)
        if question.kind_class == dns.INTERNET:
            known = self._known(question)
            if known is not None:
                return dns.answer(payload, question, known)
        self._name_servers.current()
        if self._name_servers.changes != self._changes:
            self._changes = self._name_servers.changes
            self._cache.clear()
            self._silent.clear()
        return self._cache.get(question, self.loop.now)

    def _known(self, question: dns.Question) -> list[bytes] | None:
        """Return the data of the records that our own names have for a question, perhaps none; None for a name not ours."""
        length = _ADDRESS_LENGTH.get(question.kind)
        for source in self.names:
            addresses = source.addresses(question.name)
            if addresses is not None and (source.is_last_word or length):
                return [address for address in addresses if len(address) == length]
        address = dns_names.address_of(question.name)
        if address is not None:
            for source in self.names:
                name = source.name_of(address)
                if name is not None:
                    return [dns_names.emit(name)] if question.kind == dns.PTR else []
        return None

    def _forward(self, asked: bytes, question: dns.Question, asker: object, reply: Reply, *, by_stream: bool) -> None:
        key = (dns.relayed(asked, question, 0)[2:], by_stream)
        exchange = self._exchanges.get(key)
        if exchange is not None:
            waiting = self._waiting[exchange]
            if len(waiting) < _MOST_WAITING:
                waiting[asker, asked[:2]] = asked, reply
            return
        if len(self._exchanges) >= _MOST:
            oldest = next(iter(self._exchanges.values()))
            oldest.close()
            self._remove(oldest)
        servers = sorted(self._name_servers.current(), key=self._is_silent)
        exchange = Exchange(self, asked, question, tuple(servers), by_stream=by_stream)
        self._exchanges[exchange.key] = exchange
        self._waiting[exchange] = {(asker, asked[:2]): (asked, reply)}
        exchange.ask_next()

    def _remove(self, exchange: Exchange) -> dict[object, tuple[bytes, Reply]]:
        """Forget an exchange and return who waited for it."""
        del self._exchanges[exchange.key]
        return self._waiting.pop(exchange)

    def _is_silent(self, server: str) -> bool:
        return self._silent.get(server, 0.0) > self.loop.now


def _fit(message: bytes, asked: bytes | memoryview, question: dns.Question, *, by_stream: bool) -> bytes:
    """Return an answer as it goes to who `asked`."""
    message = dns.adapted(message, asked, question.length)
    return message if by_stream or len(message) <= question.size else dns.truncated(message, question)
