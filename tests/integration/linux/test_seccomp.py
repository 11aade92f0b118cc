"""What compiled filters do in the kernel: Docker's profile, and OCI objects with every action and operator."""

import ctypes
import errno
import mmap
import os
import platform
import select
import signal
from collections.abc import Callable
from typing import Any

import pytest

from rootless.errors import InvalidInput
from rootless.linux import seccomp as kernel
from rootless.runtime import seccomp
from rootless.runtime.seccomp import Platform
from rootless.runtime.security import DEFAULT_CAPABILITIES

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="system call numbers are x86-64's")

InChild = Callable[[Callable[[], Any]], Any]

NODE = Platform.of_this_node()
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000
X32_BIT = 0x40000000
NUMBERS = {
    "getpid": 39,
    "socket": 41,
    "clone": 56,
    "personality": 135,
    "mount": 165,
    "keyctl": 250,
    "unshare": 272,
    "setns": 308,
    "kcmp": 312,
    "bpf": 321,
    "io_uring_setup": 425,
    "clone3": 435,
    "fchmodat2": 452,
    "mseal": 462,
    "getppid": 110,
    "getuid": 102,
}


def result_of(name: str | int, *arguments: int) -> int | str:
    """Return a system call's result, or its error's name."""
    number = name if isinstance(name, int) else NUMBERS[name]
    ctypes.set_errno(0)
    result = int(LIBC.syscall(ctypes.c_long(number), *(ctypes.c_ulong(argument) for argument in arguments)))
    return errno.errorcode[ctypes.get_errno()] if result == -1 and ctypes.get_errno() else result


def under(program: bytes, flags: int, calls: Callable[[], Any]) -> Callable[[], Any]:
    def body() -> Any:
        kernel.set_no_new_privs()
        kernel.install(program, flags)
        return calls()

    return body


@pytest.fixture(scope="module")
def default_program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return seccomp.load_default_program(str(tmp_path_factory.mktemp("seccomp")), DEFAULT_CAPABILITIES, NODE)


def test_install_needs_a_privilege(in_child: InChild, default_program: bytes) -> None:
    def body() -> int | None:
        assert not kernel.no_new_privs()
        try:
            kernel.install(default_program)
        except OSError as error:
            return error.errno
        return None

    assert in_child(body) == errno.EACCES


@pytest.mark.parametrize("program", [b"", b"12345678", bytes(16)])
def test_an_invalid_program_is_refused(in_child: InChild, program: bytes) -> None:
    def body() -> int | None:
        kernel.set_no_new_privs()
        try:
            kernel.install(program)
        except OSError as error:
            return error.errno
        return None

    assert in_child(body) == errno.EINVAL


def test_the_default_profile_refuses(in_child: InChild, default_program: bytes) -> None:
    def calls() -> dict[str, int | str]:
        return {
            "unshare user": result_of("unshare", CLONE_NEWUSER),
            "unshare nothing": result_of("unshare", 0),
            "clone user": result_of("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0),
            "clone3": result_of("clone3", 0, 0),
            "keyctl": result_of("keyctl", 0, 0, 0, 0, 0),
            "mount": result_of("mount", 0, 0, 0, 0, 0),
            "setns": result_of("setns", -1, 0),
            "bpf": result_of("bpf", 0, 0, 0),
            "kcmp": result_of("kcmp", 0, 0, 0, 0, 0),
            "io_uring_setup": result_of("io_uring_setup", 0, 0),
            "personality": result_of("personality", 0x0040000),
            "vsock": result_of("socket", 40, 1, 0),
            "AF_ALG": result_of("socket", 38, 5, 0),
        }

    answers = in_child(under(default_program, 0, calls))
    assert answers.pop("clone3") == "ENOSYS"
    assert set(answers.values()) == {"EPERM"}, answers


def test_the_default_profile_permits(in_child: InChild, default_program: bytes) -> None:
    def calls() -> dict[str, Any]:
        child = os.fork()  # clone without namespace flags
        if child == 0:
            os._exit(7)
        return {
            "fork": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]),
            "personality 0": result_of("personality", 0),
            "personality query": result_of("personality", 0xFFFFFFFF),
            "unix socket": result_of("socket", 1, 1, 0) not in ("EPERM", "ENOSYS"),
            "af 43": result_of("socket", 43, 1, 0) != "EPERM",
            "getpid": result_of("getpid") == os.getpid(),
        }

    assert in_child(under(default_program, 0, calls)) == {
        "fork": 7,
        "personality 0": 0,
        "personality query": 0,
        "unix socket": True,
        "af 43": True,
        "getpid": True,
    }


def test_system_calls_newer_than_libseccomp(in_child: InChild, default_program: bytes) -> None:
    """Those that the profile names reach the kernel; those after the last one it names do not exist."""

    def calls() -> list[int | str]:
        names = ["fchmodat2", "mseal"]
        return [result_of(name, 0xFFFFFFFF, 1, 0, 0xFFFF) for name in names] + [result_of(999), result_of(0x40000000 | 999)]

    fchmodat2, mseal, unknown, unknown_x32 = in_child(under(default_program, 0, calls))
    assert fchmodat2 in ("EINVAL", "EFAULT", "ENOSYS")
    assert mseal in ("EINVAL", "ENOSYS")
    assert (unknown, unknown_x32) == ("ENOSYS", "ENOSYS")


def test_the_x32_numbers_are_no_way_around(in_child: InChild, default_program: bytes) -> None:
    def calls() -> list[int | str]:
        return [result_of(X32_BIT | NUMBERS["unshare"], CLONE_NEWUSER), result_of(X32_BIT | NUMBERS["clone3"], 0, 0)]

    assert in_child(under(default_program, 0, calls)) == ["EPERM", "ENOSYS"]


def i386_call(number: int, first: int = 0) -> int | str:
    """Make a system call of 32-bit x86 from this 64-bit process."""
    # push %rbx; mov %edi,%eax; mov %esi,%ebx; xor %ecx,%ecx; int $0x80; pop %rbx; ret
    code = bytes.fromhex("53 89f8 89f3 31c9 cd80 5b c3")
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(code)
        start = ctypes.c_char.from_buffer(page)
        function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint)(ctypes.addressof(start))
        result = int(function(number, first))
        del function, start
    return errno.errorcode[-result] if -4096 < result < 0 else result


def test_32_bit_system_calls_are_no_way_around(in_child: InChild, default_program: bytes) -> None:
    getpid, unshare, clone3, unknown = 20, 310, 435, 999
    if in_child(lambda: i386_call(getpid)) == f"signal {signal.SIGSEGV.value}":
        pytest.skip("the kernel has no 32-bit emulation")

    def calls() -> list[int | str]:
        return [i386_call(getpid) == os.getpid(), i386_call(unshare, CLONE_NEWUSER), i386_call(clone3), i386_call(unknown)]

    assert in_child(under(default_program, 0, calls)) == [True, "EPERM", "ENOSYS", "ENOSYS"]


def test_a_capability_opens_its_system_calls(in_child: InChild, tmp_path: object) -> None:
    program = seccomp.load_default_program(str(tmp_path), [*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"], NODE)

    def calls() -> tuple[int | str, int | str]:
        return result_of("unshare", CLONE_NEWUSER), result_of("clone3", 0, 0)

    unshare, clone3 = in_child(under(program, 0, calls))
    assert unshare == 0
    assert clone3 == "EINVAL"


def oci_program(tmp_path: object, oci: dict[str, Any]) -> tuple[bytes, int]:
    return seccomp.load_program(str(tmp_path), oci, NODE), seccomp.filter_flags(oci)


def allow_but(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules)}


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"action": "SCMP_ACT_ERRNO"}, "EPERM"),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 28}, "ENOSPC"),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}, 0),
        ({"action": "SCMP_ACT_TRACE"}, "ENOSYS"),  # no tracer
        ({"action": "SCMP_ACT_KILL"}, f"signal {signal.SIGSYS.value}"),
        ({"action": "SCMP_ACT_KILL_THREAD"}, f"signal {signal.SIGSYS.value}"),
        ({"action": "SCMP_ACT_KILL_PROCESS"}, f"signal {signal.SIGSYS.value}"),
        ({"action": "SCMP_ACT_TRAP"}, f"signal {signal.SIGSYS.value}"),
    ],
)
def test_actions(in_child: InChild, tmp_path: object, action: dict[str, Any], expected: int | str) -> None:
    program, flags = oci_program(tmp_path, allow_but({"names": ["getppid"], **action}))
    assert in_child(under(program, flags, lambda: result_of("getppid"))) == expected


@pytest.mark.parametrize("action", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"])
def test_permitting_actions(in_child: InChild, tmp_path: object, action: str) -> None:
    program, flags = oci_program(tmp_path, allow_but({"names": ["getppid", "no_such_call"], "action": action}))
    assert in_child(under(program, flags, lambda: result_of("getppid"))) == os.getpid()


def test_notify_returns_a_listener(in_child: InChild, tmp_path: object) -> None:
    oci = allow_but({"names": ["getppid"], "action": "SCMP_ACT_NOTIFY"})
    program, flags = oci_program(tmp_path, oci)

    def body() -> bool:
        kernel.set_no_new_privs()
        listener = kernel.install(program, flags)
        child = os.fork()
        if child == 0:
            os.close(listener)
            os.getppid()
            os._exit(0)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        notified = bool(poll.poll(5000))
        os.close(listener)  # the waiting system call ends with ENOSYS
        os.waitpid(child, 0)
        return notified

    assert in_child(body) is True


@pytest.mark.parametrize(
    ("operator", "value", "value_two", "refused"),
    [
        ("SCMP_CMP_NE", 5, 0, [4, 6]),
        ("SCMP_CMP_LT", 5, 0, [4]),
        ("SCMP_CMP_LE", 5, 0, [4, 5]),
        ("SCMP_CMP_EQ", 5, 0, [5]),
        ("SCMP_CMP_GE", 5, 0, [5, 6]),
        ("SCMP_CMP_GT", 5, 0, [6]),
        ("SCMP_CMP_MASKED_EQ", 6, 4, [4, 5]),
    ],
)
def test_operators(in_child: InChild, tmp_path: object, operator: str, value: int, value_two: int, refused: list[int]) -> None:
    condition = {"index": 0, "value": value, "valueTwo": value_two, "op": operator}
    program, flags = oci_program(tmp_path, allow_but({"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": [condition]}))
    answers = in_child(under(program, flags, lambda: [result_of("getppid", argument) for argument in (4, 5, 6)]))
    assert [argument for argument, answer in zip((4, 5, 6), answers, strict=True) if answer == "EPERM"] == refused


def test_conditions_on_several_arguments(in_child: InChild, tmp_path: object) -> None:
    """On different arguments all must hold; on the same one any, as in runc."""
    both = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]
    either = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]
    program, flags = oci_program(
        tmp_path,
        allow_but(
            {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": both},
            {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "args": either},
        ),
    )

    def calls() -> list[bool]:
        pairs = [("getppid", 1, 2), ("getppid", 1, 3), ("getuid", 1), ("getuid", 2), ("getuid", 3)]
        return [result_of(name, *arguments) == "EPERM" for name, *arguments in pairs]

    assert in_child(under(program, flags, calls)) == [True, False, True, True, False]


def test_a_list_of_what_is_allowed(in_child: InChild, tmp_path: object) -> None:
    names = ["exit_group", "write", "close", "fstat", "lseek", "mmap", "munmap", "brk", "futex", "getpid", "rt_sigprocmask"]
    oci = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}
    program, flags = oci_program(tmp_path, oci)
    answers = in_child(under(program, flags, lambda: [result_of("getpid") > 0, result_of("getppid"), result_of("fchmodat2")]))
    assert answers == [True, "EACCES", "ENOSYS"]


@pytest.mark.parametrize(
    "oci",
    [
        {"defaultAction": "SCMP_ACT_FOO"},
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]},
        allow_but({"names": ["mount"], "action": "SCMP_ACT_BAR"}),
        allow_but({"names": ["mount"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_X"}]}),
        allow_but({"names": ["mount"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}),
    ],
)
def test_malformed_objects_are_refused(tmp_path: object, oci: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="invalid seccomp"):
        seccomp.load_program(str(tmp_path), oci, NODE)
