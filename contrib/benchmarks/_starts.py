"""How many programs, interpreters among them, and forks an operation takes, counted with strace."""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from _peers import Engine

_EXECUTED = re.compile(r'^\d+ +execve\("([^"]*)".*\) = 0$', re.MULTILINE)
_FORKED = re.compile(r"^\d+ +(?:<\.\.\. )?(?:v?fork|clone3?)\b(.*) = \d+$", re.MULTILINE)
_RESUMED = re.compile(r"^(\d+) +<\.\.\. execve resumed>.*= 0$", re.MULTILINE)


class Starts(NamedTuple):
    """How many of each an operation took."""

    interpreters: int
    programs: Counter[str]
    forks: int


def count_starts(engine: Engine, *arguments: str) -> Starts:
    """Run a command of the engine under strace and count; only as root: set-ID programs do not work below a user's strace."""
    with tempfile.NamedTemporaryFile("r", prefix="rl-strace-") as trace:
        calls = "execve,clone,clone3,fork,vfork"
        wrapper = ("strace", "-f", "-qq", "-s", "4096", "-e", f"trace={calls}", "-e", "signal=none", "-o", trace.name)
        engine(*arguments, wrapper=(*wrapper, "-u", engine.user))
        text = trace.read()
    programs = Counter(os.path.basename(path) for path in _executed(text))
    threads = sum("CLONE_THREAD" in match for match in _FORKED.findall(text))
    interpreters = sum(count for name, count in programs.items() if name == "rl" or name.startswith("python"))
    return Starts(interpreters, programs, len(_FORKED.findall(text)) - threads)


def _executed(text: str) -> Iterator[str]:
    """Yield the path of every execve that succeeded, also of those that strace split in two lines."""
    yield from _EXECUTED.findall(text)
    for match in _RESUMED.finditer(text):
        begun = re.findall(rf'^{match[1]} +execve\("([^"]*)".*<unfinished', text[: match.start()], re.MULTILINE)
        yield begun[-1]
