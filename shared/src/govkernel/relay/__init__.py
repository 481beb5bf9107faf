"""The relay: from the ledger to Kafka."""

from govkernel.relay.adoption import adopt
from govkernel.relay.checkpoint import Checkpoint, DatabaseIdentity, LeadershipLost
from govkernel.relay.ports import Producer, RelayStatus, Topics
from govkernel.relay.reconciliation import (
    IN_THE_WAY_OF_RECOVERY,
    Finding,
    Kind,
    Reconciled,
    Reconciliation,
    ReconciliationRunning,
    Stage,
)
from govkernel.relay.relay import (
    Ordered,
    Relay,
    Step,
    send_everything_again,
    verify_everything_again,
    vouch,
)
from govkernel.relay.verification import (
    Alarm,
    BroughtBack,
    ForeignTransactions,
    Fork,
    LedgerGap,
    Log,
    TopicCut,
    TopicReplaced,
)

__all__ = [
    "IN_THE_WAY_OF_RECOVERY",
    "Alarm",
    "BroughtBack",
    "Checkpoint",
    "DatabaseIdentity",
    "Finding",
    "ForeignTransactions",
    "Fork",
    "Kind",
    "LeadershipLost",
    "LedgerGap",
    "Log",
    "Ordered",
    "Producer",
    "Reconciled",
    "Reconciliation",
    "ReconciliationRunning",
    "Relay",
    "RelayStatus",
    "Stage",
    "Step",
    "TopicCut",
    "TopicReplaced",
    "Topics",
    "adopt",
    "send_everything_again",
    "verify_everything_again",
    "vouch",
]
