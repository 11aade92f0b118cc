"""The same Dockerfiles built by rl and by Debian's buildah: the images' configs and files are the same."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine
from tests.support.image_contents import File, read_image
from tests.support.podman import Podman
from tests.support.test_user import USER, drop_privileges
from tests.system.build.test_context import make_context

pytestmark = [pytest.mark.engine, pytest.mark.skipif(shutil.which("buildah") is None, reason="needs buildah")]

# What the two engines' own containers leave in an image of steps, or not.
_ENGINES_OWN = ("proc", "sys", "dev", "run", "etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/mtab", "")
_FILES = {"one": "1", "two.txt": "2", "d/three": "3", "d/deep/four.txt": "4", "e/five": "5", ".dockerignore": "ignored\n**/*.tmp\n",
          "ignored": "x", "d/x.tmp": "x"}  # fmt: skip

CASES = {
    "variables": [
        "ENV A=1 B=\"two words\" C=$A", "ENV D one two", "ENV E=${A:-x}${NONE:-y} F='$A'", "LABEL l=$A 'm n'=\"o p\"", "ENV A=2",
        "LABEL l=again", "ARG X=default", "ARG Y", "ARG GIVEN=no", "ENV FROM_ARG=$X-$Y-$GIVEN", "RUN echo $X$Y$GIVEN > /args",
        "ARG X=new", "RUN echo $X >> /args",
    ],
    "commands": [
        "CMD echo shell $HOME", "ENTRYPOINT [\"/bin/sh\", \"-c\"]", "SHELL [\"/bin/busybox\", \"sh\", \"-c\"]", "EXPOSE 80 53/udp",
        "VOLUME /v /w", "VOLUME [\"/x\"]", "STOPSIGNAL SIGUSR1", "USER 5:6", "MAINTAINER me <me@x>",
        "HEALTHCHECK --interval=30s --timeout=1m --start-period=5s --retries=4 CMD test -e /x",
    ],
    "other commands": [
        "ENTRYPOINT echo $A", "CMD [\"a\", \"b c\"]", "HEALTHCHECK CMD true", "HEALTHCHECK NONE", "ONBUILD COPY one /later",
        "ONBUILD RUN echo $A",
    ],
    "copies": [
        "COPY one /x", "COPY one two.txt /dir/", "COPY one /tmp", "COPY [\"one\", \"/with space\"]", "COPY *.txt /w/",
        "COPY o?e /w/", "COPY d /d1", "COPY d/ /d2/", "COPY d e /d3/", "COPY . /all", "COPY d /d1", "COPY --chown=3:4 one /own",
        "COPY --chown=daemon one /named", "COPY --chown=7 --chmod=750 d/three /both", "COPY --chmod=4711 one /set",
        "COPY --chown=8:9 d /chowned/new/", "RUN mkdir /real && ln -s real /link", "COPY one /link/", "COPY d /link/sub",
        "ADD one /added", "ADD d /added-d", "ADD archive.tar /unpacked/", "ADD packed.tar.gz /packed/", "WORKDIR /wd",
        "COPY one ./", "COPY two.txt rel/",
    ],
    "steps": [
        "RUN mkdir -p /m/n && echo x > /m/n/o && chmod 4755 /m/n/o && chown 8:9 /m/n/o && ln -s o /m/n/p && ln /m/n/o /m/n/q",
        "RUN [\"/bin/sh\", \"-c\", \"echo exec > /exec\"]", "RUN rm -r /m/n && mkdir /m/n && echo again > /m/n/z", "USER 12",
        "WORKDIR /tmp", "RUN id -u > mine", "USER 0", "WORKDIR /a/b", "WORKDIR c", "RUN pwd > /where", "ENV P=/p", "WORKDIR $P/q",
        "COPY d /d", "RUN rm -r /d/deep /d/three && rm /bin/vi", "COPY one /d/three",
    ],
}  # fmt: skip
_STAGES = """FROM {base} AS first
RUN mkdir /made && echo 1 > /made/a && chown 3:4 /made/a && chmod 640 /made/a
FROM first AS second
RUN echo 2 > /made/b
FROM {base}
COPY --from=first /made /one
COPY --from=second --chown=5 /made/b /two
COPY --from=0 /made/a /by/number
ENV LAST=1
"""


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    made = Podman("runc")
    yield made
    made.close()


def build_with_buildah(podman: Podman, context: Path, *options: str) -> tuple[dict[str, Any], dict[str, File]]:
    target = podman.folder / "tmp" / "layout"
    shutil.rmtree(target, ignore_errors=True)
    build = ["buildah", "build", "--isolation", "chroot", "--format", "docker", "-q", *options, "-t", "app"]
    for command in ([*build, str(context)], ["buildah", "push", "-q", "localhost/app", f"dir:{target}"]):
        subprocess.run(command, env=podman.environment, cwd="/", check=True, capture_output=True, **drop_privileges())
    return read_image(target)


def compare(engine: Engine, podman: Podman, lines: str, options: list[str]) -> None:
    folder = make_context(engine, "", _FILES)
    (folder / "Dockerfile").unlink()
    os.chmod(folder / "d" / "three", 0o751)
    _make_archives(folder)
    base = engine.folder / "home" / "base.tar"
    if podman("image", "exists", "docker.io/library/busybox:latest", check=None).status != 0:
        engine.rl("save", "-o", str(base), "busybox")
        podman("load", "-i", str(base))
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
        os.chown(path, USER.pw_uid, USER.pw_gid, follow_symlinks=False)
    dockerfile = engine.folder / "Dockerfile"
    dockerfile.write_text(lines.format(base="docker.io/library/busybox:latest"))
    their_config, theirs = build_with_buildah(podman, folder, "-f", str(dockerfile), *options)
    engine.rl("build", "--network", "none", *options, "-f", str(dockerfile), "-t", "app", str(folder))
    engine.rl("push", "app", f"dir:{engine.folder}/home/layout")
    our_config, ours = read_image(engine.folder / "home" / "layout")
    assert shown(ours) == shown(theirs)
    assert meaning(our_config) == meaning(their_config)


def _make_archives(folder: Path) -> None:
    for name, mode in (("archive.tar", "w"), ("packed.tar.gz", "w:gz")):
        with tarfile.open(folder / name, mode) as tar:  # type: ignore[call-overload]
            for inner, kind in (("in", tarfile.DIRTYPE), ("in/file", tarfile.REGTYPE), ("in/link", tarfile.SYMTYPE)):
                member = tarfile.TarInfo(inner)
                member.type, member.uid, member.gid, member.mode, member.mtime = kind, 11, 12, 0o750, 900_000_000
                member.linkname = "file" if kind == tarfile.SYMTYPE else ""
                tar.addfile(member)


def shown(files: dict[str, File]) -> dict[str, File]:
    """Return the files without what the engines themselves put there, and without the times of what steps have made."""
    found = {}
    for path, file in files.items():
        if path.split("/")[0] in _ENGINES_OWN[:4] or path in _ENGINES_OWN:
            continue
        mtime = file.mtime if file.mtime in (1_000_000_000, 900_000_000) else 0
        found[path] = file._replace(mtime=mtime)
    return found


def meaning(config: dict[str, Any]) -> dict[str, Any]:
    settings = {key: value for key, value in config["config"].items() if value and key not in ("Hostname", "Image")}
    settings["Labels"] = {key: value for key, value in settings.get("Labels", {}).items() if not key.startswith("io.buildah")}
    return {"config": settings, "os": config["os"], "architecture": config["architecture"], "author": config.get("author", "")}


@pytest.mark.parametrize("name", CASES)
def test_an_image_is_what_buildah_makes(engine: Engine, podman: Podman, name: str) -> None:
    lines = "FROM {base}\n" + "\n".join(line.replace("{", "{{").replace("}", "}}") for line in CASES[name]) + "\n"
    compare(engine, podman, lines, ["--build-arg", "GIVEN=yes"] if name == "args" else [])


def test_stages_are_what_buildah_makes(engine: Engine, podman: Podman) -> None:
    compare(engine, podman, _STAGES, [])
