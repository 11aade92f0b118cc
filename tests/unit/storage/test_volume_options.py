"""What the options of a volume mean, and which a user cannot have."""

import pytest

from rootless.errors import InvalidInput
from rootless.storage.volume_options import BIND, FOLDER, TMPFS, VolumeSource, parse_options


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({}, VolumeSource(FOLDER, "", ())),
        ({"type": "none", "o": "bind", "device": "/x"}, VolumeSource(BIND, "/x", ("bind",))),
        ({"o": "rbind,ro", "device": "/x"}, VolumeSource(BIND, "/x", ("rbind", "ro"))),
        (
            {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=5,noexec"},
            VolumeSource(TMPFS, "tmpfs", ("size=1m", "uid=5", "noexec")),
        ),
    ],
)
def test_options(options: dict[str, str], source: VolumeSource) -> None:
    assert parse_options(options) == source


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"odd": "1"}, 'invalid option: "odd"'),
        ({"size": "1g"}, "project quotas"),
        ({"type": "nfs", "o": "addr=1.2.3.4", "device": ":/x"}, 'type "nfs" cannot be mounted by a user'),
        ({"type": "none", "device": "/x"}, "must be a bind"),
        ({"type": "none", "o": "bind", "device": "x"}, "absolute path"),
        ({"type": "none", "o": "bind,size=1m", "device": "/x"}, 'invalid option of a bind volume: "size=1m"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"type": "tmpfs", "device": "tmpfs", "o": "lowerdir=/"}, 'invalid option of a tmpfs volume: "lowerdir=/"'),
    ],
)
def test_refused_options(options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_options(options)
    assert words in caught.value.message
