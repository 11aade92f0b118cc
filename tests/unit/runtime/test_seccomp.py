import json
import os

import pytest

from rootless.errors import InvalidInput
from rootless.linux import seccomp as kernel
from rootless.runtime import seccomp
from rootless.runtime.seccomp import Platform, oci_seccomp
from rootless.runtime.security import DEFAULT_CAPABILITIES

REFERENCE = os.path.join(os.path.dirname(__file__), "../../../../shared/reference/seccomp-default.json")
SCHEMAS = os.path.join(os.path.dirname(__file__), "../../../../shared/reference/oci-schemas/runtime")
X86_64 = Platform("x86_64", "6.1.0-18-amd64")


def rules_of(oci: dict, name: str) -> list[dict]:
    return [rule for rule in oci["syscalls"] if name in rule["names"]]


@pytest.mark.skipif(not os.path.exists(REFERENCE), reason="../shared is absent")
def test_the_profile_is_dockers() -> None:
    with open(REFERENCE) as file:
        assert seccomp.default_profile() == json.load(file)


@pytest.mark.skipif(not os.path.isdir(SCHEMAS), reason="../shared is absent")
def test_the_oci_object_fits_the_schema() -> None:
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    registry: Registry = Registry()
    for name in ("defs.json", "defs-linux.json", "config-linux.json"):
        with open(f"{SCHEMAS}/{name}") as file:
            registry = registry.with_resource(name, Resource(json.load(file), DRAFT7))
    oci = oci_seccomp(seccomp.default_profile(), DEFAULT_CAPABILITIES, X86_64)
    with open(f"{SCHEMAS}/config-linux.json") as file:
        schema = json.load(file)["linux"]["properties"]["seccomp"]
    Draft7Validator(schema, registry=registry).validate(oci)


def test_rules_depend_on_capabilities() -> None:
    profile = seccomp.default_profile()
    default = oci_seccomp(profile, DEFAULT_CAPABILITIES, X86_64)
    admin = oci_seccomp(profile, [*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"], X86_64)
    assert not rules_of(default, "mount")
    assert rules_of(admin, "mount")
    assert rules_of(default, "clone3") == [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]
    assert rules_of(admin, "clone3")[0]["action"] == "SCMP_ACT_ALLOW"
    assert rules_of(default, "chroot")
    assert not rules_of(oci_seccomp(profile, [], X86_64), "chroot")


def test_rules_depend_on_the_architecture() -> None:
    profile = seccomp.default_profile()
    assert oci_seccomp(profile, [], X86_64)["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert rules_of(oci_seccomp(profile, [], X86_64), "modify_ldt")
    arm = oci_seccomp(profile, [], Platform("aarch64", "6.1.0"))
    assert arm["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert rules_of(arm, "set_tls")
    assert not rules_of(arm, "modify_ldt")
    assert oci_seccomp(profile, [], Platform("riscv64", "6.1.0"))["architectures"] == ["SCMP_ARCH_RISCV64"]
    s390 = rules_of(oci_seccomp(profile, [], Platform("s390x", "6.1.0")), "clone")
    assert [rule["args"][0]["index"] for rule in s390] == [1]
    assert "architectures" not in oci_seccomp(profile, [], Platform("vax", "6.1.0"))


@pytest.mark.parametrize(("release", "allowed"), [("4.7.10", False), ("4.8", True), ("4.19.0-rc1", True), ("6.1", True)])
def test_rules_depend_on_the_kernel(release: str, allowed: bool) -> None:
    oci = oci_seccomp(seccomp.default_profile(), [], Platform("x86_64", release))
    assert bool(rules_of(oci, "ptrace")) is allowed


def test_an_oci_object_passes_through() -> None:
    oci = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": [],
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}],
    }
    assert oci_seccomp(oci, [], X86_64) == oci


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ERRNO"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"]}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86"}]},
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "new"}}],
        },
    ],
)
def test_a_malformed_profile_is_refused(profile: dict) -> None:
    with pytest.raises(InvalidInput, match="invalid seccomp profile"):
        oci_seccomp(profile, [], X86_64)


def test_flags() -> None:
    assert seccomp.filter_flags({"defaultAction": "SCMP_ACT_ALLOW"}) == kernel.FILTER_FLAG_SPEC_ALLOW
    assert seccomp.filter_flags({"flags": []}) == 0
    named = {"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]}
    assert seccomp.filter_flags(named) == kernel.FILTER_FLAG_LOG | kernel.FILTER_FLAG_TSYNC
    notify = {"flags": [], "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}
    assert seccomp.filter_flags(notify) == kernel.FILTER_FLAG_NEW_LISTENER
    with pytest.raises(InvalidInput):
        seccomp.filter_flags({"flags": ["SECCOMP_FILTER_FLAG_X"]})


def test_the_cache_is_used_and_keyed(tmp_path: object) -> None:
    folder = f"{tmp_path}/seccomp"
    node = Platform.of_this_node()
    program = seccomp.load_default_program(folder, DEFAULT_CAPABILITIES, node)
    [name] = os.listdir(folder)
    with open(f"{folder}/{name}", "wb") as file:
        file.write(b"12345678")
    assert seccomp.load_default_program(folder, reversed(DEFAULT_CAPABILITIES), node) == b"12345678"
    assert seccomp.load_default_program(folder, ["CAP_SYS_ADMIN"], node) != program
    assert seccomp.load_default_program(folder, DEFAULT_CAPABILITIES, Platform(node.machine, "6.99.0")) == program
    assert len(os.listdir(folder)) == 3
    with open(f"{folder}/{name}", "wb") as file:
        file.write(b"123")
    assert seccomp.load_default_program(folder, DEFAULT_CAPABILITIES, node) == program


def test_the_hot_path_does_not_load_the_compiler(tmp_path: object) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from rootless.runtime import seccomp; from rootless.runtime.security import DEFAULT_CAPABILITIES as C;"
        f"seccomp.load_default_program({str(tmp_path)!r}, C, seccomp.Platform.of_this_node());"
        "print([m for m in ('pyseccomp', 'json', 'hashlib') if m in sys.modules])"
    )
    outputs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout for _ in range(2)]
    assert "pyseccomp" in outputs[0]
    assert outputs[1].strip() == "[]"


def test_an_unwritable_cache_does_not_stop_a_container(tmp_path: object) -> None:
    # A file where the folder should be: an error that means a bug or damage, not a full disk.
    with open(f"{tmp_path}/file", "w"):
        pass
    with pytest.raises(NotADirectoryError):
        seccomp.load_default_program(f"{tmp_path}/file/cache", (), Platform.of_this_node())
    assert seccomp.load_default_program("/sys/rl-cache", (), Platform.of_this_node())
