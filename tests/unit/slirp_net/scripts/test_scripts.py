"""Plays the packet scripts of the folders beside this file; `lines` tells how they are written."""

from pathlib import Path

import pytest

from tests.unit.slirp_net.scripts.ip_actor import IpActor
from tests.unit.slirp_net.scripts.lines import play
from tests.unit.slirp_net.scripts.tcp_actor import TcpActor

_HERE = Path(__file__).parent
_INITIAL = [(1000, 5000), (0xFFFFFFFF, 0xFFFFFF00), (0x7FFFFC00, 0x80000000)]


def _scripts_of(folder: str) -> list[Path]:
    return sorted((_HERE / folder).glob("*.script"))


@pytest.mark.parametrize("initial", _INITIAL, ids=["plain", "wrapping", "halfway"])
@pytest.mark.parametrize("path", _scripts_of("tcp"), ids=lambda path: path.stem)
def test_tcp(path: Path, initial: tuple[int, int]) -> None:
    play(path, TcpActor(*initial))


@pytest.mark.parametrize("path", [*_scripts_of("ip"), *_scripts_of("udp")], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_ip(path: Path) -> None:
    actor = IpActor(transports=path.parent.name == "udp")
    try:
        play(path, actor)
    finally:
        actor.close()


def test_there_are_as_many_as_there_were() -> None:
    """Scripts that are not found pass as easily as those that are."""
    assert len(list(_HERE.rglob("*.script"))) >= 120
