"""The relay: from the ledger to Kafka."""

from govkernel.relay.checkpoint import Checkpoint, DatabaseIdentity, LeadershipLost
from govkernel.relay.relay import Admin, Producer, Relay, RelayStatus, Step, send_everything_again, vouch
from govkernel.relay.verification import Alarm, BroughtBack, Fork, LedgerGap, Log, TopicCut, TopicReplaced

__all__ = [
    "Admin",
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
    "send_everything_again",
    "vouch",
]
