"""`python -I -m slirp_net CONTROL_FD`: serve a container's network until the engine says stop, or ends."""

from __future__ import annotations

import os
import sys

from slirp_net.service import serve


def main(arguments: list[str]) -> int:
    """Run the program and return its exit status."""
    if len(arguments) != 1 or not arguments[0].isdecimal():
        sys.stderr.write("usage: python -I -m slirp_net CONTROL_FD\n")
        return 2
    serve(int(arguments[0]))
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    # Nothing is left to clean up that the kernel does not; the interpreter's own way out costs 10 ms.
    os._exit(status)
