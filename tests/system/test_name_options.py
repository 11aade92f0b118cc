"""/etc/hosts, /etc/resolv.conf, environment, time zone and ports as the options of `run` make them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine

NONE = ("--network", "none")


def inspected(engine: Engine, container: str) -> dict[str, Any]:
    (document,) = json.loads(engine.rl("inspect", container).stdout)
    found: dict[str, Any] = document
    return found


def inside(engine: Engine, *options: str, script: str, **more: Any) -> str:
    return engine.rl("run", "--rm", *options, "busybox", "sh", "-c", script, **more).stdout


def test_added_hosts(engine: Engine) -> None:
    options = (
        "--add-host",
        "one:10.1.2.3",
        "--add-host",
        "two=[fd00::1]",
        "--add-host",
        "a;b:10.9.9.9",
        "--add-host",
        "me:host-gateway",
    )
    engine.rl("run", "--name", "box", "--hostname", "own", "--domainname", "example.org", *options, "busybox", "cat", "/etc/hosts")
    lines = [line.split() for line in engine.rl("logs", "box").stdout.splitlines()]
    for line in (["10.1.2.3", "one"], ["fd00::1", "two"], ["10.9.9.9", "a"], ["10.9.9.9", "b"], ["10.0.2.2", "me"]):
        assert line in lines
    assert ["10.0.2.100", "own.example.org", "own"] in lines
    assert ["127.0.0.1", "localhost"] in lines
    document = inspected(engine, "box")
    assert document["HostConfig"]["ExtraHosts"] == ["one:10.1.2.3", "two:fd00::1", "a:10.9.9.9", "b:10.9.9.9", "me:host-gateway"]
    assert document["Config"]["Domainname"] == "example.org"
    engine.rl("start", "-a", "box")
    assert "127.0.0.1\tme" in inside(engine, "--network", "host", "--add-host", "me:host-gateway", script="cat /etc/hosts")
    script = "cat /proc/sys/kernel/domainname; ping -c1 -w5 here | head -1"
    assert "example.net" in inside(engine, *NONE, "--domainname", "example.net", script=script)


def test_no_hosts(engine: Engine) -> None:
    engine.rl("run", "--name", "box", *NONE, "--no-hosts", "busybox", "cat", "/etc/hosts", check=1)
    assert inspected(engine, "box")["HostsPath"] == ""


def test_name_servers(engine: Engine) -> None:
    script = "cat /etc/resolv.conf"
    options = (
        "--dns",
        "10.1.1.1",
        "--dns",
        "fd00::1",
        "--dns-search",
        "a.example",
        "--dns-search",
        "b.example",
        "--dns-opt",
        "ndots:3",
    )
    expected = "nameserver 10.1.1.1\nnameserver fd00::1\nsearch a.example b.example\noptions ndots:3\n"
    for network in ("slirp", "host", "none"):
        assert inside(engine, "--network", network, *options, script=script) == expected
    engine.rl("create", "--name", "box", *options, "busybox", "true")
    shown = inspected(engine, "box")["HostConfig"]
    assert (shown["Dns"], shown["DnsSearch"]) == (["10.1.1.1", "fd00::1"], ["a.example", "b.example"])
    assert shown["DnsOptions"] == ["ndots:3"]
    lines = inside(engine, "--dns-search", ".", script=script).splitlines()
    assert lines[0] == "nameserver 10.0.2.3"
    assert not [line for line in lines if line.startswith(("search", "domain"))]
    lines = inside(engine, "--network", "host", "--dns-option", "edns0", script=script).splitlines()
    node = Path("/etc/resolv.conf").read_text().splitlines()
    assert [line for line in lines if line.startswith("nameserver")] == [line for line in node if line.startswith("nameserver")]
    assert lines[-1] == "options edns0"
    assert inside(engine, *NONE, "--dns", "none", script="cat /etc/resolv.conf 2>/dev/null || echo none") == "none\n"


def test_environment(engine: Engine) -> None:
    own = {"OF_NODE": "1", "PATH": "/bin:/node"}
    found = inside(engine, *NONE, "--env-host", "-e", "LAST=1", script="env", env={**engine.environment, **own}).splitlines()
    assert {"OF_NODE=1", "LAST=1"} <= set(found)
    found = inside(engine, *NONE, "-e", "A=1", "--env-merge", "PATH=${PATH}:/more", script="env").splitlines()
    (path,) = [line for line in found if line.startswith("PATH=")]
    assert path.endswith("/bin:/more")
    found = engine.rl("run", "--rm", *NONE, "--unsetenv", "PATH", "-e", "A=1", "busybox", "/bin/busybox", "env").stdout.split()
    assert "A=1" in found
    assert not [line for line in found if line.startswith("PATH=")]
    found = engine.rl("run", "--rm", "-t", *NONE, "--unsetenv-all", "-e", "A=1", "busybox", "/bin/busybox", "env").stdout.split()
    assert {line.partition("=")[0] for line in found} == {"A", "HOME", "HOSTNAME"}


def test_umask(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "-u", "9", "--umask", "027", "busybox", "sh", "-c", "umask; exec sleep 1000")
    assert engine.rl("exec", "box", "sh", "-c", "umask").stdout == "0027\n"
    assert engine.rl("exec", "-u", "0", "box", "sh", "-c", "umask; id -u").stdout == "0027\n0\n"
    assert inspected(engine, "box")["Config"]["Umask"] == "0027"


def test_time_zone(engine: Engine) -> None:
    if not Path("/usr/share/zoneinfo/Asia/Tokyo").exists():
        pytest.skip("the node has no time zones (tzdata)")
    engine.rl("run", "--name", "box", *NONE, "--tz", "Asia/Tokyo", "busybox", "sh", "-c", "tail -n1 /etc/localtime")
    assert engine.rl("logs", "box").stdout == "JST-9\n"
    assert inspected(engine, "box")["Config"]["Timezone"] == "Asia/Tokyo"
    if Path("/etc/localtime").exists():
        last = Path("/etc/localtime").read_bytes().splitlines()[-1].decode()
        assert inside(engine, *NONE, "--tz", "local", script="tail -n1 /etc/localtime").strip() == last


def test_exposed_ports_and_the_hardware_address(engine: Engine) -> None:
    engine.rl("run", "--name", "box", "--expose", "80", "--expose", "90-91/udp", "--mac-address", "02:42:AC:11:00:02", "busybox",
              "sh", "-c", "cat /sys/class/net/eth0/address; ping -c 1 -W 5 10.0.2.2")  # fmt: skip
    assert engine.rl("logs", "box").stdout.startswith("02:42:ac:11:00:02\n")
    document = inspected(engine, "box")
    assert document["Config"]["ExposedPorts"] == {"80/tcp": {}, "90/udp": {}, "91/udp": {}}
    assert document["Config"]["MacAddress"] == document["NetworkSettings"]["MacAddress"] == "02:42:ac:11:00:02"


def test_pull_policies(engine: Engine) -> None:
    assert "No such image: nosuch" in engine.rl("run", "--rm", *NONE, "--pull", "never", "nosuch", "true", check=125).stderr
    engine.rl("run", "--rm", *NONE, "--pull", "never", "busybox", "true")
    engine.rl("tag", "busybox", "127.0.0.1:1/busybox")
    newer = engine.rl("run", "--rm", *NONE, "--pull", "newer", "-q", "127.0.0.1:1/busybox", "true")
    assert newer.status == 0
    assert "127.0.0.1:1" in engine.rl("run", "--rm", *NONE, "--pull", "always", "127.0.0.1:1/busybox", "true", check=125).stderr
    # Another platform than the store has is asked of the registry.
    result = engine.rl("run", "--rm", *NONE, "--platform", "linux/s390x", "127.0.0.1:1/busybox", "true", check=125)
    assert "127.0.0.1:1" in result.stderr
    assert "invalid --pull option: 'x'" in engine.rl("run", "--pull", "x", "busybox", "true", check=125).stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--add-host", "nonsense"), "bad format for add-host: 'nonsense'"),
        (("--add-host", "a:nonsense"), "invalid IP address in add-host: 'nonsense'"),
        (("--add-host", "a:host-gateway", *NONE), "without a network the host has no address here"),
        (("--add-host", "a:10.1.1.1", "--no-hosts"), "--no-hosts and --add-host cannot be set together"),
        (
            ("--add-host", "a:10.1.1.1", "--network", "container:x"),
            "conflicting options: custom host-to-IP mapping and the network mode",
        ),
        (("--dns", "10.1.1.1", "--network", "container:x"), "conflicting options: dns and the network mode"),
        (("--dns", "nonsense"), "nonsense is not an ip address"),
        (("--dns", "none", "--dns", "10.1.1.1"), "cannot set dns options when 'none' is specified"),
        (("--dns-search", "a b"), "a b is not a valid domain"),
        (("--dns-option", "a b"), "invalid --dns-option: 'a b'"),
        (("--domainname", "a b"), "invalid domainname: 'a b'"),
        (("--domainname", "a", "--uts", "host"), "conflicting options: domainname and the UTS mode"),
        (("--umask", "999"), "invalid umask string '999'"),
        (("--tz", "../../etc/passwd"), "unknown time zone ../../etc/passwd"),
        (("--tz", "Nowhere/City"), "unknown time zone Nowhere/City"),
        (("--expose", "0"), "invalid range format for --expose: 0"),
        (("--expose", "80/icmp"), "invalid protocol for --expose: 80/icmp"),
        (("--expose", "80", "--network", "container:x"), "conflicting options: port exposing and the network mode"),
        (("--mac-address", "01:00:00:00:00:00"), "is not a valid mac address"),
        (("--mac-address", "02:00:00:00:00:01", *NONE), "conflicting options: mac-address and the network mode"),
        (("--ip", "10.1.1.1"), "user specified IP address is supported on user defined networks only"),
    ],
)
def test_errors(engine: Engine, options: tuple[str, ...], text: str) -> None:
    assert text in engine.rl("create", *options, "busybox", "true", check=1).stderr
    assert engine.rl("ps", "-aq").stdout == ""
