"""What of the kernel a container may not touch: system calls, files of procfs and sysfs, devices, keys, terminals of others."""

import ctypes
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.engine import COMMAND, Engine
from tests.support.terminal import Terminal
from tests.support.test_user import drop_privileges

NONE = ("--network", "none")

# What Docker's profile and capabilities leave of each: EPERM, or ENOSYS where a C library then tries something older.
REFUSED = {"EPERM", "ENOSYS", "EACCES"}
REFUSED_CALLS = {
    "keyctl", "add_key", "request_key", "bpf", "userfaultfd", "perf_event_open", "io_uring_setup", "unshare", "unshare_mount",
    "clone", "setns", "mount", "umount", "pivot_root", "open_tree", "fsopen", "move_mount", "mount_setattr", "open_by_handle_at",
    "init_module", "kexec_load", "reboot", "swapon", "acct", "quotactl", "settimeofday", "syslog", "iopl", "sethostname", "mknod",
    "mknod_disk", "alg", "vsock",
}  # fmt: skip

# Files whose writer runs code on the node, or changes it; and some that would change the container's own part of the kernel.
GADGETS = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/fs/binfmt_misc/register", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/sysrq", "/proc/sysrq-trigger",
    "/proc/sys/kernel/unprivileged_userns_clone", "/proc/sys/fs/suid_dumpable", "/proc/sys/kernel/yama/ptrace_scope",
    "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/hostname", "/proc/sys/kernel/shmmax", "/proc/sys/user/max_user_namespaces",
    "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/cgroup.procs",
    "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/security/apparmor/.remove", "/sys/class/net/lo/mtu",
    "/proc/irq/default_smp_affinity", "/proc/bus/pci/devices", "/proc/kcore", "/proc/kmsg", "/proc/timer_list", "/proc/mtrr",
    "/proc/self/setgroups", "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/projid_map",
)  # fmt: skip


@pytest.fixture
def box(hostile: Engine) -> Engine:
    """An engine with a container `box` that sleeps."""
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "sleep", "1000")
    return hostile


def test_system_calls(box: Engine) -> None:
    """In a container's first process and in one that exec brings, as its root and as a user."""
    ways = [("run", "--rm", *NONE, "hostile"), ("exec", "box"), ("exec", "-u", "user", "box")]
    for arguments in ways:
        lines = box.rl(*arguments, "/attacker", "calls").stdout.splitlines()
        results = dict(line.split() for line in lines)
        assert {name: result for name, result in results.items() if name in REFUSED_CALLS and result not in REFUSED} == {}
        assert set(results) >= REFUSED_CALLS
        assert results["clone3"] == "ENOSYS"


@pytest.mark.parametrize("network", ["none", "host"])
def test_files_that_change_the_node(hostile: Engine, network: str) -> None:
    script = (
        'for file in "$@"; do [ -e "$file" ] && [ ! -c "$file" ] && (echo 1 >"$file") 2>/dev/null && echo "LEAK $file"; done;'
        "touch /sys/x /proc/x /sys/kernel/x /sys/fs/cgroup/x 2>/dev/null && echo LEAK new;"
        "mkdir /sys/fs/cgroup/x 2>/dev/null && echo LEAK cgroup;"
        'chmod 777 /proc/sys /sys /proc/sys/kernel/core_pattern 2>/dev/null && echo "LEAK chmod";'
        "mount -o remount,rw /proc/sys 2>/dev/null && echo LEAK remount;"
        "umount /proc/kcore /proc/sys /sys/firmware 2>/dev/null && echo LEAK umount; echo done"
    )
    arguments = ("run", "--rm", "--network", network, "hostile", "sh", "-c", script, "sh", *GADGETS)
    assert hostile.rl(*arguments).stdout == "done\n"


def test_masked_paths_show_nothing(box: Engine) -> None:
    script = (
        "for file in kcore keys timer_list interrupts latency_stats sched_debug; do"
        " [ ! -e /proc/$file ] || [ -z \"$(head -c 16 /proc/$file)\" ] || echo LEAK $file; done;"
        " for folder in /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/devices/virtual/powercap; do"
        " [ ! -e $folder ] || [ -z \"$(ls -A $folder)\" ] || echo LEAK $folder; done"
    )
    assert box.rl("exec", "box", "sh", "-c", script).stdout == ""


def test_devices_of_an_image_are_none(hostile: Engine) -> None:
    """No node can be made, and none that lies in the root (as P's root might have put there) can be opened."""
    script = "mknod /tmp/zero c 1 5; mknod /tmp/disk b 8 0; mknod /zero c 1 5; ls -A /tmp; ls /zero"
    assert hostile.rl("run", "--rm", *NONE, "hostile", "sh", "-c", script, check=None).stdout == ""
    listing = hostile.rl("run", "--rm", *NONE, "hostile", "ls", "-A", "/dev").stdout.split()
    known = {"core", "fd", "ptmx", "stderr", "stdin", "stdout", "mqueue", "pts", "shm"}
    known |= {"full", "null", "random", "tty", "urandom", "zero"}
    assert set(listing) <= known


class KeysOfASession:
    """What makes a caller a session with a key in its keyring; called in the child."""

    def __init__(self, description: str) -> None:
        self._description = description.encode()

    def __call__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        keyctl, add_key = 250, 248  # x86-64
        assert libc.syscall(keyctl, 1, None) >= 0
        assert libc.syscall(add_key, b"user", self._description, b"secret", 6, -3) >= 0


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of its system calls are in the test")
def test_keys_of_the_user_s_session_stay_outside(hostile: Engine) -> None:
    """Seen by a process that no filter keeps from keyctl(2): exec --privileged, in a container from the same session."""

    def rl(*arguments: str) -> str:
        ended = subprocess.run(
            [*COMMAND, *arguments], env=hostile.environment, cwd=hostile.folder, text=True, capture_output=True, check=True,
            preexec_fn=KeysOfASession("rl-test"), **drop_privileges(),
        )  # fmt: skip
        return ended.stdout

    rl("run", "-d", "--name", "box", *NONE, "hostile", "sleep", "1000")
    assert rl("exec", "--privileged", "box", "/attacker", "key", "rl-test") == "ENOKEY\n"
    assert rl("exec", "box", "/attacker", "key", "rl-test") in ("EPERM\n", "ENOSYS\n")


@pytest.fixture
def terminal(hostile: Engine) -> Iterator[Terminal]:
    """A shell of the user's in a terminal."""
    with Terminal(hostile.folder, ["sh"], hostile.environment) as made:
        yield made


@pytest.mark.parametrize("options", ["", "-t", "-it", "-it --init"])
def test_a_container_types_nothing_into_the_caller_s_terminal(hostile: Engine, terminal: Terminal, options: str) -> None:
    """TIOCSTI and TIOCLINUX, by `run` and by `exec`; the kernel permits the first to any process on its own terminal."""
    pwned = hostile.folder / "pwned"
    attack = f"/attacker type $'\\ntouch {pwned}\\n'; echo typed"
    rl = " ".join(COMMAND)
    quoted = attack.replace("'", "'\\''")
    terminal.enter(f"{rl} run --rm --network none {options} hostile sh -c '{quoted}' | grep -E 'typed|LEAK'; echo first-done")
    terminal.wait_for("\nfirst-done")
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "sleep", "1000")
    terminal.enter(f"{rl} exec {options.removesuffix(' --init')} box sh -c '{quoted}' | grep -E 'typed|LEAK'; echo second-done")
    terminal.wait_for("\nsecond-done")
    terminal.enter("echo still here")
    screen = terminal.wait_for("\nstill here")
    assert screen.count("typed") >= 2
    assert "LEAK" not in screen.replace("typed|LEAK", "")
    assert not pwned.exists()
