"""Docker's profile, system call by system call: what the compiled filter answers is what the profile's rules say.

No probed call is made: a filter below the profile's answers every call that has a mark in its sixth argument with an errno that no
system call has, so an answer is that one where the profile lets the call through, and the profile's own where it does not.
"""

import ctypes
import mmap
import platform
import struct
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from rootless.linux import capabilities
from rootless.linux import seccomp as kernel
from rootless.runtime import seccomp
from rootless.runtime.seccomp import Platform
from rootless.runtime.security import DEFAULT_CAPABILITIES
from tests.support.seccomp_profile import NEVER_FILTERED, Probe, probes

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers and machine code are x86-64's")

MARK = 0x5EC0
LET_THROUGH = 777  # errno
NODE = Platform("x86_64", "6.12.0")
CONDITIONAL = sorted(
    {
        name
        for rule in seccomp.default_profile()["syscalls"]
        for side in ("includes", "excludes")
        for name in rule.get(side, {}).get("caps", ())
    }
)
SETS = {"none": [], "default": DEFAULT_CAPABILITIES, "all": capabilities.NAMES, **{name: [name] for name in CONDITIONAL}}
X32_BIT = 0x40000000
# One call that stands for many, which libseccomp takes apart by its first argument.
MULTIPLEXED_ON_I386 = {102, 117}

# seccomp_data.args[5], low half; A == MARK -> ERRNO, else ALLOW
MARK_FILTER = b"".join(
    struct.pack("=HBBI", *one)
    for one in ((0x20, 0, 0, 16 + 5 * 8), (0x15, 0, 1, MARK), (0x06, 0, 0, 0x00050000 | LET_THROUGH), (0x06, 0, 0, 0x7FFF0000))
)
# long call(number, five arguments, mark) by int 0x80: the 32-bit table, from a 64-bit process
INT_80 = bytes.fromhex("53 55 89f8 89f3 4489cf 4489c6 87d1 8b6c2418 cd80 4898 5d 5b c3")


def by_syscall() -> Callable[..., int]:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: int) -> int:
        ctypes.set_errno(0)
        libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(one) for one in arguments), ctypes.c_ulong(MARK))
        return ctypes.get_errno()

    return call


def by_int_80() -> Callable[..., int]:
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(INT_80)
    function = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_uint] * 7)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def call(number: int, *arguments: int, keep: mmap.mmap = code) -> int:
        return -int(function(number, *arguments, MARK))

    return call


def differences(program: bytes, wanted: Iterable[Probe], make: Callable[[], Callable[..., int]]) -> Callable[[], list[Any]]:
    def body() -> list[Any]:
        call = make()
        kernel.set_no_new_privs()
        kernel.install(MARK_FILTER)
        kernel.install(program)
        found = []
        for probe in wanted:
            answer = call(probe.number, *probe.arguments)
            if answer != (probe.answer or LET_THROUGH):
                found.append((probe, answer))
        return found

    return body


@pytest.fixture(params=SETS, scope="module")
def bounding(request: pytest.FixtureRequest) -> list[str]:
    return list(SETS[request.param])


@pytest.fixture(scope="module")
def program(bounding: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return seccomp.load_default_program(str(tmp_path_factory.mktemp("seccomp")), bounding, NODE)


def test_every_system_call(in_child: Callable[[Any], Any], program: bytes, bounding: list[str]) -> None:
    wanted = [probe for probe in probes(seccomp.default_profile(), bounding, "x86_64") if probe.number not in NEVER_FILTERED]
    assert len(wanted) > 500
    assert in_child(differences(program, wanted, by_syscall)) == []


def test_every_system_call_of_x32(in_child: Callable[[Any], Any], program: bytes, bounding: list[str]) -> None:
    """Those below 512 have x86-64's numbers; what only x86-64 has is refused there."""
    wanted = [
        probe._replace(number=probe.number | X32_BIT)
        for probe in probes(seccomp.default_profile(), bounding, "x86_64")
        if probe.number not in NEVER_FILTERED
        and probe.answer == 1
        and max(probe.arguments) < 1 << 32  # EPERM; arguments have 32 bits there
    ]
    assert in_child(differences(program, wanted, by_syscall)) == []


def test_every_system_call_of_i386(in_child: Callable[[Any], Any], program: bytes, bounding: list[str]) -> None:
    wanted = [probe for probe in probes(seccomp.default_profile(), bounding, "i386") if probe.number not in MULTIPLEXED_ON_I386]
    assert in_child(differences(program, wanted, by_int_80)) == []
