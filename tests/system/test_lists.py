"""What `rl ps` and `rl inspect` can be asked for."""

from tests.support.engine import Engine

NONE = ("--network", "none")


def test_sizes_and_ports_in_lists(engine: Engine) -> None:
    engine.rl("run", "--name", "box", *NONE, "--expose", "80", "busybox", "sh", "-c", "head -c 1000 /dev/zero >/file")
    assert engine.rl("ps", "-a", "--size", "--format", "{{.Size}}").stdout.startswith("1kB (virtual ")
    assert engine.rl("inspect", "-s", "--format", "{{.SizeRw}}", "box").stdout == "1000\n"
    assert engine.rl("ps", "-aq", "--filter", "expose=79-81").stdout != ""
    assert engine.rl("ps", "-aq", "--filter", "expose=80/udp").stdout == ""
    assert "invalid port" in engine.rl("ps", "-a", "--filter", "publish=x", check=1).stderr
    assert engine.rl("ps", "-aq", "--filter", "is-task=true").stdout == ""
