"""Restart policies: what `--restart` means, when a container is started again, and after how long."""

import pytest

from rootless.containers import restart
from rootless.containers.restart import Policy
from rootless.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("no", Policy()),
        ("always", Policy("always")),
        ("unless-stopped", Policy("unless-stopped")),
        ("on-failure", Policy("on-failure")),
        ("on-failure:5", Policy("on-failure", 5)),
    ],
)
def test_parse(text: str, policy: Policy) -> None:
    assert restart.parse(text) == policy
    assert restart.of_host_config({"RestartPolicy": policy.as_json}) == policy


@pytest.mark.parametrize("text", ["never", "always:3", "on-failure:", "on-failure:-1", "on-failure:x"])
def test_malformed(text: str) -> None:
    with pytest.raises(InvalidInput):
        restart.parse(text)


@pytest.mark.parametrize(
    ("text", "code", "restarts", "wanted"),
    [
        ("no", 1, 0, False),
        ("always", 0, 100, True),
        ("unless-stopped", 0, 0, True),
        ("on-failure", 0, 0, False),
        ("on-failure", 1, 1000, True),
        ("on-failure:2", 1, 1, True),
        ("on-failure:2", 1, 2, False),
    ],
)
def test_is_wanted(text: str, code: int, restarts: int, wanted: bool) -> None:
    assert restart.is_wanted(restart.parse(text), code, restarts) is wanted


def test_the_delay_doubles_to_a_minute_and_begins_anew_after_a_good_run() -> None:
    delays = [0.0]
    for _time in range(12):
        delays.append(restart.next_delay(delays[-1], 1.0))
    assert delays[1:5] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 60.0
    assert restart.next_delay(60.0, 10.0) == 0.1
