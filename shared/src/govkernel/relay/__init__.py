"""The relay: from the ledger to Kafka."""

from govkernel.relay.checkpoint import Checkpoint, DatabaseIdentity, LeadershipLost
from govkernel.relay.relay import Producer, Relay, RelayStatus, Step, Topics, send_everything_again, vouch
from govkernel.relay.verification import Alarm, BroughtBack, Fork, LedgerGap, Log, TopicCut, TopicReplaced

__all__ = [
    "Alarm",
    "BroughtBack",
    "Checkpoint",
    "DatabaseIdentity",
    "Fork",
    "LeadershipLost",
    "LedgerGap",
    "Log",
    "Producer",
    "Relay",
    "RelayStatus",
    "Step",
    "TopicCut",
    "TopicReplaced",
    "Topics",
    "send_everything_again",
    "vouch",
]
