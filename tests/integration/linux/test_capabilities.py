"""Capability sets in a user namespace of one's own, where a normal user has them all."""

import errno
import os
from collections.abc import Callable
from typing import Any

from rootless.linux import capabilities
from rootless.linux.libc import call

InChild = Callable[[Callable[[], Any]], Any]

CLONE_NEWUSER = 0x10000000
NET_RAW, CHOWN, SETPCAP = (1 << capabilities.NUMBERS[name] for name in ("CAP_NET_RAW", "CAP_CHOWN", "CAP_SETPCAP"))


def test_all_five_sets(in_child: InChild) -> None:
    def body() -> list[int]:
        call("unshare", CLONE_NEWUSER)
        last = capabilities.last_capability()
        everything = capabilities.get().permitted
        assert everything == (1 << last + 1) - 1
        capabilities.limit_bounding(NET_RAW | CHOWN)
        capabilities.set_process(NET_RAW, NET_RAW | CHOWN, NET_RAW)
        capabilities.set_ambient(NET_RAW)
        return [*capabilities.get(), capabilities.bounding(last), capabilities.ambient(last)]

    assert in_child(body) == [NET_RAW, NET_RAW | CHOWN, NET_RAW, NET_RAW | CHOWN, NET_RAW]


def test_more_than_permitted_is_refused(in_child: InChild) -> None:
    def body() -> list[int | None]:
        errors: list[int | None] = []
        for attempt in (
            lambda: capabilities.set_process(CHOWN, CHOWN, 0),
            lambda: capabilities.limit_bounding(0),
            lambda: capabilities.set_ambient(CHOWN),
        ):
            try:
                attempt()
                errors.append(None)
            except OSError as error:
                errors.append(error.errno)
        return errors

    assert in_child(body) == [errno.EPERM] * 3


def test_an_empty_bounding_set_needs_no_privilege_to_stay(in_child: InChild) -> None:
    def body() -> tuple[int, int]:
        call("unshare", CLONE_NEWUSER)
        last = capabilities.last_capability()
        capabilities.limit_bounding(0)
        capabilities.set_process(0, 0, 0)
        capabilities.limit_bounding(0)
        return capabilities.bounding(last), os.getpid()

    assert in_child(body)[0] == 0
