"""An image of Debian with perl, python3 and gcc in six layers, made by mmdebstrap and umoci once and kept in a cache folder.

One mmdebstrap run: after the base system, hooks install one group of packages after the other and keep the tree as a tar; umoci
turns each difference into a layer. Skopeo then makes the copy with zstd layers.
"""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

TAG: Final = "bench"
SUITE: Final = "bookworm"
GROUPS: Final = (("perl", "make", "patch"), ("python3",), ("gcc", "libc6-dev"), ("git",), ("ca-certificates", "less", "vim-tiny"))
# mmdebstrap has /proc, /sys and devices mounted there while hooks run.
_LEFT_OUT: Final = ("./proc/*", "./sys/*", "./dev/*", "./var/lib/apt/lists/*", "./var/cache/apt/*", "./var/log/*")
_TAR: Final = f"tar --numeric-owner --xattrs --one-file-system {' '.join(f'--exclude={path}' for path in _LEFT_OUT)}"
_APT: Final = "apt-get -q -y -o APT::Install-Recommends=false -o Acquire::Languages=none install"
_RECIPE: Final = 1  # counts up when the steps below change


def layouts() -> dict[str, Path]:
    """Return the OCI layouts of the image by their layers' compression ("gzip", "zstd"); everybody can read them."""
    usual = Path("/var/cache/rl-tests") if os.getuid() == 0 else Path.home() / ".cache" / "rl-tests"
    cache = Path(os.environ.get("RL_TEST_CACHE") or usual)
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(repr((GROUPS, SUITE, _RECIPE)).encode()).hexdigest()
    made = cache / f"bench-{digest[:12]}"
    if not made.exists():
        work = cache / f"bench-{os.getpid()}.partial"
        _as_container_root(f"rm -rf {work}")
        work.mkdir()
        _make(work)
        (work / "image").rename(made)
        _as_container_root(f"rm -rf {work}")
    return {"gzip": made / "gzip", "zstd": made / "zstd"}


def _make(work: Path) -> None:
    image = work / "image"
    image.mkdir()
    # mmdebstrap makes its own user namespace, so it is not run below `unshare`.
    mode = "--mode=root" if os.getuid() == 0 else "--mode=unshare"
    hooks = [_kept_as(f"{work}/0.tar")]
    for number, packages in enumerate(GROUPS, 1):
        hooks.append(f'--customize-hook=chroot "$1" {_APT} {" ".join(packages)}')
        hooks.append(_kept_as(f"{work}/{number}.tar"))
    command = ["mmdebstrap", "--quiet", mode, "--variant=minbase", *hooks, SUITE, "/dev/null", *_sources_of_this_node()]
    subprocess.run(command, check=True, timeout=900)
    _as_container_root(_layers(work))
    copy = ["skopeo", "copy", "-q", "--dest-compress-format", "zstd", f"oci:{image}/gzip:{TAG}", f"dir:{work}/zstd"]
    subprocess.run(copy, check=True)
    subprocess.run(["skopeo", "copy", "-q", f"dir:{work}/zstd", f"oci:{image}/zstd:{TAG}"], check=True)
    subprocess.run(["chmod", "-R", "a+rX", str(image)], check=True)


def _kept_as(path: str) -> str:
    """Return the option that keeps the tree as a tar. tar ends with 1 where /sys, mounted there, changes as it looks."""
    return f'--customize-hook={_TAR} -C "$1" -cf {path} . || [ $? -eq 1 ]'


def _layers(work: Path) -> str:
    """Return the script that makes a layer of each difference between the trees."""
    layout = work / "image" / "gzip"
    steps = [f"umoci init --layout {layout}", f"umoci new --image {layout}:{TAG}"]
    for number in range(len(GROUPS) + 1):
        bundle = work / f"bundle-{number}"
        steps += [
            f"umoci unpack --image {layout}:{TAG} {bundle}",
            f"find {bundle}/rootfs -mindepth 1 -delete",
            f"tar --numeric-owner --xattrs -C {bundle}/rootfs -xf {work}/{number}.tar",
            f"umoci repack --image {layout}:{TAG} {bundle}",
            f"rm -rf {bundle}",
        ]
    return " && ".join([*steps, f"umoci gc --layout {layout}"])


def _as_container_root(script: str) -> None:
    wrapper = [] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--map-auto"]
    subprocess.run([*wrapper, "sh", "-c", script], check=True, stdout=subprocess.DEVNULL)


def _sources_of_this_node() -> list[str]:
    """Return apt's source lists here, as a node that reaches only a mirror of its own names it there."""
    folder = Path("/etc/apt")
    candidates = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    candidates += sorted((folder / "sources.list.d").glob("*.sources"))
    return [str(path) for path in candidates if path.is_file() and path.stat().st_size]


