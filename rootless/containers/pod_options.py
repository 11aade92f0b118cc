"""What `--pod` makes of the options of a new container: a member shares the namespaces of the pod's infra container."""

from typing import Any, Final

from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput
from rootless.locations import Locations

# Options of what belongs to the pod's network, by their Python names.
_OF_NETWORK: Final = {
    "network": "--network",
    "add_host": "--add-host",
    "dns": "--dns",
    "dns_search": "--dns-search",
    "dns_options": "--dns-option",
    "no_hosts": "--no-hosts",
    "mac_address": "--mac-address",
}


def in_pod(locations: Locations, options: CreateOptions) -> CreateOptions:
    """Return the options of a container, which joins its pod if it has one. Raises `NoSuchObject`, `InvalidInput`."""
    if options.pod_name is None:
        return options
    from rootless.containers import pod_members  # few containers are in a pod

    infra = pod_members.find(locations, options.pod_name)
    own = infra["Rl"]["Pod"]
    given: dict[str, Any] = (options.given or {}).get("Options", {})
    share, joined, modes = own["Share"], f"container:{infra['Id']}", options.namespaces
    if "net" in share:
        for option in (option for name, option in _OF_NETWORK.items() if name in given):
            raise InvalidInput(f"{option} does not go together with --pod: the network is the pod's", "give it to rl pod create")
        options = options._replace(network=joined)
    if "uts" in share and options.hostname:
        raise InvalidInput("--hostname does not go together with --pod: the host name is the pod's", "give it to rl pod create")
    modes = modes._replace(
        ipc=joined if "ipc" in share and "ipc" not in given else modes.ipc,
        uts=joined if "uts" in share and "uts" not in given else modes.uts,
    )
    return options._replace(namespaces=modes, pod={"Id": own["Id"], "Name": own["Name"], "IsInfra": False})
