"""Options of the namespaces that the container gets of its own, or shares."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers import namespace_modes
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

_NAMES: Final = {"subuid_name": "--subuidname", "subgid_name": "--subgidname"}

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-h", "--hostname", metavar="NAME", help="The container's host name."),
    click.option(
        "--network", "--net", metavar="MODE", help="none, host, container:NAME, or slirp (a private network; the default)."
    ),
    click.option("--pid", metavar="MODE", help="Share the PID namespace: host or container:NAME."),
    click.option("--ipc", metavar="MODE", help="The IPC namespace: private, shareable, none, host or container:NAME."),
    click.option("--uts", metavar="MODE", help="Share the host name: host or container:NAME."),
    click.option("--userns", metavar="MODE",
                 help="The user namespace: private, host (that of all containers), keep-id, nomap, auto or container:NAME."),
    click.option("--uidmap", "uid_maps", multiple=True, metavar="INSIDE:OUTSIDE[:LENGTH]",
                 help="Map user IDs; outside, 0 is you, and 1 and up your subordinate IDs."),
    click.option("--gidmap", "gid_maps", multiple=True, metavar="INSIDE:OUTSIDE[:LENGTH]",
                 help="Map group IDs (default: as --uidmap)."),
    click.option("--cgroupns", metavar="MODE", help="The cgroup namespace: private or host."),
    click.option("--group-add", "groups", multiple=True, metavar="GROUP|keep-groups", help="Add a group, or keep your own ones."),
    *(click.option(option, name, hidden=True) for name, option in _NAMES.items()),
)  # fmt: skip


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    for name, option in _NAMES.items():
        if given.text(name) is not None:
            raise InvalidInput(f"{option}: all containers have your own subordinate IDs", "map those by --uidmap and --gidmap")
    if given.texts("uid_maps") or given.texts("gid_maps"):
        options = _with_maps(options, given)
    modes = namespace_modes.parse(
        pid=given.text("pid"),
        ipc=given.text("ipc"),
        uts=given.text("uts"),
        user=given.text("userns"),
        cgroup=given.text("cgroupns"),
        groups=given.texts("groups"),
    )
    return options._replace(
        hostname=given.text("hostname"), network=given.text("network") or options.network, namespaces=modes
    )


def _with_maps(options: CreateOptions, given: Given) -> CreateOptions:
    from rootless.namespaces.custom_maps import parse_map  # with these options only

    if given.text("userns") is not None:
        raise InvalidInput("--userns does not go together with --uidmap and --gidmap", "leave one of them out")
    uids, gids = given.texts("uid_maps"), given.texts("gid_maps")
    for option, texts in (("--uidmap", uids), ("--gidmap", gids)):
        if texts:
            parse_map(option, texts)
    return options.with_fields({"IDMappings": {"UidMap": list(uids or gids), "GidMap": list(gids or uids)}})
