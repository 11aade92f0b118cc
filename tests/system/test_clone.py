"""`rl clone`: a container like another one."""

import json
from typing import Any

from tests.support.engine import Engine

NONE = ("--network", "none")


def _inspect(engine: Engine, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(engine.rl("inspect", name).stdout)[0]
    return document


def test_a_clone_has_the_options_and_no_files_of_the_original(engine: Engine) -> None:
    (engine.folder / "home" / "env").write_text("FROM_FILE=1\n")
    options = (
        *("-e", "GIVEN", "--env-file", "home/env", "--label", "a=b", "--hostname", "host", "-w", "/tmp", "-u", "1:2"),
        *("-v", "vol:/vol", "-v", "/anonymous", "--cap-drop", "CHOWN", "--stop-timeout", "0", "--read-only"),
        *("--restart", "on-failure:2"),
    )
    engine.rl("run", "--name", "box", *NONE, *options, "busybox", "sh", "-c", "echo $GIVEN$FROM_FILE; id -u", env={"GIVEN": "x"})
    (engine.folder / "home" / "env").unlink()
    clone_id = engine.rl("clone", "box", "copy").stdout.strip()
    assert engine.rl("start", "-a", "copy").stdout == "x1\n1\n"
    original, clone = _inspect(engine, "box"), _inspect(engine, "copy")
    assert clone["Id"] == clone_id != original["Id"]
    assert clone["Config"] == original["Config"]
    assert clone["HostConfig"] == original["HostConfig"]
    assert clone["Image"] == original["Image"]
    volumes = [{mount["Destination"]: mount["Name"] for mount in document["Mounts"]} for document in (original, clone)]
    assert volumes[0]["/vol"] == volumes[1]["/vol"] == "vol"
    assert volumes[0]["/anonymous"] != volumes[1]["/anonymous"]


def test_names_are_made_up_and_the_original_can_go(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "100")
    for name in ("box-clone", "box-clone1"):
        engine.rl("container", "clone", "box")
        assert _inspect(engine, name)["State"]["Status"] == "created"
    refused = engine.rl("clone", "--destroy", "box", "new", check=1)
    assert "is running" in refused.stderr
    engine.rl("clone", "--destroy", "-f", "--run", "box", "new")
    assert _inspect(engine, "new")["State"]["Running"]
    assert engine.rl("container", "exists", "box", check=1).stdout == ""
    assert "already in use" in engine.rl("clone", "new", "box-clone", check=1).stderr
    assert "No such container" in engine.rl("clone", "box", check=1).stderr
    assert "two names" in engine.rl("clone", "--name", "a1", "new", "b1", check=1).stderr
    engine.rl("rm", "-f", "new", "box-clone", "box-clone1")


def test_a_clone_from_another_image(engine: Engine) -> None:
    engine.rl("create", "--name", "base", *NONE, "busybox", "true")
    engine.rl("commit", "-c", "ENV OF=image", "-c", 'CMD ["sh", "-c", "echo $OF $MY"]', "base", "other")
    engine.rl("create", "--name", "box", "-e", "MY=own", *NONE, "busybox")
    engine.rl("clone", "box", "copy", "other")
    assert engine.rl("start", "-a", "copy").stdout == "image own\n"
    assert _inspect(engine, "copy")["Config"]["Image"] == "other"
    assert "Unable to find image 'localhost/missing:1'" in engine.rl("clone", "box", "third", "localhost/missing:1", check=1).stderr
    assert engine.rl("container", "exists", "third", check=1).stdout == ""
