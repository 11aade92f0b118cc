"""Podman's own containers with our runtime: each case gives the same statuses and output as it does with runc."""

import re
from collections.abc import Iterator

import pytest

from tests.support.oci_bundle import OURS
from tests.support.podman import IMAGE, Podman

pytestmark = pytest.mark.engine

NONE = ("--network", "none")
RUN = ("run", "--rm", *NONE)
STATUS = "grep -E '^(Cap|NoNew|Seccomp:|Groups)' /proc/self/status"
Steps = list[tuple[str, ...]]

# Each case: commands in order; `SH` at the place of the image and `sh -c`.
SH = (IMAGE, "sh", "-c")
CASES: dict[str, Steps] = {
    "status and output": [(*RUN, *SH, "echo out; echo err >&2; exit 3")],
    "input": [(*RUN, "-i", IMAGE, "wc", "-c")],
    "terminal": [(*RUN, "-t", *SH, "tty; stty size; test -c /dev/console && echo console")],
    "no command": [(*RUN, IMAGE, "no-such-command")],
    "not executable": [(*RUN, IMAGE, "/etc/passwd")],
    # Not exec -i: podman 4.3 loses the output of a short command now and then, with runc more often than with ours.
    "detached, exec, stop": [
        ("run", "-d", "--name", "one", *NONE, *SH, "trap 'exit 5' TERM; while :; do sleep 0.1; done"),
        ("exec", "one", "sh", "-c", "echo in; exit 4"),
        ("exec", "-u", "1000:1000", "-w", "/tmp", "-e", "A=b", "one", "sh", "-c", "id; pwd; echo $A"),
        ("exec", "-t", "one", "tty"),
        ("exec", "-d", "one", "touch", "/made"),
        ("exec", "one", "no-such-command"),
        ("stop", "-t", "5", "one"),
        ("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one"),
        ("start", "one"),
        ("kill", "-s", "KILL", "one"),
        ("wait", "one"),
        ("rm", "one"),
    ],
    "create and start": [
        ("create", "--name", "one", *NONE, *SH, "echo made; exit 6"),
        ("start", "one"),  # with -a podman loses the output of a short command now and then, whatever its runtime
        ("wait", "one"),
        ("logs", "one"),
        ("rm", "one"),
    ],
    "top": [
        ("run", "-d", "--name", "one", *NONE, IMAGE, "sleep", "100"),
        ("top", "one", "args"),
        ("rm", "-f", "-t", "0", "one"),
    ],
    "volume": [(*RUN, "-v", "/usr/share/doc/busybox-static:/x:ro", *SH, "ls /x; touch /x/y; grep -c ' /x .* ro' /proc/mounts")],
    "user": [(*RUN, "--user", "1000:1001", *SH, f"id; {STATUS}; echo seen >/dev/stderr")],
    "named user, groups": [(*RUN, "--user", "nobody", "--group-add", "10", *SH, "id")],
    "read-only": [(*RUN, "--read-only", *SH, "touch /x; touch /tmp/x && echo tmp")],
    "no capabilities": [(*RUN, "--cap-drop", "ALL", *SH, STATUS)],
    "a capability": [(*RUN, "--cap-add", "SYS_ADMIN", "--user", "5", *SH, STATUS)],
    "no new privileges": [(*RUN, "--security-opt", "no-new-privileges", *SH, STATUS)],
    "no seccomp": [(*RUN, "--security-opt", "seccomp=unconfined", *SH, STATUS)],
    "privileged": [(*RUN, "--privileged", *SH, f"{STATUS}; test -w /proc/sys/kernel/hostname && echo open")],
    "host network": [("run", "--rm", "--network", "host", *SH, "cat /proc/net/dev | wc -l; ls /sys/class/net")],
    "private network": [("run", "--rm", *SH, "ip -o addr | grep -o 'tap0.*inet [0-9.]*'")],
    "host name": [(*RUN, "--hostname", "a.example", *SH, "hostname; cat /etc/hostname")],
    "tmpfs": [(*RUN, "--tmpfs", "/t:size=1m,mode=1770", *SH, "stat -c %a /t; grep ' /t ' /proc/mounts")],
    "limits": [(*RUN, "--ulimit", "nofile=77:88", *SH, "ulimit -n; ulimit -Hn")],
    "out-of-memory score": [(*RUN, "--oom-score-adj", "500", *SH, "cat /proc/self/oom_score_adj")],
    "host PIDs": [(*RUN, "--pid", "host", *SH, "test $$ -gt 1 && echo not-one; ls -d /proc/1")],
    "environment, folder": [(*RUN, "-e", "A=1 2", "-w", "/a/b", *SH, "env | grep -v HOSTNAME | sort; pwd")],
    "kernel parameter": [(*RUN, "--sysctl", "kernel.msgmax=9999", *SH, "cat /proc/sys/kernel/msgmax")],
    "device": [(*RUN, "--device", "/dev/fuse:/dev/other", *SH, "stat -c '%n %F' /dev/other; ls /dev | sort | tr '\\n' ' '")],
    "masked": [(*RUN, *SH, "wc -c /proc/kcore /proc/keys; ls /proc/scsi /sys/firmware; echo x > /proc/sysrq-trigger")],
    "mounts": [(*RUN, *SH, r"cut -d' ' -f2-4 /proc/mounts | sed 's/,size=.*\|,uid=.*//' | grep -v ^/sys/fs/cgroup | sort")],
    "shared memory": [(*RUN, "--shm-size", "2m", *SH, "df /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2")],
    "keep-id": [(*RUN, "--userns", "keep-id", *SH, "id -u | grep -cv '^0$'; cat /proc/self/uid_map | wc -l")],
    "copy": [
        ("run", "-d", "--name", "one", *NONE, IMAGE, "sleep", "100"),
        ("cp", "/usr/share/doc/busybox-static/copyright", "one:/c"),
        ("exec", "one", "head", "-1", "/c"),
        ("rm", "-f", "-t", "0", "one"),
    ],
    "health check": [
        ("run", "-d", "--name", "one", "--health-cmd", "test -f /ok", "--health-interval", "disable", *NONE, IMAGE, "sleep", "100"),
        ("healthcheck", "run", "one"),
        ("exec", "one", "touch", "/ok"),
        ("healthcheck", "run", "one"),
        ("rm", "-f", "-t", "0", "one"),
    ],
    "namespaces of another": [
        ("run", "-d", "--name", "one", "--ipc", "shareable", *NONE, IMAGE, "sleep", "100"),
        (
            *("run", "--rm", "--network", "container:one", "--pid", "container:one", "--ipc", "container:one"),
            *(*SH, "ps -o args | grep -c '^sleep 100'"),
        ),
        ("rm", "-f", "-t", "0", "one"),
    ],
    "limits that need cgroups": [(*RUN, "--memory", "100m", IMAGE, "true")],
    "restart": [
        ("run", "-d", "--name", "one", *NONE, *SH, "echo started; exec sleep 100"),
        ("restart", "-t", "0", "one"),
        ("logs", "one"),
        ("rm", "-f", "-t", "0", "one"),
    ],
}


@pytest.fixture(scope="module")
def podmans() -> Iterator[tuple[Podman, Podman]]:
    ours, theirs = Podman(OURS[0]), Podman("runc")
    yield ours, theirs
    ours.close()
    theirs.close()


def outcome(podman: Podman, steps: Steps) -> list[tuple[int, str]]:
    """Return status and output of each step, without what differs from run to run."""
    results = [podman(*step, stdin="12345", check=None) for step in steps]
    return [(result.status, re.sub(r"\b[0-9a-f]{64}\b", "ID", result.stdout)) for result in results]


@pytest.mark.parametrize("case", CASES)
def test_podman_does_with_ours_what_it_does_with_runc(podmans: tuple[Podman, Podman], case: str) -> None:
    ours, theirs = podmans
    assert outcome(ours, CASES[case]) == outcome(theirs, CASES[case])
