"""Files by HTTP for ADD and for contexts."""

import email.utils
import hashlib
import os
import posixpath
import re
import ssl
from typing import Final
from urllib.parse import unquote, urlsplit

from rootless.errors import InvalidInput, RlError

_BLOCK: Final = 1 << 20
_SECONDS: Final = 60.0  # without a byte
_CHECKSUM: Final = re.compile(r"(sha256|sha384|sha512):([0-9a-f]+)")
_DIGITS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}


def is_url(text: str) -> bool:
    """Tell whether a source is a file to download."""
    return text.startswith(("http://", "https://"))


def check_checksum(text: str) -> None:
    """Raise `InvalidInput` for what is no checksum."""
    match = _CHECKSUM.fullmatch(text)
    if match is None or len(match[2]) != _DIGITS[match[1]]:
        raise InvalidInput(f"invalid checksum digest format: {text:.200}", "--checksum=sha256:… with 64 hexadecimal digits")


def download(url: str, folder: str, checksum: str = "") -> str:
    """Write what a URL gives to a file in `folder`, mode 0600, with the server's time; return its name.

    Raises `RlError` where the server refuses or the content does not have the `checksum`.
    """
    import httpx  # 0.2 s, and for a URL only

    summed = hashlib.new(checksum.partition(":")[0] or "sha256")
    try:
        with (
            httpx.Client(verify=ssl.create_default_context(), follow_redirects=True, timeout=_SECONDS) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise RlError(f"cannot download {url}: the server's answer is {response.status_code} {response.reason_phrase}")
            name = _name_of(url, response.headers.get("Content-Disposition", ""))
            path = f"{folder}/{name}"
            with open(path, "xb", opener=_private) as file:
                for block in response.iter_raw(_BLOCK):
                    summed.update(block)
                    file.write(block)
            _set_time(path, response.headers.get("Last-Modified", ""))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RlError(f"cannot download {url}: {error or type(error).__name__}", "check the address and the network") from error
    if checksum and checksum.partition(":")[2] != summed.hexdigest():
        os.unlink(path)
        found = f"{checksum.partition(':')[0]}:{summed.hexdigest()}"
        text = f"digest mismatch for {url}: got {found}, expected {checksum}"
        raise RlError(text, "the file is another one than that of --checksum")
    return name


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _name_of(url: str, disposition: str) -> str:
    """Return the name that a file gets: what the server says, or the last part of the URL."""
    match = re.search(r'filename="?([^";]+)"?', disposition)
    names = [match[1] if match else "", unquote(posixpath.basename(urlsplit(url).path))]
    for name in names:
        if name and name not in (".", "..") and "/" not in name and "\0" not in name:
            return name
    return "index.html" if not urlsplit(url).path.strip("/") else "download"


def _set_time(path: str, text: str) -> None:
    """Give the file the time that the server says, if it says one."""
    try:
        seconds = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return
    os.utime(path, (seconds, seconds))


