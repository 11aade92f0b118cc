"""A Debian root file system as a tar, made by mmdebstrap once and kept in a cache folder named by its recipe."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

RECIPE = ("--variant=minbase", "--include=perl,ca-certificates", "--aptopt=Acquire::Languages none", "bookworm")


def root_filesystem() -> Path:
    """Return the path of the tar, which everybody can read."""
    cache = Path(os.environ.get("RL_TEST_CACHE") or Path(tempfile.gettempdir()) / f"rl-test-cache-{os.getuid()}")
    cache.mkdir(parents=True, exist_ok=True)
    cache.chmod(0o755)
    made = cache / f"debian-{hashlib.sha256(repr(RECIPE).encode()).hexdigest()[:12]}.tar"
    if not made.exists():
        partial = made.with_suffix(f".{os.getpid()}.partial.tar")
        mode = "--mode=root" if os.getuid() == 0 else "--mode=unshare"
        options, suite = RECIPE[:-1], RECIPE[-1]
        subprocess.run(["mmdebstrap", "--quiet", mode, *options, suite, str(partial)], check=True, timeout=600)
        partial.chmod(0o644)
        partial.rename(made)
    return made
