from dataclasses import replace
from decimal import Decimal

import pytest
from tests.unit.approvals.people import BOARD, PORTFOLIO, account

from approvals.domain.gate_policy import (
    GATE_POLICY,
    ElectorateEmpty,
    ElectorateNamesTwoBodies,
    FailureMayNotPass,
    GateDoesNotFitKind,
    PublishPolicy,
    QuorumOutOfRange,
    ThresholdDoesNotFitRule,
    ThresholdOutOfRange,
    TimeLimitOutOfRange,
    stream_of,
    votes_needed,
)
from govevents.approvals import (
    AtTimeLimit,
    Electorate,
    GatePolicyPublished,
    Outcome,
    Quorum,
    ReviewKind,
    Role,
    Rule,
    TimeLimit,
)
from govkernel.domain import Refusal, Specification

policy = Specification(GATE_POLICY)

APPROVERS = Electorate(roles=(Role.APPROVER,), people=(), body=None, by_value_band=False)
NOBODY = Electorate(roles=(), people=(), body=None, by_value_band=False)
HALF = Quorum(1, Decimal("0.5"))
PUBLISH = PublishPolicy(
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G2",
    electorate=APPROVERS,
    quorum=HALF,
    rule=Rule.MAJORITY,
    threshold=None,
    veto=(),
    sponsor_may_vote=False,
    time_limit=TimeLimit(14, AtTimeLimit.ESCALATE),
)
FIRST = GatePolicyPublished(
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G2",
    number=1,
    electorate=APPROVERS,
    quorum=HALF,
    rule=Rule.MAJORITY,
    threshold=None,
    veto=(),
    sponsor_may_vote=False,
    time_limit=TimeLimit(14, AtTimeLimit.ESCALATE),
    failed_outcome=Outcome.RECYCLE,
)


def test_a_policy_comes_in_editions_and_fails_to_recycle_unless_it_says_otherwise() -> None:
    policy.given().when(PUBLISH).then(FIRST)
    policy.given(FIRST).when(replace(PUBLISH, failed_outcome=Outcome.HOLD)).then(
        replace(FIRST, number=2, failed_outcome=Outcome.HOLD)
    )
    policy.given(FIRST, replace(FIRST, number=2, sponsor_may_vote=True)).when(PUBLISH).then(replace(FIRST, number=3))


def test_the_same_policy_again_is_no_new_edition() -> None:
    policy.given(FIRST).when(PUBLISH).then_nothing()


def test_who_is_listed_in_another_order_or_twice_makes_no_new_edition() -> None:
    one, two = sorted([account("ana"), account("bo")])
    listed = Electorate((Role.SPONSOR, Role.APPROVER, Role.SPONSOR), (two, one, two), BOARD, by_value_band=False)
    ordered = Electorate((Role.APPROVER, Role.SPONSOR), (one, two), BOARD, by_value_band=False)
    edition = replace(FIRST, electorate=ordered, veto=(one, two))
    policy.given().when(replace(PUBLISH, electorate=listed, veto=(two, one, one))).then(edition)
    policy.given(edition).when(replace(PUBLISH, electorate=listed, veto=(two, one))).then_nothing()


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (replace(PUBLISH, gate=None), GateDoesNotFitKind),
        (replace(PUBLISH, kind=ReviewKind.BASELINE), GateDoesNotFitKind),
        (replace(PUBLISH, electorate=NOBODY), ElectorateEmpty),
        (replace(PUBLISH, electorate=Electorate((), (), BOARD, by_value_band=True)), ElectorateNamesTwoBodies),
        (replace(PUBLISH, quorum=Quorum(-1, Decimal("0.5"))), QuorumOutOfRange),
        (replace(PUBLISH, quorum=Quorum(1, Decimal("-0.01"))), QuorumOutOfRange),
        (replace(PUBLISH, quorum=Quorum(1, Decimal("1.01"))), QuorumOutOfRange),
        (replace(PUBLISH, quorum=Quorum(0, Decimal(0))), QuorumOutOfRange),
        (replace(PUBLISH, rule=Rule.THRESHOLD), ThresholdDoesNotFitRule),
        (replace(PUBLISH, threshold=Decimal("0.6")), ThresholdDoesNotFitRule),
        (replace(PUBLISH, rule=Rule.CONSENSUS, threshold=Decimal(1)), ThresholdDoesNotFitRule),
        (replace(PUBLISH, rule=Rule.THRESHOLD, threshold=Decimal(0)), ThresholdOutOfRange),
        (replace(PUBLISH, rule=Rule.THRESHOLD, threshold=Decimal("1.01")), ThresholdOutOfRange),
        (replace(PUBLISH, time_limit=TimeLimit(0, AtTimeLimit.LAPSE)), TimeLimitOutOfRange),
        (replace(PUBLISH, time_limit=TimeLimit(3651, AtTimeLimit.LAPSE)), TimeLimitOutOfRange),
        (replace(PUBLISH, failed_outcome=Outcome.GO), FailureMayNotPass),
        (replace(PUBLISH, failed_outcome=Outcome.CONDITIONAL_GO), FailureMayNotPass),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(command: PublishPolicy, refusal: type[Refusal]) -> None:
    policy.given().when(command).then_refused(refusal)
    policy.given(FIRST).when(command).then_refused(refusal)


@pytest.mark.parametrize(
    "command",
    [
        replace(PUBLISH, kind=ReviewKind.BASELINE, gate=None),
        replace(PUBLISH, electorate=replace(NOBODY, people=(account("ana"),))),
        replace(PUBLISH, electorate=replace(NOBODY, body=BOARD)),
        replace(PUBLISH, electorate=replace(NOBODY, by_value_band=True)),
        replace(PUBLISH, quorum=Quorum(0, Decimal("0.01"))),
        replace(PUBLISH, quorum=Quorum(1, Decimal(0))),
        replace(PUBLISH, quorum=Quorum(3, Decimal(1))),
        replace(PUBLISH, rule=Rule.THRESHOLD, threshold=Decimal(1)),
        replace(PUBLISH, rule=Rule.CONSENSUS),
        replace(PUBLISH, time_limit=TimeLimit(1, AtTimeLimit.LAPSE)),
        replace(PUBLISH, time_limit=TimeLimit(3650, AtTimeLimit.LAPSE)),
        replace(PUBLISH, time_limit=None),
        replace(PUBLISH, failed_outcome=Outcome.KILL),
    ],
)
def test_a_policy_at_the_edge_of_sense_is_taken(command: PublishPolicy) -> None:
    assert policy.given().when(command).then_state() != GATE_POLICY.initial


@pytest.mark.parametrize(
    ("minimum", "share", "electors", "needed"),
    [
        (1, "0.5", 4, 2),
        (1, "0.5", 5, 3),
        (3, "0.5", 4, 3),
        (0, "0", 4, 0),
        (2, "1", 7, 7),
        # Two thirds with 38 digits, rounded up: three such thirds are more than two persons, and rounding would lose it.
        (1, "0." + "6" * 36 + "7", 3, 3),
        (1, "0." + "6" * 37, 3, 2),
    ],
)
def test_a_quorum_is_the_minimum_or_the_share_rounded_up_exactly(
    minimum: int, share: str, electors: int, needed: int
) -> None:
    assert votes_needed(Quorum(minimum, Decimal(share)), electors) == needed


def test_each_kind_and_gate_has_its_own_policy() -> None:
    streams = {
        stream_of(PORTFOLIO, ReviewKind.GATE, "G1"),
        stream_of(PORTFOLIO, ReviewKind.GATE, "G2"),
        stream_of(PORTFOLIO, ReviewKind.CLOSURE, None),
        stream_of(PORTFOLIO, ReviewKind.CHANGE, None),
    }
    assert len(streams) == 4
