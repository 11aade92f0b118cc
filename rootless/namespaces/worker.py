"""Short-lived workers in the parent namespace P: functions that touch files of subordinate IDs run there.

Unpacking, removing, copying and probing need P's root. The function runs in a fork, so it may use everything that the caller has in
memory and all its descriptors; its result or its error comes back as JSON over a pipe.
"""

import json
import os
from collections.abc import Callable
from typing import Any, TypeVar

from rootless import errors
from rootless.errors import RlError
from rootless.locations import Locations
from rootless.namespaces.parent import fork_into_parent

T = TypeVar("T")


def run_in_parent(locations: Locations, function: Callable[..., T], *arguments: Any) -> T:
    """Run `function(*arguments)` as root of the parent namespace and return its result (JSON must be able to carry it).

    Raises the `RlError` or `OSError` that the function raised. The caller must be single-threaded.
    """
    return start_in_parent(locations, function, *arguments)()


def start_in_parent(locations: Locations, function: Callable[..., T], *arguments: Any) -> Callable[[], T]:
    """Start as `run_in_parent`, and return what waits for the end and returns the result; to be called once."""
    reading, writing = os.pipe2(os.O_CLOEXEC)

    def body() -> None:
        os.close(reading)
        content = json.dumps(_outcome(function, arguments)).encode()
        with open(writing, "wb") as pipe:
            pipe.write(content)

    try:
        pid = fork_into_parent(locations.runtime_dir, body)
    except (RlError, OSError):
        os.close(reading)
        raise
    finally:
        os.close(writing)

    def result() -> T:
        with open(reading, "rb") as pipe:
            content = pipe.read()
        os.waitpid(pid, 0)
        if not content:
            raise RlError("a worker in the parent namespace ended without an answer")
        return _unwrap(json.loads(content))  # type: ignore[no-any-return]  # JSON carries no types

    return result


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    try:
        return {"result": function(*arguments)}
    except RlError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    except OSError as error:
        return {"errno": error.errno, "strerror": error.strerror or str(error), "path": _text(error.filename)}
    except Exception:  # a defect of ours: its traceback must reach the caller, which is another process
        import traceback  # 2 ms

        return {"error": "RlError", "message": f"a worker failed:\n{traceback.format_exc()}", "hint": None}


def _text(path: Any) -> str | None:
    return os.fsdecode(path) if isinstance(path, str | bytes) else None


def _unwrap(outcome: dict[str, Any]) -> Any:
    if "result" in outcome:
        return outcome["result"]
    if "errno" in outcome:
        raise OSError(outcome["errno"], outcome["strerror"], outcome["path"])
    kind = getattr(errors, outcome["error"], RlError)
    raise kind(outcome["message"], outcome["hint"])
