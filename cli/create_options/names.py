"""Options of the names that the container knows: hosts, name servers, its domain."""

from typing import Any, Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

_WORDS: Final = {  # Docker's, in its complaints of conflicts
    "add_host": "custom host-to-IP mapping",
    "dns": "dns",
    "dns_search": "dns-search",
    "dns_options": "dns-option",
}

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--domainname", metavar="NAME", help="The container's domain name."),
    click.option("--add-host", multiple=True, metavar="NAME:ADDRESS|host-gateway", help="Add a line to /etc/hosts."),
    click.option("--no-hosts", is_flag=True, help="Leave /etc/hosts as the image has it."),
    click.option("--dns", multiple=True, metavar="ADDRESS|none", help="Ask this name server; none: resolv.conf is the image's."),
    click.option("--dns-search", multiple=True, metavar="DOMAIN|.", help="Search this domain; a dot: none."),
    click.option("--dns-option", "--dns-opt", "dns_options", multiple=True, metavar="OPTION", help="An option of resolv.conf."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    domain, texts = given.text("domainname"), {word: given.texts(name) for name, word in _WORDS.items() if given.texts(name)}
    if not texts and not domain and not given.flag("no_hosts"):
        return options
    from rootless.containers import name_options  # with these options only

    name_options.check_conflicts({**({"domainname": domain} if domain else {}), **texts}, options.network, options.namespaces.uts)
    hosts, servers = given.texts("add_host"), given.texts("dns")
    if given.flag("no_hosts") and hosts:
        raise InvalidInput("--no-hosts and --add-host cannot be set together", "leave one of them out")
    without_dns = "none" in servers
    if without_dns and (len(servers) > 1 or given.texts("dns_search") or given.texts("dns_options")):
        raise InvalidInput("cannot set dns options when 'none' is specified as a nameserver", "leave out --dns none")
    fields: dict[str, Any] = {
        "ExtraHosts": name_options.parse_hosts(hosts, options.network) or None,
        "Dns": [] if without_dns else name_options.parse_servers(servers),
        "DnsSearch": name_options.check_domains(given.texts("dns_search")),
        "DnsOptions": name_options.check_options(given.texts("dns_options")),
    }
    return options._replace(makes_hosts=not given.flag("no_hosts"), makes_resolv_conf=not without_dns).with_fields(
        fields, {"Domainname": name_options.check_domain_name(domain)} if domain else {}
    )
