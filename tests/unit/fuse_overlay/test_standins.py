"""What the server imports: a second interpreter tells."""

import subprocess
import sys

IMPORT = "import fuse_overlay.operations, fuse_overlay.session, sys; print(*sorted(sys.modules))"


def test_neither_trio_nor_importlib_metadata_is_imported() -> None:
    done = subprocess.run([sys.executable, "-I", "-c", IMPORT], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pyfuse3" in loaded
    assert not loaded & {"trio", "importlib.metadata", "asyncio", "ctypes", "rootless", "cli", "slirp_net"}
