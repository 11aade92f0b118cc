"""The choice of the storage driver: the first that a real probe finds working, unless the user names one (DESIGN section 4).

The verdict of the probes holds for one boot of one node and one data root, and is kept in `storage-driver.json` there.
"""

import contextlib
import importlib
import json
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from rootless.errors import InvalidInput
from rootless.linux.process import boot_id
from rootless.locations import Locations

DRIVERS: Final = ("overlay", "fuse", "vfs")

_VERDICT_FILE = "storage-driver.json"


def load(name: str) -> ModuleType:
    """Import and return the module of one driver: a `StorageDriver`."""
    return importlib.import_module(f"rootless.storage.{name}")


def choose(locations: Locations, environ: Mapping[str, str]) -> str:
    """Return the driver's name: what RL_STORAGE_DRIVER asks for, else the first of overlay, fuse and vfs that works here."""
    wanted = environ.get("RL_STORAGE_DRIVER")
    if wanted:
        if wanted not in DRIVERS:
            raise InvalidInput(f"unknown storage driver: {wanted}", f"choose one of {', '.join(DRIVERS)}")
        return wanted
    key = f"{os.uname().nodename} {boot_id()}"
    path = f"{locations.data_root}/{_VERDICT_FILE}"
    with contextlib.suppress(FileNotFoundError, ValueError):
        with open(path, "rb") as file:
            verdict = json.loads(file.read())
        if verdict.get("key") == key and verdict.get("driver") in DRIVERS:
            return str(verdict["driver"])
    from rootless.storage.driver_probes import probe_all  # once a boot

    reasons = probe_all(locations)
    driver = next(name for name, reason in reasons.items() if reason is None)
    _write_verdict(path, {"key": key, "driver": driver, "reasons": reasons})
    return driver


def _write_verdict(path: str, verdict: dict[str, Any]) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(verdict, file)
    os.rename(temporary, path)
