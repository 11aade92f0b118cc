"""What `rl inspect` shows of a container: its record, with every field that Docker's JSON has (Engine API, ContainerInspect).

The record leaves out what a container does not have; scripts written for Docker rely on the fields being there, with their types.
"""

from collections.abc import Mapping
from typing import Any, Final

from rootless.containers.documents import Document, has_begun
from rootless.images.layers import TREE, folder_of
from rootless.locations import Locations
from rootless.runtime.security import READONLY_PATHS, masked_paths

_HOST_CONFIG: Final[Mapping[str, Any]] = {
    "Binds": None,
    "ContainerIDFile": "",
    "VolumeDriver": "",
    "VolumesFrom": None,
    "ConsoleSize": [0, 0],
    "Cgroup": "",
    "Links": None,
    "PublishAllPorts": False,
    "Isolation": "",
    "CpuShares": 0,
    "Memory": 0,
    "NanoCpus": 0,
    "CgroupParent": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteIOps": [],
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": None,
    "OomKillDisable": False,
    "PidsLimit": None,
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
}
_NETWORK_SETTINGS: Final[Mapping[str, Any]] = {
    "Bridge": "",
    "SandboxID": "",
    "SandboxKey": "",
    "HairpinMode": False,
    "LinkLocalIPv6Address": "",
    "LinkLocalIPv6PrefixLen": 0,
    "SecondaryIPAddresses": None,
    "SecondaryIPv6Addresses": None,
}
_ENDPOINT: Final[Mapping[str, Any]] = {
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}
_MEMBER: Final[Mapping[str, Any]] = {
    "IPAMConfig": None,
    "Links": None,
    "Aliases": None,
    "DriverOpts": None,
    "NetworkID": "",
    **_ENDPOINT,
    "DNSNames": None,
}


def container_document(locations: Locations, document: Document) -> dict[str, Any]:
    """Return the JSON object of `docker inspect` for a container."""
    network = document["NetworkSettings"]
    if not has_begun(document["State"]):
        network = {**network, "Ports": {}}  # of a container whose monitor was killed
    members = {name: {**_MEMBER, **member} for name, member in (network.get("Networks") or {}).items()}
    return {
        **document,
        "State": {**document["State"], "Running": has_begun(document["State"])},
        "HostConfig": {**_HOST_CONFIG, **document["HostConfig"], **_paths(document["HostConfig"])},
        "GraphDriver": _graph_driver(locations, document),
        "NetworkSettings": {**_NETWORK_SETTINGS, "Ports": {}, **_ENDPOINT, **network, "Networks": members},
        "Pod": document["Rl"].get("Pod", {}).get("Id", ""),
        "IsInfra": document["Rl"].get("Pod", {}).get("IsInfra", False),
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
    }


def with_sizes(locations: Locations, shown: dict[str, Any]) -> dict[str, Any]:
    """Add what `--size` asks for: the bytes that the container wrote, and those with its image's layers (SizeRootFs)."""
    from rootless.images.history import layer_size  # with the option only
    from rootless.storage.usage import sizes_of_uppers

    written = sizes_of_uppers(locations, [shown["Id"]])[shown["Id"]]
    layers = sum(layer_size(locations, key) for key in shown["Rl"]["LayerKeys"])
    return {**shown, "SizeRw": written, "SizeRootFs": written + layers}


def _paths(host_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the masked and read-only paths: the record has them where they are not the default."""
    masked, readonly = host_config.get("MaskedPaths"), host_config.get("ReadonlyPaths")
    return {
        "MaskedPaths": masked_paths() if masked is None else masked,
        "ReadonlyPaths": list(READONLY_PATHS) if readonly is None else readonly,
    }


def _graph_driver(locations: Locations, document: Document) -> dict[str, Any]:
    lowers = [f"{folder_of(locations, key)}/{TREE}" for key in reversed(document["Rl"]["LayerKeys"])]
    driver = document["GraphDriver"]
    return {**driver, "Data": {"LowerDir": ":".join(lowers), **driver["Data"]}}
