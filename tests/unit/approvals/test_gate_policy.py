from dataclasses import replace
from decimal import Decimal

import pytest
from tests.unit.approvals.people import BOARD, COUNCIL, PORTFOLIO, account

from approvals.domain.gate_policy import (
    ANY_CONDITIONS,
    GATE_POLICY,
    POLICY_OF,
    AdvisoryCriterionDecides,
    AsksForTooMuch,
    CodeListedTwice,
    ConditionTermsOutOfRange,
    CriterionUnmeasurable,
    ElectorateEmpty,
    ElectorateNamesTwoBodies,
    EscalatesToItself,
    FailureMayNotPass,
    FromValueNotPositive,
    FromValuesOfSeveralCurrencies,
    GateDoesNotFitKind,
    NothingFollowsALapse,
    PublishPolicy,
    QuorumOutOfRange,
    ReminderOutOfRange,
    ThresholdDoesNotFitRule,
    ThresholdOutOfRange,
    TimeLimitOutOfRange,
    asked_for,
    stream_of,
    votes_needed,
)
from govevents.approvals import (
    UPCASTERS,
    AtTimeLimit,
    Comparison,
    ConditionTerms,
    Criterion,
    Deliverable,
    Electorate,
    GatePolicyPublished,
    KpiThreshold,
    Need,
    OnLapse,
    Outcome,
    Quorum,
    ReviewKind,
    Role,
    Rule,
    TimeLimit,
)
from govkernel.domain import Link, Money, Refusal, Specification

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
    escalate_to=None,
    deliverables=(),
    criteria=(),
    conditions=ANY_CONDITIONS,
)


def aud(amount: str) -> Money:
    return Money(Decimal(amount), "AUD")


LIMIT = TimeLimit(14, AtTimeLimit.ESCALATE)
DECIDING = KpiThreshold("cpi", Comparison.AT_LEAST, Decimal("0.9"), decides=True)
CASE = Criterion("case", "The case is argued.", Need.MUST, ("business_case", "appraisal"))
COST = Criterion("cost", "The cost is in hand.", Need.MUST, (), kpi=DECIDING, from_value=aud("1000000"))
PLAN = Deliverable("plan", "Project plan", "plan")
SAFETY = Deliverable("safety", "Safety case", "safety_case", from_value=aud("5000000"))
TERMS = ConditionTerms(most=3, longest_days=90, lapses=(OnLapse.ESCALATION, OnLapse.HOLD), reminder_days=(14, 3))
FULL = replace(
    PUBLISH,
    time_limit=replace(LIMIT, reminder_days=(7, 1)),
    escalate_to=BOARD,
    deliverables=(PLAN, SAFETY),
    criteria=(CASE, COST),
    conditions=TERMS,
)
FULL_EDITION = replace(
    FIRST,
    time_limit=replace(LIMIT, reminder_days=(7, 1)),
    escalate_to=BOARD,
    deliverables=(PLAN, SAFETY),
    criteria=(replace(CASE, evidence_kinds=("appraisal", "business_case")), COST),
    conditions=TERMS,
)


def test_a_policy_says_what_must_be_met_who_decides_instead_and_on_what_terms_conditions_are_set() -> None:
    policy.given().when(FULL).then(FULL_EDITION)


def test_a_policy_that_says_nothing_of_conditions_allows_them_as_policies_did_before_they_could() -> None:
    before = UPCASTERS["approvals.GatePolicyPublished", 1]({"time_limit": None})["conditions"]
    assert before == {
        "most": ANY_CONDITIONS.most,
        "longest_days": ANY_CONDITIONS.longest_days,
        "lapses": [each.value for each in ANY_CONDITIONS.lapses],
        "reminder_days": list(ANY_CONDITIONS.reminder_days),
    }
    assert PUBLISH.conditions == ANY_CONDITIONS
    policy.given().when(replace(PUBLISH, conditions=None)).then(replace(FIRST, conditions=None))


def test_what_is_asked_for_in_another_order_makes_no_new_edition() -> None:
    other_order = replace(
        FULL,
        time_limit=replace(LIMIT, reminder_days=(1, 7, 1)),
        deliverables=(SAFETY, PLAN),
        criteria=(COST, replace(CASE, evidence_kinds=("appraisal", "business_case", "appraisal"))),
        conditions=replace(TERMS, lapses=(OnLapse.HOLD, OnLapse.ESCALATION, OnLapse.HOLD), reminder_days=(3, 14, 3)),
    )
    policy.given().when(other_order).then(FULL_EDITION)
    policy.given(FULL_EDITION).when(other_order).then_nothing()


def test_a_figure_written_with_more_digits_makes_no_new_edition() -> None:
    longer = replace(COST, kpi=replace(DECIDING, threshold=Decimal("0.900")), from_value=aud("1000000.00"))
    policy.given(FULL_EDITION).when(replace(FULL, criteria=(CASE, longer))).then_nothing()


@pytest.mark.parametrize(
    "changed",
    [
        replace(FULL, escalate_to=None),
        replace(FULL, deliverables=(PLAN,)),
        replace(FULL, criteria=(CASE, replace(COST, text="The cost is under control."))),
        replace(FULL, conditions=replace(TERMS, most=4)),
        replace(FULL, time_limit=replace(LIMIT, reminder_days=(7,))),
    ],
)
def test_whatever_a_policy_says_otherwise_is_a_new_edition(changed: PublishPolicy) -> None:
    state = policy.given(FULL_EDITION).when(changed).then_state()
    assert state != GATE_POLICY.fold([FULL_EDITION])


@pytest.mark.parametrize(
    ("value", "deliverables", "criteria"),
    [
        (aud("999999.99"), (PLAN,), ("case",)),
        (aud("1000000"), (PLAN,), ("case", "cost")),
        (aud("5000000.00"), (PLAN, SAFETY), ("case", "cost")),
        (None, (PLAN, SAFETY), ("case", "cost")),
        (Money(Decimal(1), "USD"), (PLAN, SAFETY), ("case", "cost")),
    ],
)
def test_a_small_project_is_asked_for_less_and_one_of_unknown_value_for_everything(
    value: Money | None, deliverables: tuple[Deliverable, ...], criteria: tuple[str, ...]
) -> None:
    asked, met = asked_for(FULL_EDITION, value)
    assert (asked, tuple(each.code for each in met)) == (deliverables, criteria)


def test_a_policy_is_found_by_its_portfolio() -> None:
    assert GATE_POLICY.links(GATE_POLICY.initial) == frozenset()
    assert GATE_POLICY.links(GATE_POLICY.fold([FIRST])) == {Link(POLICY_OF, PORTFOLIO)}


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
        (replace(PUBLISH, time_limit=replace(LIMIT, reminder_days=(7, 0))), ReminderOutOfRange),
        (replace(PUBLISH, time_limit=replace(LIMIT, reminder_days=(14,))), ReminderOutOfRange),
        (replace(PUBLISH, time_limit=TimeLimit(1, AtTimeLimit.LAPSE, (1,))), ReminderOutOfRange),
        (replace(PUBLISH, electorate=replace(NOBODY, body=BOARD), escalate_to=BOARD), EscalatesToItself),
        (replace(FULL, criteria=(CASE, replace(COST, code="case"))), CodeListedTwice),
        (replace(FULL, deliverables=(PLAN, PLAN)), CodeListedTwice),
        (replace(FULL, criteria=tuple(replace(CASE, code=f"c{n}") for n in range(101))), AsksForTooMuch),
        (replace(FULL, deliverables=tuple(replace(PLAN, code=f"d{n}") for n in range(101))), AsksForTooMuch),
        (replace(FULL, criteria=(replace(CASE, evidence_kinds=tuple(f"k{n}" for n in range(21))),)), AsksForTooMuch),
        (replace(FULL, criteria=(replace(CASE, evidence_kinds=()),)), CriterionUnmeasurable),
        (replace(FULL, criteria=(replace(COST, need=Need.SHOULD),)), AdvisoryCriterionDecides),
        (replace(FULL, criteria=(replace(CASE, from_value=aud("0")),)), FromValueNotPositive),
        (replace(FULL, deliverables=(replace(PLAN, from_value=aud("-1")),)), FromValueNotPositive),
        (
            replace(FULL, deliverables=(replace(PLAN, from_value=Money(Decimal(1), "USD")),)),
            FromValuesOfSeveralCurrencies,
        ),
        (replace(FULL, conditions=replace(TERMS, lapses=())), NothingFollowsALapse),
        (replace(FULL, conditions=replace(TERMS, most=0)), ConditionTermsOutOfRange),
        (replace(FULL, conditions=replace(TERMS, longest_days=0, reminder_days=())), ConditionTermsOutOfRange),
        (replace(FULL, conditions=replace(TERMS, longest_days=3651)), ConditionTermsOutOfRange),
        (replace(FULL, conditions=replace(TERMS, reminder_days=(0,))), ConditionTermsOutOfRange),
        (replace(FULL, conditions=replace(TERMS, reminder_days=(91,))), ConditionTermsOutOfRange),
        (
            replace(FULL, conditions=replace(TERMS, longest_days=None, reminder_days=(3651,))),
            ConditionTermsOutOfRange,
        ),
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
        replace(PUBLISH, time_limit=TimeLimit(2, AtTimeLimit.ESCALATE, (1,))),
        replace(PUBLISH, time_limit=replace(LIMIT, reminder_days=(13,))),
        replace(PUBLISH, electorate=replace(NOBODY, body=BOARD), escalate_to=COUNCIL),
        replace(PUBLISH, electorate=replace(NOBODY, by_value_band=True), escalate_to=BOARD),
        replace(FULL, criteria=tuple(replace(CASE, code=f"c{n}") for n in range(100))),
        replace(FULL, criteria=(replace(CASE, evidence_kinds=tuple(f"k{n}" for n in range(20))),)),
        replace(FULL, criteria=(replace(CASE, need=Need.SHOULD),)),
        replace(FULL, criteria=(replace(COST, need=Need.SHOULD, kpi=replace(DECIDING, decides=False)),)),
        replace(FULL, criteria=(replace(CASE, kpi=DECIDING),), deliverables=(replace(PLAN, code="case"),)),
        replace(FULL, criteria=(replace(CASE, from_value=aud("0.01")),)),
        replace(FULL, conditions=ConditionTerms(1, 1, (OnLapse.REMINDER,), (1,))),
        replace(FULL, conditions=replace(TERMS, longest_days=3650, reminder_days=(3650,))),
        replace(FULL, conditions=replace(TERMS, longest_days=None, reminder_days=(3650,))),
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


def test_holders_of_a_veto_stand_in_the_order_of_their_ids() -> None:
    holders = tuple(account(name) for name in ("ana", "bo", "cy", "dee", "eve", "fay"))
    (edition,) = policy.given().when(replace(PUBLISH, veto=holders)).events or ()
    assert edition.veto == tuple(sorted(holders))
