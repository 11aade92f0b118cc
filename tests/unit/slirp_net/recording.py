"""What stands for a device in tests that look at the frames."""


class Wire:
    """Stands for the device, and keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def write(self, parts: tuple[bytes | memoryview, ...]) -> None:
        self.frames.append(b"".join(parts))
