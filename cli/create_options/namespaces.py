"""Options of the namespaces that the container gets of its own, or shares."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers import namespace_modes
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

_MAPS: Final = {"uid_maps": "--uidmap", "gid_maps": "--gidmap", "subuid_name": "--subuidname", "subgid_name": "--subgidname"}

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-h", "--hostname", metavar="NAME", help="The container's host name."),
    click.option(
        "--network", "--net", metavar="MODE", help="none, host, container:NAME, or slirp (a private network; the default)."
    ),
    click.option("--pid", metavar="MODE", help="Share the PID namespace: host or container:NAME."),
    click.option("--ipc", metavar="MODE", help="The IPC namespace: private, shareable, none, host or container:NAME."),
    click.option("--uts", metavar="MODE", help="Share the host name: host or container:NAME."),
    click.option("--userns", metavar="MODE", help="The user namespace: private, host (that of all containers) or container:NAME."),
    click.option("--cgroupns", metavar="MODE", help="The cgroup namespace: private or host."),
    click.option("--group-add", "groups", multiple=True, metavar="GROUP|keep-groups", help="Add a group, or keep your own ones."),
    *(click.option(option, name, hidden=True) for name, option in _MAPS.items()),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    for name, option in _MAPS.items():
        if given.text(name) is not None:
            raise InvalidInput(
                f"{option}: containers have the default ID map only, so far", "other maps come with fuse_overlay's; leave it out"
            )
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
