"""Life-cycle commands at the same time on the same containers, and kills: contrib/stress/lifecycle does thousands."""

import os
import random

from tests.support.engine import Engine
from tests.support.life_cycle import COMMANDS, Storm

STEPS = int(os.environ.get("RL_TEST_STEPS", "200"))
WORKERS = int(os.environ.get("RL_TEST_WORKERS", "10"))
SEED = int(os.environ.get("RL_TEST_SEED", "0")) or random.randrange(1, 1 << 30)
_ROUND = 500


def test_no_deadlock_and_no_wrong_record(engine: Engine) -> None:
    print(f"\nRL_TEST_SEED={SEED}, {len(COMMANDS)} commands")
    storm = Storm(engine, WORKERS, SEED)
    left = STEPS
    while left > 0:
        storm.run(min(left, _ROUND))
        storm.check()
        left -= _ROUND
        print(f"{STEPS - max(left, 0)} steps: statuses {dict(storm.statuses)}, killed {dict(storm.kills)}", flush=True)
    storm.check_nothing_is_left()
    assert engine.rl("run", "--rm", "--network", "none", "busybox", "echo", "fine").stdout == "fine\n"
