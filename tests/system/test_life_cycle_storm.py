"""Random life-cycle commands at the same time on the same containers, with kill -9: contrib/stress/lifecycle makes thousands."""

import os
import random

import pytest

from tests.support.engine import Engine
from tests.support.life_cycle.storm import Plan, Storm

STEPS = int(os.environ.get("RL_TEST_STEPS", "100"))
CALLERS = int(os.environ.get("RL_TEST_CALLERS", "10"))
SEED = os.environ.get("RL_TEST_SEED") or str(random.SystemRandom().randrange(1 << 32))


def test_random_commands_at_the_same_time(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    storm = Storm(engine, Plan(STEPS, CALLERS, SEED))
    with capsys.disabled():
        print(f"\nseed {SEED}")
    try:
        storm.run()
    finally:
        print(storm.journal.summary())
