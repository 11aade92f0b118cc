"""Rows of `mounts`: every option of the specification, on a new file system and on binds."""

from typing import Any

from tests.system.oci_conformance.case import BOTH_LENIENT, Case, Refused

_OPTIONS = "awk '$5==\"/m\"{print $6}' /proc/self/mountinfo | tail -n 1"
_SUPER_OPTIONS = (
    "awk '$5==\"/m\"{print $NF}' /proc/self/mountinfo | tail -n 1 | tr , '\\n' | "
    "grep -E '^(sync|dirsync|lazytime|mand|size=.*|mode=.*|ro)$' | sort | tr '\\n' ' '"
)
_PROPAGATION = 'awk \'$5=="/m"{for(i=7;$i!="-";i++) print substr($i,1,7); print "end"}\' /proc/self/mountinfo'
_ALL_READ_ONLY = "awk '$5 ~ \"^/m\"{print substr($6,1,2)}' /proc/self/mountinfo | sort -u | tr '\\n' ' '"
_TOP_READ_ONLY = "awk '$5 ~ \"^/m\"{print substr($6,1,2)}' /proc/self/mountinfo | head -n 1"


def mount(*options: str, **changes: Any) -> dict[str, Any]:
    return {"mounts+": {"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": list(options), **changes}}


def bind(*options: str, source: str = "rootfs/full") -> dict[str, Any]:
    return mount("bind", *options, type="bind", source=source)


def tree(*options: str) -> dict[str, Any]:
    return mount("rbind", *options, type="bind", source="/dev")


def together(place: str, kind: dict[str, Any], table: dict[tuple[str, ...], str]) -> Case:
    """Return one row for options that all three runtimes take: a mount each."""
    requests = [
        {"destination": f"/m{index}", **kind, "options": [*kind.get("options", ()), *options]}
        for index, options in enumerate(table)
    ]
    script = f"for i in $(seq 0 {len(table) - 1}); do awk -v m=/m$i '$5==m{{print $6}}' /proc/self/mountinfo | tail -n 1; done"
    sets = {"mounts+" + " " * index: request for index, request in enumerate(requests)}
    return Case(place, sets, script, "\n".join(table.values()))


_TMPFS = {"type": "tmpfs", "source": "tmpfs"}
_BIND = {"type": "bind", "source": "rootfs/full", "options": ["bind"]}
_NEW = {
    ("ro",): "ro,relatime",
    ("rw",): "rw,relatime",
    ("nosuid",): "rw,nosuid,relatime",
    ("nodev",): "rw,nodev,relatime",
    ("noexec",): "rw,noexec,relatime",
    ("noatime",): "rw,noatime",
    ("nodiratime",): "rw,nodiratime,relatime",
    ("relatime",): "rw,relatime",
    ("strictatime",): "rw",
    ("async",): "rw,relatime",
    ("nomand",): "rw,relatime",
    ("nolazytime",): "rw,relatime",
    ("norelatime",): "rw,relatime",
    ("nostrictatime",): "rw,relatime",
    ("suid",): "rw,relatime",
    ("dev",): "rw,relatime",
    ("exec",): "rw,relatime",
    ("atime",): "rw,relatime",
    ("diratime",): "rw,relatime",
    ("noatime", "strictatime"): "rw",
}
_EARLIER = "it sets the flags of all options, and clears none"
_NOT_ON_NEW = "it knows the r… options on binds only"
_OLD_MOUNT = "1.8.1 does not know the option, and hands it to the file system"
_ATIME = "1.8.1 asks the kernel for it in a way that it refuses"
# Options on a new tmpfs that a peer does otherwise.
_NEW_OTHERWISE = {
    ("nosymfollow",): ("rw,relatime,nosymfollow", _OLD_MOUNT, ""),
    ("symfollow",): ("rw,relatime", _OLD_MOUNT, ""),
    ("defaults",): ("rw,relatime", "", "it hands the word to the file system"),
    ("silent", "loud", "iversion", "noiversion"): ("rw,relatime", _OLD_MOUNT, ""),
    ("ro", "rw"): ("rw,relatime", _EARLIER, ""),
    ("nosuid", "nodev", "noexec", "suid"): ("rw,nodev,noexec,relatime", _EARLIER, ""),
    ("noatime", "atime"): ("rw,relatime", _EARLIER, ""),
    ("rro",): ("ro,relatime", "", _NOT_ON_NEW),
    ("rnosuid", "rnodev", "rnoexec"): ("rw,nosuid,nodev,noexec,relatime", "", _NOT_ON_NEW),
    ("rnoatime",): ("rw,noatime", _ATIME, _NOT_ON_NEW),
    ("rstrictatime",): ("rw", _ATIME, _NOT_ON_NEW),
    ("rnodiratime",): ("rw,nodiratime,relatime", _ATIME, _NOT_ON_NEW),
    ("rnosymfollow",): ("rw,relatime,nosymfollow", _OLD_MOUNT, _NOT_ON_NEW),
    ("nosuid", "rsuid"): ("rw,relatime", "", _NOT_ON_NEW),
    ("noexec", "nodev", "rexec", "rdev"): ("rw,relatime", "", _NOT_ON_NEW),
    ("ro", "rrw"): ("rw,relatime", _EARLIER, _NOT_ON_NEW),
    ("noatime", "ratime"): ("rw,relatime", _ATIME, _NOT_ON_NEW),
    ("noatime", "rrelatime"): ("rw,relatime", _ATIME, _NOT_ON_NEW),
    ("noatime", "rnorelatime"): ("rw,relatime", _ATIME, _NOT_ON_NEW),
    ("strictatime", "rnostrictatime"): ("rw,relatime", _ATIME, _NOT_ON_NEW),
    ("nodiratime", "rdiratime"): ("rw,relatime", _ATIME, _NOT_ON_NEW),
    ("nosymfollow", "rsymfollow"): ("rw,relatime", _OLD_MOUNT, _NOT_ON_NEW),
}
_BOUND = {
    ("ro",): "ro,relatime",
    ("nosuid",): "rw,nosuid,relatime",
    ("nodev",): "rw,nodev,relatime",
    ("noexec",): "rw,noexec,relatime",
    ("rro",): "ro,relatime",
    ("rnosuid",): "rw,nosuid,relatime",
    ("rnoexec",): "rw,noexec,relatime",
    ("rnodev",): "rw,nodev,relatime",
    ("rw",): "rw,relatime",
    ("suid",): "rw,relatime",
    ("relatime",): "rw,relatime",
    ("sync",): "rw,relatime",
    ("dirsync",): "rw,relatime",
}
_PROPAGATIONS = {
    "private": "end",
    "rprivate": "end",
    "shared": "shared:\nend",
    "rshared": "shared:\nend",
    "unbindable": "unbinda\nend",
    "runbindable": "unbinda\nend",
}
_PRIVATE = "as a user 1.8.1 leaves every mount private"
_LOCKED = "it leaves the option out where the kernel locks access times"
_NO_ID_MAPS = "1.1.5 does not know ID-mapped mounts"
_ID_MAP = [{"containerID": 0, "hostID": 1000, "size": 10}]

CASES = [
    together("mounts", _TMPFS, _NEW),
    together("mounts", _BIND, _BOUND),
    *(
        Case("mounts[0].options", mount(*options), _OPTIONS, shown, crun, runc)
        for options, (shown, crun, runc) in _NEW_OTHERWISE.items()
    ),
    Case("mounts[0].options", bind("nosymfollow"), _OPTIONS, "rw,relatime,nosymfollow", crun=_OLD_MOUNT),
    Case("mounts[0].options", bind("rnosymfollow"), _OPTIONS, "rw,relatime,nosymfollow", crun=_OLD_MOUNT),
    *(
        Case("mounts[0].options", change(option), _PROPAGATION, shown, crun="" if shown == "end" else _PRIVATE)
        for option, shown in _PROPAGATIONS.items()
        for change in (bind, mount)
    ),
    Case("mounts[0].options", mount("sync"), _SUPER_OPTIONS, "sync"),
    Case("mounts[0].options", mount("dirsync"), _SUPER_OPTIONS, "dirsync"),
    Case("mounts[0].options", mount("lazytime"), _SUPER_OPTIONS, "lazytime"),
    Case("mounts[0].options", mount("mand"), _SUPER_OPTIONS, "mand"),
    Case("mounts[0].options", mount("size=64k", "mode=711"), f"{_SUPER_OPTIONS}; stat -c %a /m", "mode=711 size=64k 711"),
    Case("mounts[0].options", mount("mode=xyz"), "echo ok", Refused("cannot mount tmpfs at /m")),
    Case("mounts[0].options", mount("no-such"), "echo ok", Refused("cannot mount tmpfs at /m")),
    Case("mounts[0].options", bind("no-such"), "echo ok", Refused("unknown option no-such"), **BOTH_LENIENT),
    Case("mounts[0].options", bind("noatime"), "echo ok", Refused("cannot mount"), crun=_LOCKED),
    Case("mounts[0].options", bind("strictatime"), "echo ok", Refused("cannot mount"), crun=_LOCKED),
    Case("mounts[0].options", bind("nodiratime"), "echo ok", Refused("cannot mount"), crun=_LOCKED),
    Case("mounts[0].options", bind("rnodiratime"), "echo ok", Refused("cannot mount")),
    Case("mounts[0].options", bind("slave"), _PROPAGATION, "end"),
    Case("mounts[0].options", bind("rslave"), _PROPAGATION, "end"),
    Case("mounts[0].options", tree("ro"), _ALL_READ_ONLY, "ro rw"),
    Case("mounts[0].options", tree("rro"), _ALL_READ_ONLY, "ro"),
    Case("mounts[0].options", tree("ro", "rro"), _ALL_READ_ONLY, "ro"),
    Case("mounts[0].options", tree(), _TOP_READ_ONLY, "rw"),
    Case("mounts[0].source", mount("bind", type="bind", source="/sys"), "echo ok", Refused("cannot mount /sys at /m")),
    Case(
        "mounts[0].options",
        mount("tmpcopyup", destination="/full"),
        "cat /full/file /full/inner/secret; stat -c %a /full/inner/secret; awk '$5==\"/full\"{print $9}' /proc/self/mountinfo",
        "content\nsecret\n600\ntmpfs",
    ),
    Case(
        "mounts[0].options",
        mount("tmpcopyup", "ro", destination="/full"),
        "cat /full/file; touch /full/x 2>&1 | cut -d: -f3; echo",
        "content\n Read-only file system",
    ),
    Case(
        "mounts[0].options",
        {"mounts+": {"destination": "/proc", "type": "proc", "source": "proc", "options": ["remount", "ro", "nosuid"]}},
        "awk '$5==\"/proc\"{print $6}' /proc/self/mountinfo",
        "ro,nosuid,relatime",
    ),
    Case("mounts[0].options", bind("idmap"), "echo ok", Refused("cannot map the IDs of the mount at /m"), runc=_NO_ID_MAPS),
    Case(
        "mounts[0].options",
        bind("ridmap"),
        "echo ok",
        Refused("cannot map the IDs of the mount at /m"),
        crun="1.8.1 does not know the option",
        runc=_NO_ID_MAPS,
    ),
    Case(
        "mounts[0].uidMappings",
        mount("bind", type="bind", source="rootfs/full", uidMappings=_ID_MAP, gidMappings=_ID_MAP),
        "echo ok",
        Refused("cannot map the IDs of the mount at /m"),
        runc=_NO_ID_MAPS,
    ),
    Case(
        "mounts[0].gidMappings",
        mount(uidMappings=[{"containerID": 0, "hostID": 5, "size": 1}], gidMappings=[{"containerID": 0, "hostID": 6, "size": 1}]),
        "stat -c '%u %g' /m",
        "5 6",
        crun="as a user it may not write the map of the namespace that it makes",
        runc=_NO_ID_MAPS,
    ),
    Case(
        "mounts[0].uidMappings",
        mount(uidMappings=_ID_MAP),
        "echo ok",
        Refused("uidMappings and gidMappings go together"),
        runc=_NO_ID_MAPS,
    ),
    Case("mounts[0].destination", mount(destination="/new/deep"), "stat -f -c %T /new/deep", "tmpfs"),
    Case("mounts[0].destination", mount(destination="relative"), "stat -f -c %T /relative", "tmpfs"),
    Case("mounts[0].destination", bind(source="/no/such/file"), "echo ok", Refused("the source does not exist")),
    Case("mounts[0].source", bind(), "cat /m/file", "content"),
    Case(
        "mounts[0].source",
        {"mounts+": {"destination": "/new/file", "type": "bind", "source": "rootfs/full/file", "options": ["bind", "ro"]}},
        "cat /new/file; echo x 2>&1 >/new/file | cut -d: -f2- ",
        "content\n can't create /new/file: Read-only file system",
    ),
    Case(
        "mounts[0].type", {"mounts+": {"destination": "/m", "source": "rootfs/full", "options": ["bind"]}}, "cat /m/file", "content"
    ),
    Case(
        "mounts[0].type",
        {"mounts+": {"destination": "/m", "type": "no-such", "source": "x"}},
        "echo ok",
        Refused("cannot mount x at /m"),
    ),
    Case("mounts[0].type", {"mounts+": {"destination": "/m"}}, "echo ok", Refused("neither a type nor the option bind")),
    Case(
        "mounts[0].type",
        {"mounts+": {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}},
        "awk '$5==\"/dev/mqueue\"{print $9}' /proc/self/mountinfo",
        "mqueue",
    ),
    Case(
        "mounts[0].type",
        {
            "mounts+": {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            }
        },
        "stat -c %a /dev/pts/ptmx",
        "666",
    ),
    Case(
        "mounts[0].type",
        {"mounts+": {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}},
        "awk '$5==\"/sys\"{print substr($6,1,2), $9}' /proc/self/mountinfo",
        "ro sysfs",
        runc="it cannot mount sysfs for the node's network",
        crun="it shows the node's /sys without the options",
    ),
    Case(
        "mounts[0].type",
        {
            "mounts+": {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            "linux.namespaces+": {"type": "network"},
        },
        "ls /sys/class/net",
        "lo",
    ),
    Case(
        "mounts[0].options",
        {
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755", "ro"]},
            ]
        },
        "echo x >/dev/null && touch /dev/x 2>&1 | cut -d: -f3",
        "Read-only file system",
    ),
    Case(
        "mounts",
        {"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]},
        "echo x >/dev/null; ls /dev | grep -v core",  # which is there where the kernel has /proc/kcore
        "fd\nfull\nnull\nptmx\nrandom\nstderr\nstdin\nstdout\ntty\nurandom\nzero",
    ),
]
