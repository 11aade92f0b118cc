import pytest

from rootless.errors import InvalidInput
from rootless.runtime import sysctl


def spec(*namespaces: str, **parameters: str) -> dict:
    return {
        "linux": {
            "namespaces": [{"type": name} for name in namespaces],
            "sysctl": {name.replace("__", "."): value for name, value in parameters.items()},
        }
    }


def test_names_with_dots_and_with_slashes() -> None:
    document = spec("network")
    document["linux"]["sysctl"] = {"net.ipv4.conf.eth0/100.forwarding": "1", "net/ipv4/conf/eth0.100/rp_filter": "0"}
    assert sysctl.check(document) == {"net/ipv4/conf/eth0.100/forwarding": "1", "net/ipv4/conf/eth0.100/rp_filter": "0"}


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("ipc", "kernel__shmmax"),
        ("ipc", "kernel__sem"),
        ("ipc", "fs__mqueue__queues_max"),
        ("network", "net__core__somaxconn"),
        ("uts", "kernel__domainname"),
        ("user", "user__max_net_namespaces"),
    ],
)
def test_each_needs_its_namespace(namespace: str, name: str) -> None:
    assert len(sysctl.check(spec(namespace, **{name: "1"}))) == 1
    others = {"ipc", "network", "uts", "user", "mount", "pid"} - {namespace}
    with pytest.raises(InvalidInput, match=f"belongs to the {namespace} namespace, which is the node's here"):
        sysctl.check(spec(*others, **{name: "1"}))


@pytest.mark.parametrize("name", ["kernel__core_pattern", "vm__overcommit_memory", "kernel__shm", "fs__mqueuex", "networking__x"])
def test_those_of_the_node_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="belongs to no namespace"):
        sysctl.check(spec("ipc", "network", "uts", "user", **{name: "1"}))


@pytest.mark.parametrize("name", ["net/../kernel/core_pattern", "net..x", "/net/x", ".net", "", "net/./x"])
def test_a_name_does_not_lead_elsewhere(name: str) -> None:
    document = spec("network")
    document["linux"]["sysctl"] = {name: "1"}
    with pytest.raises(InvalidInput):
        sysctl.check(document)
