import os
from collections.abc import Iterator

import pytest

from rootless.errors import InvalidInput
from rootless.runtime import users
from rootless.runtime.users import ContainerUser, resolve

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
# comment:x:9:9::/:
www:x:33:33:www:/var/www:/bin/sh
www:x:34:34:twice:/:/bin/sh
1000:x:77:77:a name that is a number:/n:/bin/sh
mail:x:8:12::relative:/bin/sh
negative:x:-1:5::/:/bin/sh
huge:x:4294967296:5::/:/bin/sh
words:x:zero:5::/:/bin/sh
short:x:6
nul\0:x:7:7::/:/bin/sh
\xff\xfe:x:44:44::/\xff:/bin/sh
"""
GROUP = b"""root:x:0:
www:x:33:
audio:x:29:www,root
video:x:44:www
video:x:45:
broken:x:y:www
minus:x:-5:www
"""


class Root:
    def __init__(self, path: str) -> None:
        self.path = path
        os.mkdir(f"{path}/etc")
        self.descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY)

    def write(self, passwd: bytes | None, group: bytes | None) -> None:
        for name, content in (("passwd", passwd), ("group", group)):
            if content is not None:
                with open(f"{self.path}/etc/{name}", "wb") as file:
                    file.write(content)


@pytest.fixture
def root(tmp_path: object) -> Iterator[Root]:
    made = Root(str(tmp_path))
    yield made
    os.close(made.descriptor)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", ContainerUser(0, 0, (0, 29), "/root")),
        ("0", ContainerUser(0, 0, (0, 29), "/root")),
        ("root", ContainerUser(0, 0, (0, 29), "/root")),
        ("www", ContainerUser(33, 33, (33, 29, 44), "/var/www")),
        ("33", ContainerUser(33, 33, (33, 29, 44), "/var/www")),
        ("www:", ContainerUser(33, 33, (33, 29, 44), "/var/www")),
        ("www:video", ContainerUser(33, 44, (44,), "/var/www")),
        ("www:7", ContainerUser(33, 7, (7,), "/var/www")),
        ("1000", ContainerUser(1000, 0, (0,), "/")),
        ("1000:audio", ContainerUser(1000, 29, (29,), "/")),
        (":29", ContainerUser(0, 29, (29,), "/root")),
        ("mail", ContainerUser(8, 12, (12,), "/")),
        ("2147483647:2147483647", ContainerUser(2147483647, 2147483647, (2147483647,), "/")),
        (os.fsdecode(b"\xff\xfe"), ContainerUser(44, 44, (44,), os.fsdecode(b"/\xff"))),
    ],
)
def test_users_as_in_docker(root: Root, user: str, expected: ContainerUser) -> None:
    root.write(PASSWD, GROUP)
    assert resolve(root.descriptor, user) == expected


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("foo", "unable to find user foo: no matching entries in passwd file"),
        ("short", "unable to find user short: no matching"),
        ("negative", "unable to find user negative"),
        ("words", "unable to find user words"),
        ("huge", "unable to find user huge"),
        ("nul", "unable to find user nul"),
        ("1_0", "unable to find user 1_0"),
        ("root:foo", "unable to find group foo: no matching entries in group file"),
        ("root:broken", "unable to find group broken"),
        ("root:minus", "unable to find group minus"),
        ("root:audio:video", "unable to find group audio:video"),
        ("-1", "uids and gids must be in range 0-2147483647"),
        ("2147483648", "uids and gids must be in range"),
        ("0:-1", "uids and gids must be in range"),
    ],
)
def test_unknown_users(root: Root, user: str, message: str) -> None:
    root.write(PASSWD, GROUP)
    with pytest.raises(InvalidInput) as caught:
        resolve(root.descriptor, user)
    assert message in caught.value.message
    assert caught.value.exit_status == 125


def test_without_the_files_numbers_work(root: Root) -> None:
    assert resolve(root.descriptor, "") == ContainerUser(0, 0, (0,), "/")
    assert resolve(root.descriptor, "5:6", ["7"]) == ContainerUser(5, 6, (6, 7), "/")
    with pytest.raises(InvalidInput, match="unable to find user root"):
        resolve(root.descriptor, "root")


def test_group_add(root: Root) -> None:
    root.write(PASSWD, GROUP)
    assert resolve(root.descriptor, "www:root", ["audio", "99", "root"]).additional_gids == (0, 29, 99)
    with pytest.raises(InvalidInput, match="unable to find group foo"):
        resolve(root.descriptor, "", ["foo"])


def test_links_stay_in_the_root(root: Root, tmp_path: object) -> None:
    with open(f"{root.path}/real", "wb") as file:
        file.write(b"me:x:5:5::/me:/bin/sh\n")
    os.symlink("/real", f"{root.path}/etc/passwd")
    os.symlink("../../../../../../etc/group", f"{root.path}/etc/group")  # the loop of a link to itself, not the host's file
    assert resolve(root.descriptor, "me:5").home == "/me"
    with pytest.raises(InvalidInput, match="cannot read the image's /etc/group"):
        resolve(root.descriptor, "me:daemon")


def test_odd_files_are_refused(root: Root) -> None:
    os.mkfifo(f"{root.path}/etc/passwd")
    os.mkdir(f"{root.path}/etc/group")
    with pytest.raises(InvalidInput, match="not a regular file"):
        resolve(root.descriptor, "")
    os.unlink(f"{root.path}/etc/passwd")
    with pytest.raises(InvalidInput, match="not a regular file"):
        resolve(root.descriptor, "0:x")


def test_huge_files_are_refused_and_huge_lines_are_not(root: Root) -> None:
    root.write(b"x" * (users.MAX_FILE - 20) + b"\nme:x:5:5::/:/\n", b"")
    assert resolve(root.descriptor, "me").uid == 5
    with open(f"{root.path}/etc/passwd", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidInput, match="more than 8 MiB"):
        resolve(root.descriptor, "me")


def test_too_many_groups_are_refused(root: Root) -> None:
    root.write(b"me:x:5:5::/:/\n", b"".join(b"g:x:%d:me\n" % number for number in range(70000)))
    with pytest.raises(InvalidInput, match="65536 are possible"):
        resolve(root.descriptor, "me")
    assert resolve(root.descriptor, "me:5").additional_gids == (5,)


def test_a_huge_number_in_text_is_quick(root: Root) -> None:
    root.write(b"me:x:" + b"9" * 1_000_000 + b":5::/:/\n", b"")
    with pytest.raises(InvalidInput, match="unable to find user me"):
        resolve(root.descriptor, "me")
