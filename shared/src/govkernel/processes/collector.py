"""The garbage collector of a process that serves: it has to look at little, and seldom."""

import gc
from typing import Final

COLLECT_AFTER_OBJECTS: Final = 50_000


def settle_collector() -> None:
    """Leave out of every later collection what is there now, and collect seldom.

    What is under way at one time would set it off every few requests, and hardly anything is part of a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
