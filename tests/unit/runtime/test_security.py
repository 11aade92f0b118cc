import os

import pytest

from rootless.errors import InvalidInput
from rootless.linux import capabilities
from rootless.runtime import security
from rootless.runtime.security import DEFAULT_CAPABILITIES, container_capabilities

LAST = capabilities.NUMBERS["CAP_CHECKPOINT_RESTORE"]


def test_the_default_set_is_dockers() -> None:
    assert capabilities.to_mask(DEFAULT_CAPABILITIES) == 0xA80425FB
    assert container_capabilities() == list(DEFAULT_CAPABILITIES)


def test_add_and_drop() -> None:
    assert container_capabilities(["net_admin"], ["CAP_MKNOD"], last=LAST) == [
        *(name for name in DEFAULT_CAPABILITIES if name != "CAP_MKNOD"),
        "CAP_NET_ADMIN",
    ]
    assert container_capabilities(["CHOWN", "cap_chown"], last=LAST) == list(DEFAULT_CAPABILITIES)
    assert container_capabilities(["CHOWN"], ["all"], last=LAST) == ["CAP_CHOWN"]
    assert container_capabilities([], ["ALL"], last=LAST) == []
    assert container_capabilities(["CHOWN"], ["CHOWN"], last=LAST)[-1] == "CAP_CHOWN"
    everything_but = container_capabilities(["ALL"], ["SYS_ADMIN"], last=LAST)
    assert len(everything_but) == LAST
    assert "CAP_SYS_ADMIN" not in everything_but


def test_all_means_what_the_kernel_knows() -> None:
    assert container_capabilities(privileged=True, last=37)[-1] == "CAP_AUDIT_READ"
    assert container_capabilities(["ALL"], last=LAST) == list(capabilities.NAMES)
    assert len(container_capabilities(privileged=True)) == min(capabilities.last_capability(), LAST) + 1


@pytest.mark.parametrize("name", ["NET_FOO", "", "CAP_", "CAP_BPF\n"])
def test_an_unknown_capability_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="invalid CapAdd: unknown capability"):
        container_capabilities([name], last=LAST)
    with pytest.raises(InvalidInput, match="invalid CapDrop: unknown capability"):
        container_capabilities([], [name], last=LAST)


def test_a_user_other_than_root_has_no_capability_in_effect() -> None:
    assert security.oci_capabilities(["CAP_CHOWN"], 0) == {
        "bounding": ["CAP_CHOWN"],
        "effective": ["CAP_CHOWN"],
        "permitted": ["CAP_CHOWN"],
    }
    assert security.oci_capabilities(["CAP_CHOWN"], 1000) == {"bounding": ["CAP_CHOWN"]}


def test_thermal_throttle_is_masked_where_it_exists(tmp_path: object) -> None:
    assert security.masked_paths(str(tmp_path)) == list(security.MASKED_PATHS)
    os.makedirs(f"{tmp_path}/devices/system/cpu/cpu0/thermal_throttle")
    with open(f"{tmp_path}/devices/system/cpu/possible", "w") as file:
        file.write("0-2,8\n")
    paths = security.masked_paths(str(tmp_path))[len(security.MASKED_PATHS) :]
    assert paths == [f"/sys/devices/system/cpu/cpu{cpu}/thermal_throttle" for cpu in (0, 1, 2, 8)]
