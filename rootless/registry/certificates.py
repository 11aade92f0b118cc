"""TLS for registries: the system's authorities, and those and client certificates in certs.d (containers-certs.d(5)).

    …/certs.d/HOST[:PORT]/NAME.crt     one more authority
    …/certs.d/HOST[:PORT]/NAME.cert    a client certificate, with NAME.key

under /etc/docker, /etc/containers, ~/.docker and ~/.config/containers.
"""

import os
import ssl
from collections.abc import Mapping

from rootless.errors import InvalidInput


def context_for(host: str, insecure: bool, environ: Mapping[str, str], etc: str = "/etc") -> ssl.SSLContext:
    """Return the TLS settings for `host` (`NAME[:PORT]`). Raises `InvalidInput` that names an unusable certificate."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for folder in folders(host, environ, etc):
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            _load(context, folder, name)
    return context


def folders(host: str, environ: Mapping[str, str], etc: str = "/etc") -> list[str]:
    """Return the folders with certificates for a host, the user's last."""
    home = environ.get("HOME") or os.path.expanduser("~")
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    parents = (f"{etc}/docker", f"{etc}/containers", f"{home}/.docker", f"{config}/containers")
    return [f"{parent}/certs.d/{host}" for parent in parents]


def _load(context: ssl.SSLContext, folder: str, name: str) -> None:
    path = f"{folder}/{name}"
    stem, _, kind = path.rpartition(".")
    try:
        if kind == "crt":
            context.load_verify_locations(path)
        elif kind == "cert":
            context.load_cert_chain(path, f"{stem}.key")
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"cannot use the certificate {path}: {error}", "a NAME.cert needs its NAME.key beside it") from error
