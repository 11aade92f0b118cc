"""What the server imports: a second interpreter tells."""

import subprocess
import sys

IMPORT = "import fuse_overlay.operations, fuse_overlay.session, sys; print(*sorted(sys.modules))"


def test_what_pyfuse3_needs_only_by_name_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-I", "-c", IMPORT], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pyfuse3" in loaded
    assert not loaded & {"trio", "importlib.metadata", "logging", "pickle", "asyncio", "ctypes", "rootless", "cli", "slirp_net"}
