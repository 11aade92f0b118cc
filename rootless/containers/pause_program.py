"""The program of a pod's infra container: nine bytes of code in an ELF file that wait for a signal (pause(2)), again and again.

It is executed, as any command below `--init`, so that who joins its namespaces can open them: our own init is closed to everybody.
"""

import os
import struct
from typing import Final

from rootless.errors import NodeLacks

COMMAND: Final = "/pause"
_BASE: Final = 0x400000
_HEADERS: Final = 64 + 56  # bytes of the ELF header and of one program header
_CODE: Final = b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"  # mov eax, SYS_pause; syscall; jmp to the first
_X86_64: Final = 62  # EM_X86_64


def program() -> bytes:
    """Return the file (elf(5)): one segment, readable and executable, with all of it."""
    size = _HEADERS + len(_CODE)
    fields = (2, _X86_64, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000) + _CODE


def provide(upper: str) -> None:
    """Put the program into the root of an infra container. Raises `NodeLacks` on another processor than x86-64."""
    if os.uname().machine != "x86_64":
        raise NodeLacks(f"pods are made for x86-64 only, and this is {os.uname().machine}", "use --network container:NAME")
    path = f"{upper}{COMMAND}"
    if os.path.exists(path):
        return
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(program())
    os.chmod(temporary, 0o755)  # noqa: S103 - all users of the container may execute it
    os.rename(temporary, path)
