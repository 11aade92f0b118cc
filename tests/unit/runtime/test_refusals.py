"""What the kernel's refusal to execute a command means."""

import errno

import pytest

from rootless.errors import CANNOT_INVOKE, ENGINE_ERROR, InvalidInput, RlError
from rootless.runtime import users
from rootless.runtime.process import refused


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.EACCES, CANNOT_INVOKE),
        (errno.ENOEXEC, CANNOT_INVOKE),
        (errno.ENOTCONN, ENGINE_ERROR),
        (errno.ECONNABORTED, ENGINE_ERROR),
    ],
)
def test_the_end_of_the_root_s_server_is_no_fault_of_the_command(number: int, status: int) -> None:
    error = refused(OSError(number, "text"), 'exec: "x": text')
    assert error.exit_status == status
    assert error.message.startswith('exec: "x": text')


@pytest.mark.parametrize(("number", "kind"), [(errno.ECONNABORTED, RlError), (errno.EIO, InvalidInput)])
def test_nor_is_it_one_of_the_image_s(monkeypatch: pytest.MonkeyPatch, number: int, kind: type[RlError]) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(number, "text")

    monkeypatch.setattr(users, "open_in_root", refuse)
    with pytest.raises(RlError, match="cannot read the image's /etc/passwd") as caught:
        users.resolve(0, "name")
    assert type(caught.value) is kind
