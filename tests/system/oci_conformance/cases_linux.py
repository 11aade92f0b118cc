"""Rows of `linux`, but for seccomp, and of `hooks`."""

from typing import Any

from tests.system.oci_conformance.case import BOTH_UNKNOWN, LENIENT, UNKNOWN, Case, Refused

_NAMESPACES = [{"type": name} for name in ("user", "mount", "pid", "ipc", "uts")]
_TTY = {"path": "/dev/my-tty", "type": "c", "major": 5, "minor": 0, "fileMode": 0o666, "uid": 0, "gid": 0}
_NO_NODE = {
    "crun": "1.8.1 wants a mount namespace outside of the user namespace for that, which a user cannot have",
    "runc": "it looks for the device at the same path of the node only",
}
_BY_FILE = "it writes the file, which the kernel keeps for the node's root"
_CONFLICT = "it wants that to be asked by the property hostname"
_NO_TIME = "1.1.5 does not know time namespaces"
_HOOK = 'b=$(sed "s/.*\\"bundle\\": *\\"\\([^\\"]*\\)\\".*/\\1/"); echo {} >> $b/rootfs/tmp/hooks'


def device(**changes: Any) -> dict[str, Any]:
    return {"linux.devices+": {**_TTY, **changes}}


def hook(point: str) -> dict[str, Any]:
    return {
        f"hooks.{point}": [
            {"path": "/bin/sh", "args": ["sh", "-c", _HOOK.format(point)], "env": ["PATH=/bin:/usr/bin"], "timeout": 10}
        ]
    }


def sysctl(**parameters: str) -> dict[str, Any]:
    return {"linux.sysctl": {name.replace("__", "."): value for name, value in parameters.items()}}


def own(*names: str) -> dict[str, Any]:
    return {"linux.namespaces": [{"type": name} for name in names]}


def differs_from_node(name: str) -> str:
    return f"readlink /proc/self/ns/{name} | cut -d: -f1"


_DEVICE = {"major": 1, "minor": 3}
_THROTTLE = [{**_DEVICE, "rate": 1000}]
_RESOURCES: dict[str, Any] = {
    "unified": {"memory.high": "100"},
    "pids": {"limit": 9},
    "memory": {
        **dict.fromkeys(("limit", "reservation", "swap", "kernel", "kernelTCP"), 1 << 26),
        "swappiness": 7,
        "disableOOMKiller": True,
        "useHierarchy": True,
        "checkBeforeUpdate": True,
    },
    "cpu": {
        "shares": 512,
        "quota": 50000,
        "burst": 100,
        "period": 100000,
        "cpus": "0",
        "mems": "0",
        "idle": 1,
        "realtimeRuntime": 950000,
        "realtimePeriod": 1000000,
    },
    "blockIO": {
        "weight": 10,
        "leafWeight": 10,
        "weightDevice": [{**_DEVICE, "weight": 500, "leafWeight": 300}],
        **{f"throttle{way}{what}Device": _THROTTLE for way in ("Read", "Write") for what in ("Bps", "IOPS")},
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 1 << 21}],
    "network": {"classID": 1, "priorities": [{"name": "lo", "priority": 5}]},
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10}},
}
_RDT = {
    "closID": "x",
    "schemata": ["L3:0=f"],
    "l3CacheSchema": "L3:0=f",
    "memBwSchema": "MB:0=10",
    "enableMonitoring": True,
}
_FIRST_CGROUP = "it needs the cgroup; engines ask for both unasked, and the container is no worse for the lack"
_NO_CGROUP = "with --cgroup-manager=disabled, as here, it sets no limits"


def limits(name: str) -> Case:
    value = _RESOURCES[name]
    return Case(
        f"linux.resources.{name}",
        {"linux.resources": {name: value}},
        "echo ok",
        Refused(f"linux.resources.{name}"),
        crun=_NO_CGROUP,
    )


CASES = [
    Case("linux.cgroupsPath", {"linux.cgroupsPath": "/rl/x"}, "echo ok", "ok", runc=_FIRST_CGROUP),
    Case(
        "linux.resources.devices[0]",
        {"linux.resources": {"devices": [{"allow": False, "type": "a", "access": "rwm", "major": 5, "minor": 5}]}},
        "head -c 3 /dev/zero | wc -c",
        "3",
    ),
    *(limits(name) for name in _RESOURCES if name != "pids"),
    Case("linux.resources.pids.limit", {"linux.resources": {"pids": {"limit": 9}}}, "echo ok", "ok", runc=_FIRST_CGROUP),
    Case(
        "linux.resources.pids.limit",
        {"linux.resources": {"pids": {"limit": "x"}}},
        "echo ok",
        Refused("linux.resources.pids.limit"),
        crun=LENIENT,
    ),
    Case("linux.devices[0].path", device(), "stat -c '%F %t,%T' /dev/my-tty", "character special file 5,0", **_NO_NODE),
    Case("linux.devices[0].type", device(type="u", path="/dev/u", major=1, minor=5), "head -c 3 /dev/u | wc -c", "3", **_NO_NODE),
    Case(
        "linux.devices[0].type",
        {"linux.devices+": {"path": "/dev/pipe", "type": "p", "fileMode": 0o642, "uid": 3, "gid": 4}},
        "stat -c '%F %a %u %g' /dev/pipe",
        "fifo 642 3 4",
        crun=_NO_NODE["crun"],
        runc="it makes no FIFOs as a user",
    ),
    Case(
        "linux.devices[0].path",
        {
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]},
            ],
            "linux.devices": [{"path": "/dev/pipe", "type": "p"}],
        },
        "stat -c '%F' /dev/pipe; touch /dev/x 2>&1 | cut -d' ' -f3-",
        "fifo\nRead-only file system",
        crun=_NO_NODE["crun"],
        runc="it makes no FIFOs as a user",
    ),
    Case(
        "linux.devices[0].major",
        device(path="/dev/no", major=250, minor=99999),
        "echo ok",
        Refused("linux.devices[0] (/dev/no): the node has no such device"),
    ),
    Case(
        "linux.devices[0].minor",
        {"linux.devices+": {"path": "/dev/x", "type": "c"}},
        "echo ok",
        Refused("linux.devices[0]: a device of type c, u or b needs major and minor"),
    ),
    Case("linux.devices[0].type", device(type="x"), "echo ok", Refused("linux.devices[0].type: must be one of c, b, u, p")),
    Case(
        "linux.devices[0].path",
        {"linux.devices+": {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}},
        "echo x > /dev/null && stat -c %t,%T /dev/null",
        "1,3",
        crun=_NO_NODE["crun"],
    ),
    Case("linux.devices[0].fileMode", device(fileMode=0o1000), "echo ok", Refused("linux.devices[0].fileMode")),
    Case("linux.devices[0].uid", device(uid=-1), "echo ok", Refused("linux.devices[0].uid")),
    Case("linux.devices[0].gid", device(gid="x"), "echo ok", Refused("linux.devices[0].gid")),
    Case("linux.namespaces[0].type", own("user", "mount", "pid"), differs_from_node("ipc"), "ipc"),
    Case(
        "linux.namespaces[0].type",
        own("user", "mount", "pid", "network"),
        "ls /sys/class/net 2>/dev/null; awk 'NR>2{print $1}' /proc/net/dev",
        "lo:",
    ),
    Case("linux.namespaces[0].type", own("user", "mount", "pid", "cgroup"), "cut -d: -f3 /proc/self/cgroup | sort -u", "/"),
    Case(
        "linux.namespaces[0].type",
        own("user", "mount", "pid", "time"),
        "cat /proc/self/timens_offsets | tr -s ' \\t' ' '",
        "monotonic 0 0\nboottime 0 0",
        runc=_NO_TIME,
    ),
    Case(
        "linux.namespaces[0].type",
        own("user", "mount", "pid", "pid"),
        "echo ok",
        Refused("linux.namespaces[3].type: pid is there twice"),
        crun=LENIENT,
    ),
    Case("linux.namespaces[0].type", own("user", "mount", "moon"), "echo ok", Refused("linux.namespaces[2].type: must be one of")),
    Case(
        "linux.namespaces[0].path",
        {"linux.namespaces": [*_NAMESPACES[:3], {"type": "uts", "path": "/proc/self/ns/uts"}]},
        "echo ok",
        Refused("cannot join the uts namespace"),
    ),
    Case(
        "linux.namespaces[0].path",
        {"linux.namespaces": [*_NAMESPACES[:3], {"type": "uts", "path": "/no/such"}]},
        "echo ok",
        Refused("cannot join the uts namespace /no/such"),
    ),
    Case(
        "linux.namespaces[0].path",
        {"linux.namespaces": [*_NAMESPACES[:3], {"type": "uts", "path": "/proc/self/ns/ipc"}]},
        "echo ok",
        Refused("not a uts namespace"),
    ),
    Case("linux.uidMappings", {}, "wc -l < /proc/self/uid_map; awk '{print $1, $3}' /proc/self/uid_map", "2\n0 1\n1 60000"),
    Case("linux.gidMappings", {}, "awk '{print $1, $3}' /proc/self/gid_map", "0 1\n1 60000"),
    Case(
        "linux.uidMappings[0].size",
        {"linux.uidMappings": [{"containerID": 0, "hostID": 1, "size": 10}]},
        "echo ok",
        Refused("cannot map user IDs"),
    ),
    Case(
        "linux.uidMappings[0].hostID",
        {"linux.uidMappings": [{"containerID": 0, "hostID": -1, "size": 1}]},
        "echo ok",
        Refused("linux.uidMappings[0].hostID"),
    ),
    Case(
        "linux.gidMappings[0].containerID",
        {"linux.gidMappings": [{"containerID": 1 << 32, "hostID": 1, "size": 1}]},
        "echo ok",
        Refused("linux.gidMappings[0].containerID"),
    ),
    Case(
        "linux.rootfsPropagation",
        {"linux.rootfsPropagation": "shared"},
        "awk '$5==\"/\"{print substr($7,1,7)}' /proc/self/mountinfo",
        "shared:",
        runc="it makes the mount shared too early, and then private as a user",
    ),
    Case("linux.rootfsPropagation", {"linux.rootfsPropagation": "private"}, "awk '$5==\"/\"{print $7}' /proc/self/mountinfo", "-"),
    Case("linux.rootfsPropagation", {"linux.rootfsPropagation": "slave"}, "awk '$5==\"/\"{print $7}' /proc/self/mountinfo", "-"),
    Case(
        "linux.rootfsPropagation",
        {"linux.rootfsPropagation": "unbindable"},
        "awk '$5==\"/\"{print $7}' /proc/self/mountinfo",
        "unbindable",
        runc="it sets it before it binds the root, which fails then",
    ),
    Case(
        "linux.rootfsPropagation",
        {"linux.rootfsPropagation": "loud"},
        "echo ok",
        Refused("linux.rootfsPropagation: must be one of"),
        crun=LENIENT,
    ),
    Case(
        "linux.maskedPaths",
        {"linux.maskedPaths": ["/full/file", "/full/inner", "/none"]},
        "cat /full/file; ls /full/inner; touch /full/inner/x 2>&1 | cut -d: -f3",
        "Read-only file system",
    ),
    Case("linux.maskedPaths", {"linux.maskedPaths": ["/proc/keys"]}, "wc -c < /proc/keys", "0"),
    Case(
        "linux.readonlyPaths",
        {"linux.readonlyPaths": ["/full/inner", "/none"]},
        "touch /full/inner/x 2>&1 | cut -d: -f3; touch /full/x && echo ok",
        "Read-only file system\nok",
    ),
    Case(
        "linux.readonlyPaths",
        {"linux.readonlyPaths": ["/proc/sys"], **sysctl(kernel__shmmax="4096")},
        "cat /proc/sys/kernel/shmmax",
        "4096",
    ),
    Case(
        "linux.sysctl",
        {**sysctl(net__ipv4__ip_forward="1"), "linux.namespaces+": {"type": "network"}},
        "cat /proc/sys/net/ipv4/ip_forward",
        "1",
    ),
    Case(
        "linux.sysctl",
        {"linux.sysctl": {"net/ipv4/conf/lo/forwarding": "1"}, "linux.namespaces+": {"type": "network"}},
        "cat /proc/sys/net/ipv4/conf/lo/forwarding",
        "1",
    ),
    Case(
        "linux.sysctl",
        sysctl(kernel__msgmax="1234", fs__mqueue__msg_max="9"),
        "cat /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max",
        "1234\n9",
    ),
    Case(
        "linux.sysctl",
        sysctl(kernel__domainname="d.test"),
        "cat /proc/sys/kernel/domainname",
        "d.test",
        crun=_BY_FILE,
        runc=_BY_FILE,
    ),
    Case("linux.sysctl", sysctl(kernel__hostname="h.test"), "hostname", "h.test", crun=_CONFLICT, runc=_CONFLICT),
    Case(
        "linux.sysctl",
        sysctl(net__ipv4__ip_forward="1"),
        "echo ok",
        Refused("linux.sysctl[net.ipv4.ip_forward]: belongs to the network namespace, which is the node's here"),
    ),
    Case("linux.sysctl", sysctl(kernel__panic="1"), "echo ok", Refused("linux.sysctl[kernel.panic]: belongs to no namespace")),
    Case(
        "linux.sysctl",
        {"linux.sysctl": {"net/../kernel/panic": "1"}, "linux.namespaces+": {"type": "network"}},
        "echo ok",
        Refused("is no kernel parameter's name"),
    ),
    Case("linux.sysctl", sysctl(kernel__msgmax="many"), "echo ok", Refused("cannot set 'many': Invalid argument")),
    Case("linux.personality.domain", {"linux.personality": {"domain": "LINUX32"}}, "uname -m", "i686", runc=UNKNOWN),
    Case("linux.personality.domain", {"linux.personality": {"domain": "LINUX"}}, "uname -m", "x86_64"),
    Case(
        "linux.personality.domain",
        {"linux.personality": {"domain": "BSD"}},
        "echo ok",
        Refused("linux.personality.domain"),
        runc=UNKNOWN,
    ),
    Case(
        "linux.personality.flags",
        {"linux.personality": {"domain": "LINUX", "flags": ["X"]}},
        "echo ok",
        Refused("linux.personality.flags"),
        crun=LENIENT,
        runc=UNKNOWN,
    ),
    Case(
        "linux.timeOffsets.boottime",
        {"linux.timeOffsets": {"boottime": {"secs": 10**7}}, "linux.namespaces+": {"type": "time"}},
        "awk '{print ($1>10000000)}' /proc/uptime",
        "1",
        crun=UNKNOWN,
        runc=_NO_TIME,
    ),
    Case(
        "linux.timeOffsets.monotonic",
        {"linux.timeOffsets": {"monotonic": {"secs": 77, "nanosecs": 5}}, "linux.namespaces+": {"type": "time"}},
        "grep mono /proc/self/timens_offsets | tr -s ' \\t' ' '",
        "monotonic 77 5",
        crun=UNKNOWN,
        runc=_NO_TIME,
    ),
    Case(
        "linux.timeOffsets",
        {"linux.timeOffsets": {"boottime": {"secs": 1}}},
        "echo ok",
        Refused("linux.timeOffsets: needs a namespace of type time"),
        **BOTH_UNKNOWN,
    ),
    Case(
        "linux.timeOffsets.boottime.secs",
        {"linux.timeOffsets": {"boottime": {"secs": -(10**12)}}, "linux.namespaces+": {"type": "time"}},
        "echo ok",
        Refused("linux.timeOffsets: cannot set boottime -1000000000000 0"),
        crun=UNKNOWN,
    ),
    Case(
        "linux.timeOffsets.boottime.nanosecs",
        {"linux.timeOffsets": {"boottime": {"nanosecs": -1}}, "linux.namespaces+": {"type": "time"}},
        "echo ok",
        Refused("linux.timeOffsets.boottime.nanosecs"),
        crun=UNKNOWN,
    ),
    Case(
        "linux.intelRdt",
        {"linux.intelRdt": _RDT},
        "echo ok",
        Refused("linux.intelRdt: needs /sys/fs/resctrl"),
        crun=LENIENT,
    ),
    Case(
        "linux.netDevices",
        {"linux.netDevices": {"eth7": {"name": "x"}}, "linux.namespaces+": {"type": "network"}},
        "echo ok",
        Refused("linux.netDevices: only root"),
        **BOTH_UNKNOWN,
    ),
    Case(
        "linux.memoryPolicy.mode",
        {"linux.memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"}},
        "awk '$2!=\"bind:0\"' /proc/self/numa_maps | wc -l",
        "0",
        **BOTH_UNKNOWN,
    ),
    Case(
        "linux.memoryPolicy.nodes",
        {"linux.memoryPolicy": {"mode": "MPOL_BIND", "nodes": "x"}},
        "echo ok",
        Refused("linux.memoryPolicy.nodes"),
        **BOTH_UNKNOWN,
    ),
    Case(
        "linux.memoryPolicy.flags",
        {"linux.memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}},
        "head -n 1 /proc/self/numa_maps | cut -d' ' -f2",
        "interleave=static:0",
        **BOTH_UNKNOWN,
    ),
    Case(
        "linux.mountLabel",
        {"linux.mountLabel": "system_u:object_r:svirt_sandbox_file_t:s0"},
        "echo ok",
        Refused("linux.mountLabel"),
        crun=LENIENT,
    ),
    Case("hooks.prestart", hook("prestart"), "cat /tmp/hooks", "prestart"),
    Case("hooks.createRuntime", hook("createRuntime"), "cat /tmp/hooks", "createRuntime"),
    Case("hooks.createContainer", hook("createContainer"), "cat /tmp/hooks", "createContainer"),
    Case(
        "hooks.startContainer",
        {"hooks.startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo in > /tmp/x"], "env": ["A=b"], "timeout": 9}]},
        "cat /tmp/x",
        "in",
    ),
    Case("hooks.poststart", hook("poststart"), "while ! test -s /tmp/hooks; do sleep 0.05; done; cat /tmp/hooks", "poststart"),
    Case("hooks.poststop", hook("poststop"), "echo ok", "ok"),
    Case(
        "hooks.prestart[0].path",
        {"hooks.prestart": [{"path": "sh"}]},
        "echo ok",
        Refused("hooks.prestart[0].path: must be an absolute path"),
    ),
    Case(
        "hooks.createRuntime[0].path", {"hooks.createRuntime": [{"path": "/bin/false"}]}, "echo ok", Refused("createRuntime hook")
    ),
    Case(
        "hooks.prestart[0].timeout",
        {"hooks.prestart": [{"path": "/bin/sleep", "args": ["sleep", "9"], "timeout": 1}]},
        "echo ok",
        Refused("took longer than 1 s"),
    ),
]
