"""Compiling an OCI `linux.seccomp` object to BPF with libseccomp, and the prologue that libseccomp cannot make.

A program that libseccomp compiles answers a system call that is newer than libseccomp with the default action. Under
Docker's profile that is EPERM, and C libraries fall back to an older system call only on ENOSYS. So, as in runc, a prologue
runs first. For each architecture, in this order, it

* gives the profile's own answer for those newer system calls that the profile names and that libseccomp does not know;
* answers ENOSYS to every number above the highest one that the profile names, where the default action is to refuse.

All else goes on to libseccomp's program. Everything tests the architecture and the number only, so that the kernel's cache of
always-allowed system calls (Linux 5.11) still sees through it.

This module is loaded on a cache miss only.
"""

import errno
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput, NodeLacks
from rootless.linux.seccomp import INSTRUCTION_SIZE, MAX_INSTRUCTIONS

try:
    import pyseccomp
except (ImportError, RuntimeError) as missing:  # RuntimeError: pyseccomp is there, libseccomp is not
    raise NodeLacks(f"cannot compile the seccomp profile: {missing}", "install libseccomp2 and pyseccomp") from missing

# seccomp_data and BPF (linux/seccomp.h, linux/bpf_common.h)
_OFFSET_NUMBER: Final = 0
_OFFSET_ARCHITECTURE: Final = 4
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP: Final = 0x05  # BPF_JMP | BPF_JA
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER: Final = 0x25
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")

_X32_BIT: Final = 0x40000000
_X86_64: Final = "SCMP_ARCH_X86_64"
_X32: Final = "SCMP_ARCH_X32"

_LE: Final = 0x40000000
_64: Final = 0x80000000
_N32: Final = 0x20000000

# linux/audit.h; libseccomp's tokens are the same, but for x32, which has a token of its own and x86-64's AUDIT_ARCH.
TOKENS: Final = {
    "SCMP_ARCH_X86": 3 | _LE,
    _X86_64: 62 | _64 | _LE,
    _X32: 62 | _LE,
    "SCMP_ARCH_ARM": 40 | _LE,
    "SCMP_ARCH_AARCH64": 183 | _64 | _LE,
    "SCMP_ARCH_LOONGARCH64": 258 | _64 | _LE,
    "SCMP_ARCH_M68K": 4,
    "SCMP_ARCH_MIPS": 8,
    "SCMP_ARCH_MIPS64": 8 | _64,
    "SCMP_ARCH_MIPS64N32": 8 | _64 | _N32,
    "SCMP_ARCH_MIPSEL": 8 | _LE,
    "SCMP_ARCH_MIPSEL64": 8 | _64 | _LE,
    "SCMP_ARCH_MIPSEL64N32": 8 | _64 | _LE | _N32,
    "SCMP_ARCH_PARISC": 15,
    "SCMP_ARCH_PARISC64": 15 | _64,
    "SCMP_ARCH_PPC": 20,
    "SCMP_ARCH_PPC64": 21 | _64,
    "SCMP_ARCH_PPC64LE": 21 | _64 | _LE,
    "SCMP_ARCH_RISCV64": 243 | _64 | _LE,
    "SCMP_ARCH_S390": 22,
    "SCMP_ARCH_S390X": 22 | _64,
    "SCMP_ARCH_SH": 42 | _LE,
    "SCMP_ARCH_SHEB": 42,
}

# System calls that a libseccomp in use may not know. From 424 on, numbers are the same on all these architectures.
_NEW_NUMBERS: Final = {
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
    "memfd_secret": 447,
    "process_mrelease": 448,
    "futex_waitv": 449,
    "set_mempolicy_home_node": 450,
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_getattr": 468,
    "file_setattr": 469,
}
_NEW_NUMBERS_OF: Final = {
    ("SCMP_ARCH_X86_64", "uretprobe"): 335,
    ("SCMP_ARCH_RISCV64", "riscv_hwprobe"): 258,
}

ACTIONS: Final = {
    "SCMP_ACT_ALLOW": pyseccomp.ALLOW,
    "SCMP_ACT_ERRNO": pyseccomp.ERRNO(0),
    "SCMP_ACT_KILL": pyseccomp.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": pyseccomp.KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": pyseccomp.KILL_THREAD,
    "SCMP_ACT_LOG": pyseccomp.LOG,
    "SCMP_ACT_NOTIFY": pyseccomp.NOTIFY,
    "SCMP_ACT_TRACE": pyseccomp.TRACE(0),
    "SCMP_ACT_TRAP": pyseccomp.TRAP,
}
_WITH_ERRNO: Final = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_PERMITTING: Final = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")

OPERATORS: Final = {
    "SCMP_CMP_NE": pyseccomp.NE,
    "SCMP_CMP_LT": pyseccomp.LT,
    "SCMP_CMP_LE": pyseccomp.LE,
    "SCMP_CMP_EQ": pyseccomp.EQ,
    "SCMP_CMP_GE": pyseccomp.GE,
    "SCMP_CMP_GT": pyseccomp.GT,
    "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ,
}

_ENOSYS_ANSWER: Final = pyseccomp.ERRNO(errno.ENOSYS)
_BINARY_TREE: Final = 2  # SCMP_FLTATR_CTL_OPTIMIZE


class _Numbers(NamedTuple):
    """What the prologue does for one architecture."""

    answers: dict[int, int]  # number -> SECCOMP_RET_… value
    highest: int  # above it: ENOSYS; -1: no such limit


def compile_program(oci: Mapping[str, Any], native: str) -> bytes:
    """Compile an OCI `linux.seccomp` object on a machine whose architecture is `native` (SCMP_ARCH_…, "" where unknown).

    Returns an array of struct sock_filter. Raises `InvalidInput` for a malformed object.
    """
    try:
        default = _action_value(oci["defaultAction"], oci.get("defaultErrnoRet"))
        if oci["defaultAction"] == "SCMP_ACT_NOTIFY":
            raise InvalidInput("invalid seccomp profile: SCMP_ACT_NOTIFY cannot be the default action")
        body = _libseccomp_program(oci, default)
        program = _prologue(oci, native, default) + body
    except KeyError as missing:
        raise InvalidInput(f"invalid seccomp profile: {missing} is missing or unknown") from missing
    if len(program) // INSTRUCTION_SIZE > MAX_INSTRUCTIONS:
        raise InvalidInput(f"the seccomp profile is too large: {len(program) // INSTRUCTION_SIZE} BPF instructions")
    return program


def _action_value(action: str, errno_value: int | None) -> int:
    """Return SECCOMP_RET_… for an action; EPERM is the errno where none is given."""
    value: int = ACTIONS[action]
    if action not in _WITH_ERRNO:
        return value
    return value | (errno.EPERM if errno_value is None else errno_value) & 0xFFFF


def _libseccomp_program(oci: Mapping[str, Any], default: int) -> bytes:
    """Return what libseccomp makes of the rules."""
    syscall_filter = pyseccomp.SyscallFilter(default)
    for architecture in oci.get("architectures", ()):
        _add_architecture(syscall_filter, architecture)
    for rule in oci.get("syscalls", ()):
        action = _action_value(rule["action"], rule.get("errnoRet"))
        if action == default:  # libseccomp refuses such a rule, which says nothing
            continue
        for name in rule["names"]:
            _add_rule(syscall_filter, action, name, rule.get("args") or ())
    try:
        syscall_filter.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EEXIST, errno.EOPNOTSUPP):  # libseccomp before 2.5: a slower program
            raise
    with os.fdopen(os.memfd_create("seccomp"), "w+b") as file:
        syscall_filter.export_bpf(file)
        file.seek(0)
        return file.read()


def _add_architecture(syscall_filter: Any, architecture: str) -> None:
    """Add an architecture; the native one is there from the start."""
    try:
        syscall_filter.add_arch(TOKENS[architecture])
    except OSError as error:
        if error.errno == errno.EEXIST:
            return
        raise NodeLacks(f"libseccomp does not support {architecture}: {error.strerror}", "update libseccomp2") from error


def _add_rule(syscall_filter: Any, action: int, name: str, arguments: Sequence[Mapping[str, Any]]) -> None:
    """Add one rule for one system call; a name that libseccomp does not know is left to the prologue."""
    if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) == -1:
        return
    try:
        conditions = [_condition(argument) for argument in arguments]
        indices = [argument["index"] for argument in arguments]
        if len(set(indices)) == len(indices):
            syscall_filter.add_rule(action, name, *conditions)
            return
        # libseccomp takes one condition on an argument: several are alternatives, as in runc.
        for condition in conditions:
            syscall_filter.add_rule(action, name, condition)
    except OSError as error:
        raise InvalidInput(f"invalid seccomp rule for {name}: {error.strerror}") from error


def _condition(argument: Mapping[str, Any]) -> Any:
    """Return a condition; for MASKED_EQ `value` is the mask and `valueTwo` what the rest must equal."""
    return pyseccomp.Arg(argument["index"], OPERATORS[argument["op"]], argument["value"], argument.get("valueTwo", 0))


def _prologue(oci: Mapping[str, Any], native: str, default: int) -> bytes:
    """Return the instructions that run before libseccomp's."""
    architectures = list(oci.get("architectures", ()))
    if native and native not in architectures:
        architectures.append(native)
    refuses = oci["defaultAction"] not in _PERMITTING and default != _ENOSYS_ANSWER
    numbers = {name: _numbers(oci, name, refuses) for name in architectures}
    return b"".join(_assemble(numbers))


def _numbers(oci: Mapping[str, Any], architecture: str, refuses: bool) -> _Numbers:
    """Return what the prologue answers on one architecture. The first rule that names a system call decides."""
    answers: dict[int, int] = {}
    highest = -1
    bit = _X32_BIT if architecture == _X32 else 0
    for rule in oci.get("syscalls", ()):
        for name in rule["names"]:
            number = pyseccomp.resolve_syscall(TOKENS[architecture], name)
            if number == -1:
                new = _NEW_NUMBERS.get(name) or _NEW_NUMBERS_OF.get((architecture, name))
                if new is None or rule.get("args"):
                    continue
                number = new | bit
                answers.setdefault(number, _action_value(rule["action"], rule.get("errnoRet")))
            highest = max(highest, number)
    return _Numbers(answers, highest if refuses else -1)


def _assemble(numbers: Mapping[str, _Numbers]) -> Iterator[bytes]:
    """Yield the dispatch on the architecture, then a section for each one; every section ends in a jump to libseccomp's program."""
    names = [name for name in numbers if name != _X32]
    sections: dict[str, bytes] = {}
    following = 0  # instructions between a section's end and libseccomp's program
    for name in reversed(names):
        sections[name] = _section(numbers[name], numbers.get(_X32) if name == _X86_64 else None, following, name == _X86_64)
        following += len(sections[name]) // INSTRUCTION_SIZE
    yield _INSTRUCTION.pack(_LOAD, 0, 0, _OFFSET_ARCHITECTURE)
    ahead = 2 * len(names) + 1  # instructions of the dispatch that are left, then of sections
    for name in names:
        ahead -= 2
        yield _INSTRUCTION.pack(_JUMP_EQUAL, 0, 1, TOKENS[name])
        yield _INSTRUCTION.pack(_JUMP, 0, 0, ahead)
        ahead += len(sections[name]) // INSTRUCTION_SIZE
    yield _INSTRUCTION.pack(_JUMP, 0, 0, following)
    yield from (sections[name] for name in names)


def _section(native: _Numbers, x32: _Numbers | None, following: int, is_x86_64: bool) -> bytes:
    """Return one architecture's section; x86-64's and x32's share an AUDIT_ARCH and differ by a bit of the number."""
    second = _answers(x32, following) if x32 else b""
    first = _answers(native, following + len(second) // INSTRUCTION_SIZE)
    load = _INSTRUCTION.pack(_LOAD, 0, 0, _OFFSET_NUMBER)
    if not is_x86_64:
        return load + first
    # With x32 filtered, to its answers; without, straight to libseccomp's program, which kills.
    distance = len(first) // INSTRUCTION_SIZE + (0 if x32 else following)
    split = _INSTRUCTION.pack(_JUMP_ANY_BIT, 0, 1, _X32_BIT) + _INSTRUCTION.pack(_JUMP, 0, 0, distance)
    return load + split + first + second


def _answers(numbers: _Numbers, following: int) -> bytes:
    """Return the tests of the number, ending in a jump over `following` instructions."""
    code = b""
    for number, answer in numbers.answers.items():
        code += _INSTRUCTION.pack(_JUMP_EQUAL, 0, 1, number) + _INSTRUCTION.pack(_RETURN, 0, 0, answer)
    if numbers.highest >= 0:
        code += _INSTRUCTION.pack(_JUMP_GREATER, 0, 1, numbers.highest) + _INSTRUCTION.pack(_RETURN, 0, 0, _ENOSYS_ANSWER)
    return code + _INSTRUCTION.pack(_JUMP, 0, 0, following)
