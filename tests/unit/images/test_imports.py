"""What `rl run` imports of images stays cheap (DESIGN section 9)."""

import subprocess
import sys

FORBIDDEN = (
    *("asyncio", "dataclasses", "h11", "httpx", "isal", "logging", "rich", "ssl"),
    *("subprocess", "tarfile", "tomllib", "trio", "zstandard"),
)


def modules_after(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split())


def test_finding_an_image_imports_nothing_dear() -> None:
    assert not modules_after("import rootless.images.store, rootless.images.layers") & set(FORBIDDEN)


def test_a_pull_s_network_is_imported_after_its_fork() -> None:
    assert not modules_after("import rootless.images.pull") & {"httpx", "ssl", "trio", "tomllib"}


def test_the_library_s_names_cost_nothing_before_their_use() -> None:
    assert not modules_after("import rootless.images; rootless.images.Images") & {"httpx", "ssl", "trio", "isal", "zstandard"}
    assert "rootless.images.library" not in modules_after("import rootless.images, rootless.images.store")


def test_listing_images_imports_nothing_dear() -> None:
    assert not modules_after("import cli.program, cli.commands.images") & set(FORBIDDEN)
