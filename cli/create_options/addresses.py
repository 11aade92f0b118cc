"""Options of the container's own addresses and ports."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--expose", multiple=True, metavar="PORT[-PORT][/PROTOCOL]", help="Note a port that the container listens on."),
    click.option("--mac-address", metavar="MAC", help="The hardware address of the container's network device."),
    click.option("-p", "--publish", multiple=True, hidden=True),
    click.option("-P", "--publish-all", is_flag=True, hidden=True),
    click.option("--ip", "ip_address", hidden=True),
    click.option("--ip6", "ip6_address", hidden=True),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    if given.texts("publish") or given.flag("publish_all"):
        option = "-p/--publish" if given.texts("publish") else "-P/--publish-all"
        raise InvalidInput(
            f"{option}: ports of a container cannot be published yet",
            "use --network host, where the container's ports are the node's",
        )
    if given.text("ip_address") or given.text("ip6_address"):
        raise InvalidInput(
            "invalid config for network: user specified IP address is supported on user defined networks only",
            "leave out --ip: a private network has nobody else on it",
        )
    mac = given.text("mac_address")
    if not given.texts("expose") and not mac:
        return options
    from rootless.containers import name_options  # with these options only

    given_words = {**({"mac-address": mac} if mac else {}), **({"port exposing": 1} if given.texts("expose") else {})}
    name_options.check_conflicts(given_words, options.network, "")
    if mac and options.network in ("host", "none"):
        raise InvalidInput(
            "conflicting options: mac-address and the network mode", "the container has no network device of its own"
        )
    return options._replace(exposed_ports=name_options.parse_exposed(given.texts("expose"))).with_fields(
        {}, {"MacAddress": name_options.check_mac(mac)} if mac else {}
    )
