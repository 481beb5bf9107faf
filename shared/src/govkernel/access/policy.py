"""Who may do what: the policy an auditor can read, and the one function that decides by it."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from govevents.approvals import Role
from govevents.values import NodeId, SubjectId

BY_CLAIM: Final = "token:gatehouse_administrator"
"""The rule under which the first administrator acts, before any role was assigned."""


class PolicyRefused(ValueError):
    """A policy file cannot be read as one; the message names the place, the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The roles that may do something, and why."""

    roles: frozenset[Role]
    why: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role that a subject has at a node, from the first day to the last, both included."""

    holder: SubjectId
    role: Role
    node: NodeId
    first_day: date
    last_day: date | None

    def holds_on(self, day: date) -> bool:
        """Whether the role is held on that day."""
        return self.first_day <= day and (self.last_day is None or day <= self.last_day)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, by which rules, under which policy (its file's SHA-256), and why in words.

    A no may only mean that the node is not known here yet: nothing is above such a node.
    """

    allowed: bool
    rules: tuple[str, ...]
    policy_hash: str
    reason: str
    node_known: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """What a service's policy file says: rules by action. What it doesn't name is denied."""

    rules: Mapping[str, Rule]
    hash: str

    @classmethod
    def read(cls, file: Path) -> "Policy":
        """The policy in a file. Raises PolicyRefused, and OSError where the file cannot be read."""
        return cls.parse(file.read_bytes(), name=file.name)

    @classmethod
    def parse(cls, content: bytes, *, name: str) -> "Policy":
        """The policy that these bytes of TOML say; `name` is what errors call them. Raises PolicyRefused."""
        try:
            document = tomllib.loads(content.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PolicyRefused(f"{name}: not TOML: {error}") from None
        unknown = sorted(set(document) - {"actions"})
        if unknown:
            raise PolicyRefused(f'{name}: {unknown[0]!r} is refused; everything stands under [actions."<action>"]')
        actions = document.get("actions", {})
        if not isinstance(actions, dict) or not actions:
            raise PolicyRefused(f'{name}: no actions; give at least one [actions."<action>"]')
        rules = {action: _rule(f"{name}: actions.{action}", entry) for action, entry in actions.items()}
        return cls(MappingProxyType(rules), sha256(content).hexdigest())

    def roles_for(self, action: str) -> frozenset[Role]:
        """The roles that may do this; none where the policy doesn't name it."""
        rule = self.rules.get(action)
        return rule.roles if rule else frozenset()


def _rule(place: str, entry: Any) -> Rule:
    if not isinstance(entry, dict) or set(entry) != {"roles", "why"}:
        raise PolicyRefused(f"{place}: {entry!r} is refused; give exactly `roles` and `why`")
    roles, why = entry["roles"], entry["why"]
    if not isinstance(why, str) or not why.strip():
        raise PolicyRefused(f"{place}.why: {why!r} is refused; say in a sentence why these roles may do it")
    if not isinstance(roles, list) or not roles:
        raise PolicyRefused(f"{place}.roles: {roles!r} is refused; give a list of roles, or leave the action out")
    known = {role.value: role for role in Role}
    for role in roles:
        if not isinstance(role, str) or role not in known:
            raise PolicyRefused(f"{place}.roles: {role!r} is no role; give one of {', '.join(known)}")
    if len(set(roles)) != len(roles):
        raise PolicyRefused(f"{place}.roles: {roles!r} names a role twice; name it once")
    return Rule(frozenset(known[role] for role in roles), why.strip())


def decide(
    policy: Policy,
    *,
    subject: SubjectId,
    action: str,
    node: NodeId | None,
    assignments: Iterable[Assignment],
    nodes_above: frozenset[UUID],
    administrator: bool,
    today: date,
) -> Decision:
    """Whether a subject may do this at a node.

    `nodes_above` are the node and all above it, `administrator` is the token's claim, `today` the day in the
    portfolio's time zone. Assignments of others, at other nodes or for other days count for nothing, whoever fetched
    them. Node None is for what belongs to no node, and is left to the first administrator.
    """
    roles = policy.roles_for(action)
    if not roles:
        return Decision(False, (), policy.hash, f"no rule allows {action}")
    rules = []
    if administrator and Role.ADMINISTRATOR in roles:
        rules.append(f"{action}:{BY_CLAIM}")
    if node is not None:
        reach = nodes_above | {node}
        rules.extend(
            sorted(
                f"{action}:{each.role.value}@{each.node}"
                for each in assignments
                if each.holder == subject and each.node in reach and each.role in roles and each.holds_on(today)
            )
        )
    if rules:
        return Decision(True, tuple(rules), policy.hash, policy.rules[action].why)
    wanted = " or ".join(sorted(role.value for role in roles))
    where = f"at {node} or above it" if node is not None else "in the token, for it belongs to no node"
    return Decision(False, (), policy.hash, f"{action} needs the role {wanted} {where}")
