"""What a monitor has to say of itself: engine.log in the container's folder, its standard error."""

import contextlib
import os

from rootless.errors import RlError, os_error_text


def log_failure(error: Exception) -> None:
    """Write an error to engine.log, our standard error; a defect of ours with its traceback, so that it can be found."""
    if isinstance(error, RlError):
        text = error.message
    elif isinstance(error, OSError):
        text = os_error_text(error)
    else:
        import traceback

        text = "".join(traceback.format_exception(error)).rstrip()
    with contextlib.suppress(OSError):  # a full disk: nothing else can be told it
        os.write(2, f"monitor: {text}\n".encode())
