"""Options of the container's own addresses and ports."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--expose", multiple=True, metavar="PORT[-PORT][/PROTOCOL]", help="Note a port that the container listens on."),
    click.option("--mac-address", metavar="MAC", help="The hardware address of the container's network device."),
    click.option(
        "-p", "--publish", multiple=True, metavar="[[IP:][HOST]:]PORT[/PROTOCOL]",
        help="Publish a port, or a range, at the node; HOST is a port, a range to choose from, or any that is free.",
    ),
    click.option("-P", "--publish-all", is_flag=True, help="Publish all exposed ports, each at a port of the node that is free."),
    click.option("--ip", "ip_address", hidden=True),
    click.option("--ip6", "ip6_address", hidden=True),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    published, publishes_all = given.texts("publish"), given.flag("publish_all")
    if given.text("ip_address") or given.text("ip6_address"):
        raise InvalidInput(
            "invalid config for network: user specified IP address is supported on user defined networks only",
            "leave out --ip: a private network has nobody else on it",
        )
    mac = given.text("mac_address")
    if not given.texts("expose") and not mac and not published and not publishes_all:
        return options
    from rootless.containers import name_options  # with these options only

    given_words = {
        **({"mac-address": mac} if mac else {}),
        **({"port exposing": 1} if given.texts("expose") else {}),
        **({"port publishing": 1} if published or publishes_all else {}),
    }
    name_options.check_conflicts(given_words, options.network, "")
    if mac and options.network in ("host", "none"):
        raise InvalidInput(
            "conflicting options: mac-address and the network mode", "the container has no network device of its own"
        )
    bindings = _published(options.network, published, discards=publishes_all)
    exposed = dict.fromkeys((*name_options.parse_exposed(given.texts("expose")), *bindings))
    return options._replace(exposed_ports=tuple(exposed)).with_fields(
        {"PortBindings": bindings, "PublishAllPorts": publishes_all}, {"MacAddress": name_options.check_mac(mac)} if mac else {}
    )


def _published(network: str, texts: tuple[str, ...], *, discards: bool) -> dict[str, list[dict[str, str]]]:
    """Return HostConfig.PortBindings. Docker, too, only warns of ports that a network cannot have."""
    from rootless.networks import publishing  # with these options only

    bindings = publishing.parse(texts)
    if network in ("host", "none") and (bindings or discards):
        from cli.complaints import complain

        complain(f"published ports are discarded with --network {network}", kind="warning")
    return bindings
