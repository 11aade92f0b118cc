"""Rows of `process`, `root`, `hostname`, `domainname`, `annotations` and `ociVersion`."""

from typing import Any

from tests.system.oci_conformance.case import BOTH_LENIENT, BOTH_UNKNOWN, LENIENT, Case, Refused

_STATUS = "grep -E '^({})' /proc/self/status | tr '\\t' ' '"
_CAPABILITIES = _STATUS.format("Cap")


def _sets(**names: str) -> dict[str, Any]:
    return {key: [f"CAP_{name}" for name in value.split()] for key, value in names.items()}


def _caps(inheritable: int, permitted: int, effective: int, bounding: int, ambient: int) -> str:
    pairs = zip(("Inh", "Prm", "Eff", "Bnd", "Amb"), (inheritable, permitted, effective, bounding, ambient), strict=True)
    return "\n".join(f"Cap{name}: {value:016x}" for name, value in pairs)


_CHOWN, _KILL, _NET_BIND, _SYS_CHROOT = 1 << 0, 1 << 5, 1 << 10, 1 << 18
_USER = {"process.user": {"uid": 5, "gid": 6}}
_FAILS = "it fails for what cannot be granted, which the specification says a runtime should not"
_UNLIMITED = (1 << 64) - 1

CASES = [
    Case("ociVersion", {"ociVersion": "1.1.0"}, "echo ok", "ok"),
    Case("ociVersion", {"ociVersion": "2.0.0"}, "echo ok", Refused("ociVersion: version 2.0.0"), runc=LENIENT),
    Case("ociVersion", {"ociVersion": None}, "echo ok", Refused("ociVersion: is missing"), runc=LENIENT),
    Case("process.args", {"process.args": ["/bin/echo", "a b", ""]}, "", "a b"),
    Case("process.args", {"process.args": ["echo", "by PATH"]}, "", "by PATH"),
    Case("process.args", {"process.args": []}, "", Refused("process.args: must hold a command")),
    Case("process.args", {"process.args": ["no-such"]}, "", Refused("not found in $PATH")),
    Case("process.cwd", {"process.cwd": "/full/inner"}, "/bin/busybox pwd", "/full/inner"),
    Case("process.cwd", {"process.cwd": "full"}, "echo ok", Refused("process.cwd: must be an absolute path"), crun=LENIENT),
    Case("process.env", {"process.env": ["PATH=/bin", "A=b c", "E="]}, "env | grep -E '^(A|E)=' | sort", "A=b c\nE="),
    Case("process.env", {"process.env": ["PATH=/bin", "A=1", "A=2"]}, "echo $A", "2"),
    Case(
        "process.env",
        {"process.env": ["PATH=/bin", "NOTHING"]},
        "echo ok",
        Refused("process.env[1]: must be NAME=VALUE"),
        crun=LENIENT,
    ),
    Case("process.user.uid", _USER, "id -u; id -g; id -G", "5\n6\n6", runc="it leaves root's own group to a user"),
    Case("process.user.gid", {"process.user": {"uid": 0, "gid": 7}}, "id -u; id -g", "0\n7"),
    Case("process.user.uid", {"process.user": {"uid": 70000, "gid": 0}}, "id -u", Refused("cannot run as user 70000:0")),
    Case(
        "process.user.additionalGids",
        {"process.user": {"uid": 1, "gid": 2, "additionalGids": [8, 9]}},
        "id -G",
        "2 8 9",
        runc="it gives no further groups as a user, although the kernel does",
    ),
    Case("process.user.umask", {"process.user": {"uid": 0, "gid": 0, "umask": 0o27}}, _STATUS.format("Umask"), "Umask: 0027"),
    Case("process.user.umask", {}, _STATUS.format("Umask"), "Umask: 0022"),
    Case("process.noNewPrivileges", {"process.noNewPrivileges": True}, _STATUS.format("NoNew"), "NoNewPrivs: 1"),
    Case("process.noNewPrivileges", {}, _STATUS.format("NoNew"), "NoNewPrivs: 0"),
    Case("process.capabilities", {}, _CAPABILITIES, _caps(0, 0, 0, 0, 0)),
    Case(
        "process.capabilities.bounding",
        {"process.capabilities": _sets(bounding="CHOWN KILL", permitted="CHOWN KILL", effective="CHOWN")},
        _CAPABILITIES,
        _caps(0, _CHOWN | _KILL, _CHOWN | _KILL, _CHOWN | _KILL, 0),
    ),
    Case(
        "process.capabilities.inheritable",
        {"process.capabilities": _sets(bounding="CHOWN", permitted="CHOWN", effective="CHOWN", inheritable="CHOWN")},
        _CAPABILITIES,
        _caps(_CHOWN, _CHOWN, _CHOWN, _CHOWN, 0),
    ),
    Case(
        "process.capabilities.ambient",
        {
            **_USER,
            "process.capabilities": _sets(
                **dict.fromkeys(("bounding", "permitted", "effective", "inheritable", "ambient"), "NET_BIND_SERVICE")
            ),
        },
        _CAPABILITIES,
        _caps(*[_NET_BIND] * 5),
    ),
    Case(
        "process.capabilities.permitted",
        {**_USER, "process.capabilities": _sets(bounding="CHOWN", permitted="CHOWN", effective="CHOWN")},
        _CAPABILITIES,
        _caps(0, 0, 0, _CHOWN, 0),
    ),
    Case(
        "process.capabilities.effective",
        {"process.capabilities": _sets(bounding="CHOWN SYS_CHROOT", permitted="CHOWN", effective="CHOWN SYS_CHROOT")},
        _CAPABILITIES,
        _caps(0, _CHOWN | _SYS_CHROOT, _CHOWN | _SYS_CHROOT, _CHOWN | _SYS_CHROOT, 0),
        crun=_FAILS,
        runc=_FAILS,
    ),
    Case(
        "process.capabilities.bounding",
        {"process.capabilities": {"bounding": ["CAP_CHOWN", "CAP_FLY"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]}},
        _CAPABILITIES,
        _caps(0, _CHOWN, _CHOWN, _CHOWN, 0),
    ),
    Case(
        "process.rlimits[0].type",
        {"process.rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]},
        "grep -E 'open files|core' /proc/self/limits | sed 's/  */ /g' | sort",
        "Max core file size 0 0 bytes \nMax open files 100 200 files",
    ),
    Case(
        "process.rlimits[0].soft",
        {"process.rlimits": [{"type": "RLIMIT_STACK", "soft": _UNLIMITED, "hard": _UNLIMITED}]},
        "grep stack /proc/self/limits | sed 's/  */ /g'",
        "Max stack size unlimited unlimited bytes",
    ),
    Case(
        "process.rlimits[0].hard",
        {"process.rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 << 40}]},
        "echo ok",
        Refused("cannot set RLIMIT_NOFILE"),
    ),
    Case(
        "process.rlimits[0].type",
        {"process.rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]},
        "echo ok",
        Refused("rlimits[0].type"),
    ),
    Case(
        "process.rlimits",
        {"process.rlimits": [{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 9}, {"type": "RLIMIT_NOFILE", "soft": 8, "hard": 8}]},
        "echo ok",
        Refused("process.rlimits[1].type: RLIMIT_NOFILE is there twice"),
        **BOTH_LENIENT,
    ),
    Case("process.oomScoreAdj", {"process.oomScoreAdj": 321}, "cat /proc/self/oom_score_adj", "321"),
    Case(
        "process.oomScoreAdj",
        {"process.oomScoreAdj": -500},
        "cat /proc/self/oom_score_adj",
        Refused("process.oomScoreAdj: cannot set -500"),
    ),
    Case(
        "process.scheduler.policy",
        {"process.scheduler": {"policy": "SCHED_BATCH", "nice": 5}},
        "cut -d' ' -f 19,41 /proc/self/stat",
        "5 3",
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.scheduler.policy",
        {"process.scheduler": {"policy": "SCHED_IDLE"}},
        "cut -d' ' -f 41 /proc/self/stat",
        "5",
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.scheduler.priority",
        {"process.scheduler": {"policy": "SCHED_FIFO", "priority": 5}},
        "echo ok",
        Refused("process.scheduler: SCHED_FIFO"),
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.scheduler.nice",
        {"process.scheduler": {"policy": "SCHED_OTHER", "nice": -5}},
        "echo ok",
        Refused("process.scheduler: SCHED_OTHER"),
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.scheduler.runtime",
        {"process.scheduler": {"policy": "SCHED_DEADLINE", "runtime": 10**7, "deadline": 10**8, "period": 10**8}},
        "echo ok",
        Refused("process.scheduler: SCHED_DEADLINE"),
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.scheduler.flags",
        {"process.scheduler": {"policy": "SCHED_OTHER", "nice": 4, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}},
        "cut -d' ' -f 19 /proc/1/stat; cut -d' ' -f 19 /proc/self/stat",
        "4\n4",
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.ioPriority.class",
        {"process.ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}},
        "/bin/busybox ionice -p $$",
        "idle",
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.ioPriority.priority",
        {"process.ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}},
        "/bin/busybox ionice -p $$",
        "best-effort: prio 6",
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.ioPriority.class",
        {"process.ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 1}},
        "echo ok",
        Refused("process.ioPriority: IOPRIO_CLASS_RT"),
        **BOTH_UNKNOWN,
    ),
    Case(
        "process.apparmorProfile",
        {"process.apparmorProfile": "acme"},
        "echo ok",
        Refused("process.apparmorProfile: acme: this kernel runs without AppArmor"),
    ),
    Case(
        "process.selinuxLabel",
        {"process.selinuxLabel": "system_u:system_r:svirt_lxc_net_t:s0"},
        "echo ok",
        Refused("process.selinuxLabel"),
    ),
    Case(
        "process.execCPUAffinity.initial",
        {"process.execCPUAffinity": {"initial": "0", "final": "0"}},
        "grep -c . /proc/self/status >/dev/null; echo ok",
        "ok",
    ),
    Case(
        "process.execCPUAffinity.final",
        {"process.execCPUAffinity": {"final": "x"}},
        "echo ok",
        Refused("execCPUAffinity.final"),
        **BOTH_UNKNOWN,
    ),
    Case("process.consoleSize", {"process.consoleSize": {"height": 10, "width": 20}}, "echo ok", "ok"),
    Case(
        "process.terminal",
        {
            "process.terminal": True,
            "process.consoleSize": {"height": 10, "width": 20},
            "mounts+": {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["newinstance", "ptmxmode=0666"],
            },
        },
        "tty; test -t 0 && test -t 1 && test -t 2 && stat -c %a /dev/console; /bin/busybox stty size",
        "/dev/pts/0\n600\n10 20",
        crun="its run wants a terminal on standard input for that",
        runc="its run wants a terminal of the caller's for that",
    ),
    Case("root.path", {"root.path": "rootfs/full"}, "", Refused("/bin/sh")),
    Case("root.path", {"root.path": "nowhere"}, "echo ok", Refused("root.path")),
    Case("root.readonly", {"root.readonly": True}, "touch /x 2>&1 | cat", "touch: /x: Read-only file system"),
    Case("root.readonly", {}, "touch /x && echo ok", "ok"),
    Case("hostname", {"hostname": "slartibartfast"}, "hostname", "slartibartfast"),
    Case(
        "hostname",
        {"hostname": "x", "linux.namespaces": [{"type": "user"}, {"type": "mount"}, {"type": "pid"}]},
        "echo ok",
        Refused("hostname: needs a namespace of type uts"),
    ),
    Case(
        "domainname",
        {"domainname": "example.test"},
        "cat /proc/sys/kernel/domainname",
        "example.test",
        runc="1.1.5 does not know the property",
    ),
    Case("annotations", {"annotations": {"org.example": "x"}}, "echo ok", "ok"),
    Case("annotations", {"annotations": {"org.example": 1}}, "echo ok", Refused("annotations[org.example]: must be a string")),
]
