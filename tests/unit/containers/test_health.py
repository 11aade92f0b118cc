"""The health check's state machine against Docker's rules, and the options over the image's check."""

import pytest

from rootless.containers import health
from rootless.containers.health import Check, Health
from rootless.containers.health_options import HealthOptions, merged
from rootless.errors import InvalidInput

CHECK = Check(("true",), interval=30, timeout=5, retries=3, start_period=20, start_interval=2)


def test_forms_of_the_test() -> None:
    assert health.check_of({}) is None
    assert health.check_of({"Healthcheck": {"Test": ["NONE"]}}) is None
    assert health.check_of({"Healthcheck": {"Test": []}}) is None
    shell = health.check_of({"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}})
    assert shell == Check(("/bin/sh", "-c", "a b"))
    given = {"Test": ["CMD", "a", "b"], "Interval": 10**9, "Timeout": 5 * 10**8, "Retries": 1, "StartPeriod": 2 * 10**9}
    assert health.check_of({"Healthcheck": given}) == Check(("a", "b"), 1.0, 0.5, 1, 2.0, 5.0)


def test_failures_in_a_row_make_it_unhealthy_and_one_success_healthy() -> None:
    state = Health()
    for streak in (1, 2):
        state = health.after_probe(CHECK, state, 1, 100)
        assert state == Health("starting", streak)
    state = health.after_probe(CHECK, state, 1, 100)
    assert state == Health("unhealthy", 3)
    state = health.after_probe(CHECK, state, 0, 100)
    assert state == Health("healthy", 0)
    assert health.after_probe(CHECK, state, -1, 100) == Health("healthy", 1)


def test_failures_in_the_start_period_do_not_count_until_one_probe_succeeded() -> None:
    assert health.after_probe(CHECK, Health(), 1, 19) == Health()
    assert health.after_probe(CHECK, Health(), 1, 20) == Health("starting", 1)
    assert health.after_probe(CHECK, Health("healthy", 0), 1, 10) == Health("healthy", 1)


def test_pauses() -> None:
    assert health.pause(CHECK, Health(), 0) == 2
    assert health.pause(CHECK, Health(), 20) == 30
    assert health.pause(CHECK, Health("healthy"), 5) == 30


def test_the_last_five_probes_are_kept() -> None:
    state = health.new_state()
    for number in range(7):
        health.note(state, Health("healthy", 0), health.Outcome("s", "e", 0, str(number)))
    assert [entry["Output"] for entry in state["Log"]] == ["2", "3", "4", "5", "6"]
    assert (state["Status"], state["FailingStreak"]) == ("healthy", 0)


def test_options_go_over_the_image_s_check() -> None:
    of_image = {"Test": ["CMD", "x"], "Interval": 10**9}
    assert merged(None, HealthOptions()) is None
    assert merged(of_image, HealthOptions()) == of_image
    assert merged(of_image, HealthOptions(interval=2 * 10**9)) == {"Test": ["CMD", "x"], "Interval": 2 * 10**9}
    assert merged(of_image, HealthOptions(command="y z")) == {"Test": ["CMD-SHELL", "y z"], "Interval": 10**9}
    assert merged(None, HealthOptions(command='["a", "b"]')) == {"Test": ["CMD", "a", "b"]}
    assert merged(of_image, HealthOptions(disabled=True)) == {"Test": ["NONE"]}


@pytest.mark.parametrize(
    "options",
    [
        HealthOptions(command="x", disabled=True),
        HealthOptions(command=" "),
        HealthOptions(command="x", interval=1000),
        HealthOptions(command="x", retries=-1),
        HealthOptions(interval=10**9),
    ],
)
def test_malformed_options(options: HealthOptions) -> None:
    with pytest.raises(InvalidInput):
        merged(None, options)
