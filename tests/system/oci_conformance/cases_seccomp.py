"""Rows of `linux.seccomp`: every action, operator and flag, and what is refused."""

from typing import Any

from tests.system.oci_conformance.case import BOTH_LENIENT, LENIENT, Case, Refused

_MKDIR = "mkdir /tmp/x 2>&1 | cut -d: -f3; test -d /tmp/x && echo made; true"


def rules(*rules: dict[str, Any], default: str = "SCMP_ACT_ALLOW", **changes: Any) -> dict[str, Any]:
    return {"linux.seccomp": {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules), **changes}}


def rule(action: str, *names: str, **changes: Any) -> dict[str, Any]:
    return {"names": list(names or ("mkdir", "mkdirat")), "action": action, **changes}


def mode(operator: str, value: int, two: int = 0) -> dict[str, Any]:
    return rule("SCMP_ACT_ERRNO", "mkdir", args=[{"index": 1, "value": value, "valueTwo": two, "op": operator}])


CASES = [
    Case("linux.seccomp.defaultAction", rules(), _MKDIR, "made"),
    Case(
        "linux.seccomp.defaultAction",
        rules(default="SCMP_ACT_NOTHING"),
        "echo ok",
        Refused("linux.seccomp.defaultAction: must be one of"),
    ),
    Case("linux.seccomp.syscalls[0].action", rules(rule("SCMP_ACT_ERRNO")), _MKDIR, "Operation not permitted"),
    Case("linux.seccomp.syscalls[0].errnoRet", rules(rule("SCMP_ACT_ERRNO", errnoRet=28)), _MKDIR, "No space left on device"),
    Case(
        "linux.seccomp.syscalls[0].errnoRet",
        rules(rule("SCMP_ACT_KILL", errnoRet=28)),
        _MKDIR,
        Refused("linux.seccomp.syscalls[0].errnoRet"),
        runc=LENIENT,
    ),
    *(
        Case("linux.seccomp.syscalls[0].action", rules(rule(action)), "sh -c 'mkdir /tmp/x; echo $?' 2>/dev/null", "159")
        for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP")
    ),
    Case("linux.seccomp.syscalls[0].action", rules(rule("SCMP_ACT_LOG")), _MKDIR, "made"),
    Case("linux.seccomp.syscalls[0].action", rules(rule("SCMP_ACT_TRACE")), _MKDIR, "Function not implemented"),
    Case(
        "linux.seccomp.syscalls[0].names", rules(rule("SCMP_ACT_ERRNO", "mkdir", "no_such_call")), _MKDIR, "Operation not permitted"
    ),
    Case(
        "linux.seccomp.syscalls[0].names",
        rules(rule("SCMP_ACT_ERRNO") | {"names": []}),
        "echo ok",
        Refused("linux.seccomp.syscalls[0].names: must not be empty"),
        **BOTH_LENIENT,
    ),
    Case(
        "linux.seccomp.defaultErrnoRet",
        rules(rule("SCMP_ACT_ALLOW", "mkdir"), default="SCMP_ACT_ALLOW", defaultErrnoRet=1),
        "echo ok",
        Refused("linux.seccomp.defaultErrnoRet"),
        runc=LENIENT,
    ),
    Case(
        "linux.seccomp.architectures",
        rules(rule("SCMP_ACT_ERRNO"), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        _MKDIR,
        "Operation not permitted",
    ),
    Case(
        "linux.seccomp.architectures", rules(architectures=["SCMP_ARCH_Z80"]), "echo ok", Refused("linux.seccomp.architectures[0]")
    ),
    Case(
        "linux.seccomp.flags",
        rules(rule("SCMP_ACT_ERRNO"), flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]),
        _MKDIR,
        "Operation not permitted",
        runc="1.1.5 takes no flags",
    ),
    Case(
        "linux.seccomp.flags",
        rules(rule("SCMP_ACT_ERRNO"), flags=["SECCOMP_FILTER_FLAG_TSYNC"]),
        _MKDIR,
        "Operation not permitted",
        runc="1.1.5 takes no flags",
    ),
    Case("linux.seccomp.flags", rules(flags=["SECCOMP_FILTER_FLAG_X"]), "echo ok", Refused("linux.seccomp.flags[0]")),
    *(
        Case("linux.seccomp.syscalls[0].args[0].op", rules(mode(operator, value, two)), _MKDIR, refused)
        for operator, value, two, refused in (
            ("SCMP_CMP_EQ", 0o777, 0, "Operation not permitted"),
            ("SCMP_CMP_EQ", 0o776, 0, "made"),
            ("SCMP_CMP_NE", 0o777, 0, "made"),
            ("SCMP_CMP_LT", 0o777, 0, "made"),
            ("SCMP_CMP_LE", 0o777, 0, "Operation not permitted"),
            ("SCMP_CMP_GE", 0o777, 0, "Operation not permitted"),
            ("SCMP_CMP_GT", 0o777, 0, "made"),
            ("SCMP_CMP_MASKED_EQ", 0o700, 0o700, "Operation not permitted"),
            ("SCMP_CMP_MASKED_EQ", 0o700, 0o600, "made"),
        )
    ),
    Case(
        "linux.seccomp.syscalls[0].args[0].index",
        rules(rule("SCMP_ACT_ERRNO", "mkdir", args=[{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}])),
        "echo ok",
        Refused("invalid seccomp rule"),
    ),
    Case(
        "linux.seccomp.syscalls[0].args[0].value",
        rules(rule("SCMP_ACT_ERRNO", "mkdir", args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}])),
        "echo ok",
        Refused("linux.seccomp.syscalls[0].args[0].value"),
        crun=LENIENT,
    ),
    Case(
        "linux.seccomp.syscalls[0].args[0].valueTwo",
        rules(rule("SCMP_ACT_ERRNO", "mkdir", args=[{"index": 0, "value": 1, "valueTwo": "x", "op": "SCMP_CMP_EQ"}])),
        "echo ok",
        Refused("linux.seccomp.syscalls[0].args[0].valueTwo"),
        crun=LENIENT,
    ),
    Case(
        "linux.seccomp.listenerPath",
        rules(rule("SCMP_ACT_NOTIFY")),
        "echo ok",
        Refused("linux.seccomp.listenerPath: is missing"),
        crun=LENIENT,
    ),
    Case(
        "linux.seccomp.listenerPath",
        rules(rule("SCMP_ACT_NOTIFY"), listenerPath="/no/such/socket"),
        "echo ok",
        Refused("linux.seccomp.listenerPath: cannot reach /no/such/socket"),
    ),
    Case(
        "linux.seccomp.listenerMetadata",
        rules(listenerMetadata="x"),
        "echo ok",
        Refused("linux.seccomp.listenerMetadata: needs listenerPath"),
        **BOTH_LENIENT,
    ),
    Case("linux.seccomp", {**rules(rule("SCMP_ACT_ERRNO")), "process.noNewPrivileges": True}, _MKDIR, "Operation not permitted"),
]
