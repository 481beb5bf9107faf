"""Access: deny by default, decided by roles at a node and above it, under a policy that an auditor can read."""

from govkernel.access.access import Access, Recalled, Visible, day_in, end_of_day, node_of
from govkernel.access.models import ACCESS_MODELS, NODES, ROLES, NodeKind, NodeRow, NodeStatus, RoleRow
from govkernel.access.policy import Assignment, Decision, Policy, PolicyRefused, Rule, decide

__all__ = [
    "ACCESS_MODELS",
    "NODES",
    "ROLES",
    "Access",
    "Assignment",
    "Decision",
    "NodeKind",
    "NodeRow",
    "NodeStatus",
    "Policy",
    "PolicyRefused",
    "Recalled",
    "RoleRow",
    "Rule",
    "Visible",
    "day_in",
    "decide",
    "end_of_day",
    "node_of",
]
