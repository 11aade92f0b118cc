"""A Debian root file system as a tar, made by mmdebstrap once and kept in a cache folder named by its recipe."""

import hashlib
import os
import subprocess
from pathlib import Path

RECIPE = ("--variant=minbase", "--include=perl,ca-certificates", "--aptopt=Acquire::Languages none")
SUITE = "bookworm"


def root_filesystem() -> Path:
    """Return the path of the tar, which everybody can read."""
    cache = _cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(repr((RECIPE, SUITE)).encode()).hexdigest()
    made = cache / f"debian-{digest[:12]}.tar"
    if not made.exists():
        partial = made.with_suffix(f".{os.getpid()}.partial.tar")
        mode = "--mode=root" if os.getuid() == 0 else "--mode=unshare"
        command = ["mmdebstrap", "--quiet", mode, *RECIPE, SUITE, str(partial), *_sources_of_this_node()]
        subprocess.run(command, check=True, timeout=600)
        partial.chmod(0o644)
        partial.rename(made)
    return made


def _cache_folder() -> Path:
    """Return a folder that nobody else can have prepared; root's home is closed to the user who reads the tar."""
    given = os.environ.get("RL_TEST_CACHE")
    if given:
        return Path(given)
    return Path("/var/cache/rl-tests") if os.getuid() == 0 else Path.home() / ".cache" / "rl-tests"


def _sources_of_this_node() -> list[str]:
    """Return apt's source lists here: a node that reaches only a mirror of its own names it there (none: Debian's default)."""
    folder = Path("/etc/apt")
    candidates = [
        folder / "sources.list",
        *sorted((folder / "sources.list.d").glob("*.list")),
        *sorted((folder / "sources.list.d").glob("*.sources")),
    ]
    return [str(path) for path in candidates if path.is_file() and path.stat().st_size]
