"""The embedded default image: `busybox` from a static binary, such as Debian's busybox-static has; no registry is needed.

    python -m rootless.images.busybox /bin/busybox

The same binary gives the same image: all times are fixed.
"""

import io
import os
import subprocess
import sys
import tarfile
from typing import Final

from rootless.errors import InvalidInput, RlError, os_error_text
from rootless.images.import_tar import import_tar
from rootless.images.store import Image
from rootless.locations import Locations, from_environment

NAME: Final = "docker.io/library/busybox:latest"
_EPOCH: Final = 0
_CREATED: Final = "1970-01-01T00:00:00Z"
_MAX_BINARY: Final = 64 << 20
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHANGES: Final = ('CMD ["sh"]', f"ENV PATH={_PATH}")

_FOLDERS: Final = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "lib": 0o755, "mnt": 0o755, "opt": 0o755, "proc": 0o555,
    "root": 0o700, "run": 0o755, "sbin": 0o755, "sys": 0o555, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755,
    "usr/local": 0o755, "usr/local/bin": 0o755, "usr/sbin": 0o755, "var": 0o755, "var/log": 0o755, "var/spool": 0o755,
    "var/spool/mail": 0o755, "var/tmp": 0o1777, "var/www": 0o755,
}  # fmt: skip
_FILES: Final = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "bin:x:2:2:bin:/bin:/bin/false\n"
        "www-data:x:33:33:www-data:/var/www:/bin/false\n"
        "nobody:x:65534:65534:nobody:/home:/bin/false\n"
    ),
    "etc/group": "root:x:0:\ndaemon:x:1:\nbin:x:2:\ntty:x:5:\nwheel:x:10:root\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:::::::\ndaemon:*:::::::\nbin:*:::::::\nwww-data:*:::::::\nnobody:*:::::::\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_MODES: Final = {"etc/shadow": 0o600}


def install(locations: Locations, binary: str, name: str = NAME) -> Image:
    """Make the image from the static busybox at `binary` and return it; nothing changes where it is there already.

    The caller is single-threaded. Raises `InvalidInput` when the file is not a busybox that runs here, and what
    `import_tar` raises.
    """
    with open(binary, "rb") as file:
        content = file.read(_MAX_BINARY)
    archive = root_file_system(content, applets_of(binary))
    return import_tar(locations, io.BytesIO(archive), name, changes=_CHANGES, message="a static busybox", created=_CREATED)


def applets_of(binary: str) -> list[str]:
    """Return the paths (`bin/ls`, …) of a busybox's applets, sorted, by running `busybox --list-full`."""
    try:
        listing = subprocess.run([os.path.abspath(binary), "--list-full"], capture_output=True, check=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise InvalidInput(f"{binary} is not a busybox that runs here: {error}", "apt install busybox-static") from error
    return sorted({line for line in listing.stdout.splitlines() if line and ".." not in line and not line.startswith("/")})


def root_file_system(binary: bytes, applets: list[str]) -> bytes:
    """Return the tar of the root file system: the binary with a hard link an applet, folders, passwd and group."""
    output = io.BytesIO()
    folders = {**_FOLDERS, **{parent: 0o755 for applet in applets if (parent := os.path.dirname(applet)) not in _FOLDERS}}
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder, mode in sorted({"./": 0o755, **folders}.items()):
            archive.addfile(_member(folder, mode, tarfile.DIRTYPE))
        _add_file(archive, "bin/busybox", binary, 0o755)
        for applet in applets:
            if applet != "bin/busybox":
                link = _member(applet, 0o755, tarfile.LNKTYPE)
                link.linkname = "bin/busybox"
                archive.addfile(link)
        for path, text in _FILES.items():
            _add_file(archive, path, text.encode(), _MODES.get(path, 0o644))
    return output.getvalue()


def _add_file(archive: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    member = _member(path, mode, tarfile.REGTYPE)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _member(path: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mode, member.type, member.mtime = mode, kind, _EPOCH
    return member


def main() -> int:
    """Install the image from the binary named on the command line, and print its ID."""
    if len(sys.argv) != 2:
        print("usage: python -m rootless.images.busybox PATH", file=sys.stderr)  # noqa: T201
        return 2
    try:
        image = install(from_environment(os.environ, os.geteuid()), sys.argv[1])
    except RlError as error:
        print(f"busybox: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)  # noqa: T201
        return error.exit_status
    except OSError as error:
        print(f"busybox: {os_error_text(error)}", file=sys.stderr)  # noqa: T201
        return 1
    print(image.id)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
