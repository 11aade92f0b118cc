"""The shape of the runtime specification's config.json on Linux, property by property (config.md, config-linux.md, schema/)."""

from typing import Final

from rootless.linux import limits
from rootless.runtime.config_shape import Shape, array, boolean, choice, integer, mapping, record, text, text_with

_INT32: Final = integer(-(1 << 31), (1 << 31) - 1)
_INT64: Final = integer(-(1 << 63), (1 << 63) - 1)
_UINT16: Final = integer(0, (1 << 16) - 1)
_UINT32: Final = integer(0, (1 << 32) - 1)
_UINT64: Final = integer(0, (1 << 64) - 1)
_TEXTS: Final = array(text)
_ABSOLUTE: Final = text_with(lambda path: path.startswith("/"), "an absolute path")

CAPABILITY_SETS: Final = ("bounding", "effective", "permitted", "inheritable", "ambient")
_NAMESPACE_TYPES: Final = ("mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time")
_PROPAGATIONS: Final = ("private", "shared", "slave", "unbindable")


def _is_cpu_list(value: str) -> bool:
    return not value.strip("0123456789, -")


def _is_page_size(value: str) -> bool:
    digits = value[:-2]
    return value[-2:] in ("KB", "MB", "GB") and digits.isdecimal() and not digits.startswith("0")


_CPU_LIST: Final = text_with(_is_cpu_list, "a list of CPUs such as 0-3,7")
_VARIABLE: Final = text_with(lambda entry: "=" in entry[1:], "NAME=VALUE")
_HOOK: Final = record({"path": _ABSOLUTE, "args": _TEXTS, "env": array(_VARIABLE), "timeout": integer(1, (1 << 63) - 1)}, ("path",))
_HOOKS: Final = record(
    dict.fromkeys(("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"), array(_HOOK))
)
_ID_MAPPINGS: Final = array(record({"containerID": _UINT32, "hostID": _UINT32, "size": _UINT32}, ("containerID", "hostID", "size")))
_MOUNT: Final = record(
    {
        "destination": text_with(bool, "a path"),
        "type": text,
        "source": text,
        "options": _TEXTS,
        "uidMappings": _ID_MAPPINGS,
        "gidMappings": _ID_MAPPINGS,
    },
    ("destination",),
)

_USER: Final = record({"uid": _UINT32, "gid": _UINT32, "umask": _UINT32, "additionalGids": array(_UINT32), "username": text})
_SCHEDULER: Final = record(
    {
        "policy": choice(
            "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"
        ),
        "nice": _INT32,
        "priority": _INT32,
        "flags": array(
            choice(
                "SCHED_FLAG_RESET_ON_FORK",
                "SCHED_FLAG_RECLAIM",
                "SCHED_FLAG_DL_OVERRUN",
                "SCHED_FLAG_KEEP_POLICY",
                "SCHED_FLAG_KEEP_PARAMS",
                "SCHED_FLAG_UTIL_CLAMP_MIN",
                "SCHED_FLAG_UTIL_CLAMP_MAX",
            )
        ),
        "runtime": _UINT64,
        "deadline": _UINT64,
        "period": _UINT64,
    },
    ("policy",),
)  # fmt: skip
_IO_PRIORITY: Final = record(
    {"class": choice("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"), "priority": _INT32}, ("class",)
)
PROCESS: Final = record(
    {
        "terminal": boolean,
        "consoleSize": record({"height": _UINT64, "width": _UINT64}, ("height", "width")),
        "user": _USER,
        "args": _TEXTS,
        "commandLine": text,
        "env": array(_VARIABLE),
        "cwd": _ABSOLUTE,
        "capabilities": record(dict.fromkeys(CAPABILITY_SETS, _TEXTS)),
        "rlimits": array(record({"type": choice(*limits.NUMBERS), "soft": _UINT64, "hard": _UINT64}, ("type", "soft", "hard"))),
        "noNewPrivileges": boolean,
        "apparmorProfile": text,
        "selinuxLabel": text,
        "oomScoreAdj": integer(-1000, 1000),
        "scheduler": _SCHEDULER,
        "ioPriority": _IO_PRIORITY,
        "execCPUAffinity": record({"initial": _CPU_LIST, "final": _CPU_LIST}),
    },
    ("cwd",),
)
"""`process`; also what `exec` takes as a file."""

_DEVICE: Final = record(
    {
        "type": choice("c", "b", "u", "p"),
        "path": _ABSOLUTE,
        "fileMode": integer(0, 0o777),
        "major": _INT64,
        "minor": _INT64,
        "uid": _UINT32,
        "gid": _UINT32,
    },
    ("type", "path"),
)
_DEVICE_RULE: Final = record({"allow": boolean, "type": text, "major": _INT64, "minor": _INT64, "access": text}, ("allow",))
_BLOCK_DEVICE: Final[dict[str, Shape]] = {"major": _INT64, "minor": _INT64}
_THROTTLES: Final = array(record({**_BLOCK_DEVICE, "rate": _UINT64}, ("major", "minor")))
_BLOCK_IO: Final = record(
    {
        "weight": _UINT16,
        "leafWeight": _UINT16,
        "weightDevice": array(record({**_BLOCK_DEVICE, "weight": _UINT16, "leafWeight": _UINT16}, ("major", "minor"))),
        "throttleReadBpsDevice": _THROTTLES,
        "throttleWriteBpsDevice": _THROTTLES,
        "throttleReadIOPSDevice": _THROTTLES,
        "throttleWriteIOPSDevice": _THROTTLES,
    }
)
_CPU: Final = record(
    {
        "cpus": text,
        "mems": text,
        "period": _UINT64,
        "quota": _INT64,
        "burst": _UINT64,
        "realtimePeriod": _UINT64,
        "realtimeRuntime": _INT64,
        "shares": _UINT64,
        "idle": _INT64,
    }
)
_MEMORY: Final = record(
    {
        **dict.fromkeys(("kernel", "kernelTCP", "limit", "reservation", "swap"), _INT64),
        "swappiness": _UINT64,
        **dict.fromkeys(("disableOOMKiller", "useHierarchy", "checkBeforeUpdate"), boolean),
    }
)
RESOURCES: Final = record(
    {
        "unified": mapping(text),
        "devices": array(_DEVICE_RULE),
        "pids": record({"limit": _INT64}, ("limit",)),
        "blockIO": _BLOCK_IO,
        "cpu": _CPU,
        "hugepageLimits": array(
            record({"pageSize": text_with(_is_page_size, "a size such as 2MB"), "limit": _UINT64}, ("pageSize", "limit"))
        ),
        "memory": _MEMORY,
        "network": record(
            {"classID": _UINT32, "priorities": array(record({"name": text, "priority": _UINT32}, ("name", "priority")))}
        ),
        "rdma": mapping(record({"hcaHandles": _UINT32, "hcaObjects": _UINT32})),
    }
)
"""`linux.resources`; also what `update` takes as a file."""

_ACTION: Final = choice(
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
)
_ARCHITECTURES: Final = (
    "X86 X86_64 X32 ARM AARCH64 LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X SH "
    "SHEB PARISC PARISC64 RISCV64"
)
_OPERATOR: Final = choice(*(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")))
_ARGUMENT: Final = record({"index": _UINT32, "value": _UINT64, "valueTwo": _UINT64, "op": _OPERATOR}, ("index", "value", "op"))
_RULE: Final = record(
    {"names": array(text, least=1), "action": _ACTION, "errnoRet": _UINT32, "args": array(_ARGUMENT)}, ("names", "action")
)
_SECCOMP: Final = record(
    {
        "defaultAction": _ACTION,
        "defaultErrnoRet": _UINT32,
        "flags": array(choice(*(f"SECCOMP_FILTER_FLAG_{name}" for name in ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV")))),
        "listenerPath": _ABSOLUTE,
        "listenerMetadata": text,
        "architectures": array(choice(*(f"SCMP_ARCH_{name}" for name in _ARCHITECTURES.split()))),
        "syscalls": array(_RULE),
    },
    ("defaultAction",),
)
_MEMORY_POLICIES: Final = ("DEFAULT", "BIND", "INTERLEAVE", "WEIGHTED_INTERLEAVE", "PREFERRED", "PREFERRED_MANY", "LOCAL")
_OFFSET: Final = record({"secs": _INT64, "nanosecs": _UINT32})
_LINUX: Final = record(
    {
        "devices": array(_DEVICE),
        "netDevices": mapping(record({"name": text})),
        "uidMappings": _ID_MAPPINGS,
        "gidMappings": _ID_MAPPINGS,
        "namespaces": array(record({"type": choice(*_NAMESPACE_TYPES), "path": _ABSOLUTE}, ("type",))),
        "resources": RESOURCES,
        "cgroupsPath": text,
        # The schema has the four, engines write the recursive forms of mount(8) as well.
        "rootfsPropagation": choice(*_PROPAGATIONS, *(f"r{name}" for name in _PROPAGATIONS)),
        "seccomp": _SECCOMP,
        "sysctl": mapping(text),
        "maskedPaths": array(_ABSOLUTE),
        "readonlyPaths": array(_ABSOLUTE),
        "mountLabel": text,
        "intelRdt": record(
            {
                "closID": text,
                "schemata": _TEXTS,
                "l3CacheSchema": text,
                "memBwSchema": text_with(lambda value: value.startswith("MB:") and "\n" not in value, "one line MB:…"),
                "enableMonitoring": boolean,
            }
        ),
        "memoryPolicy": record(
            {
                "mode": choice(*(f"MPOL_{name}" for name in _MEMORY_POLICIES)),
                "nodes": text,
                "flags": array(choice(*(f"MPOL_F_{name}" for name in ("NUMA_BALANCING", "RELATIVE_NODES", "STATIC_NODES")))),
            }
        ),
        "personality": record({"domain": choice("LINUX", "LINUX32"), "flags": _TEXTS}, ("domain",)),
        "timeOffsets": record({"boottime": _OFFSET, "monotonic": _OFFSET}),
    }
)
CONFIG: Final = record(
    {
        "ociVersion": text,
        "hooks": _HOOKS,
        "annotations": mapping(text),
        "hostname": text,
        "domainname": text,
        "mounts": array(_MOUNT),
        "root": record({"path": text_with(bool, "a path"), "readonly": boolean}, ("path",)),
        "process": PROCESS,
        "linux": _LINUX,
    },
    ("ociVersion",),
)
"""config.json. What is other platforms' (`windows`, `vm`, …) is not looked at."""
