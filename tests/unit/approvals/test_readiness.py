from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from approvals.domain.readiness import deciding_failures, findings, is_ready
from govevents.approvals import (
    Aspect,
    Breach,
    Comparison,
    ConditionOf,
    Criterion,
    Deliverable,
    Evidence,
    Finding,
    KpiThreshold,
    Measure,
    Met,
    Need,
)
from govkernel.domain import ReviewId

PLAN = Deliverable("plan", "Project plan", "plan")
CASE = Criterion("case", "The case is argued.", Need.MUST, ("appraisal", "business_case"))
CPI = KpiThreshold("cpi", Comparison.AT_LEAST, Decimal("0.90"), decides=False)
COST = Criterion("cost", "The cost is in hand.", Need.MUST, (), kpi=CPI)
WISH = Criterion("wish", "Users were asked.", Need.SHOULD, ("survey",))
CONDITION = ConditionOf(ReviewId(UUID(int=7)), 2)
BREACH = Breach("build", "G2", date(2030, 3, 1))


def evidence(*kinds: str | None) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(f"Paper {number}", f"https://documents.example/{number}", "a" * 64, kind)
        for number, kind in enumerate(kinds, start=1)
    )


def measure(value: str | None, kpi: str = "cpi", because: str | None = None) -> Measure:
    return Measure(kpi, None if value is None else Decimal(value), "ratio", because, None)


def found(
    *asked: Deliverable | Criterion | ConditionOf | Breach,
    of: tuple[Evidence, ...] = (),
    measures: tuple[Measure, ...] = (),
) -> tuple[Finding, ...]:
    return findings(
        deliverables=[each for each in asked if isinstance(each, Deliverable)],
        criteria=[each for each in asked if isinstance(each, Criterion)],
        evidence=of,
        measures=measures,
        open_conditions=[each for each in asked if isinstance(each, ConditionOf)],
        breaches=[each for each in asked if isinstance(each, Breach)],
    )


def test_a_deliverable_is_there_when_evidence_of_its_kind_is() -> None:
    (missing,) = found(PLAN, of=evidence("survey", None))
    assert missing == Finding(
        Aspect.DELIVERABLE,
        "plan",
        Need.MUST,
        Met.NO,
        "Evidence of kind plan is not among what supports the review.",
    )
    (there,) = found(PLAN, of=evidence("survey", "plan"))
    assert (there.met, there.because) == (Met.YES, "Evidence of kind plan is among what supports the review.")


def test_a_criterion_of_evidence_is_met_when_each_kind_is_there_and_names_those_that_are_not() -> None:
    (half,) = found(CASE, of=evidence("business_case"))
    assert (half.aspect, half.code, half.need, half.met) == (Aspect.CRITERION, "case", Need.MUST, Met.NO)
    assert half.because == "No evidence of kind appraisal supports the review."
    (whole,) = found(CASE, of=evidence("business_case", "appraisal"))
    assert (whole.met, whole.because) == (
        Met.YES,
        "Evidence of kind appraisal, business_case supports the review.",
    )


@pytest.mark.parametrize(
    ("comparison", "figure", "met"),
    [
        (Comparison.AT_LEAST, "0.90", Met.YES),
        (Comparison.AT_LEAST, "0.8999", Met.NO),
        (Comparison.AT_LEAST, "1.2", Met.YES),
        (Comparison.AT_MOST, "0.9", Met.YES),
        (Comparison.AT_MOST, "0.9001", Met.NO),
        (Comparison.AT_MOST, "-3", Met.YES),
    ],
)
def test_a_threshold_itself_is_on_the_side_that_is_asked_for(comparison: Comparison, figure: str, met: Met) -> None:
    threshold = KpiThreshold("cpi", comparison, Decimal("0.90"), decides=True)
    criterion = Criterion("cost", "", Need.MUST, (), kpi=threshold)
    (finding,) = found(criterion, measures=(measure("7", "spi"), measure(figure)))
    assert finding.met is met
    assert deciding_failures([criterion], [measure(figure)]) == (() if met is Met.YES else ("cost",))


def test_a_finding_about_a_figure_names_it_with_its_unit_and_its_threshold() -> None:
    (finding,) = found(COST, measures=(measure("0.85"),))
    assert finding.because == "KPI cpi is 0.85 ratio; at least 0.90 is asked for."


def test_a_figure_that_is_undefined_is_neither_met_nor_missed() -> None:
    (finding,) = found(COST, measures=(measure(None, because="nothing was spent yet."),))
    assert finding.met is Met.UNKNOWN
    assert finding.because == "KPI cpi is undefined: nothing was spent yet; at least 0.90 is asked for."
    (longest,) = found(COST, measures=(measure(None, because="x" * 8000),))
    assert longest.because == f"KPI cpi is undefined: {'x' * 1000}; at least 0.90 is asked for."


def test_a_figure_that_is_not_measured_yet_leaves_its_criterion_unknown() -> None:
    (finding,) = found(COST, measures=(measure("1", "spi"),))
    assert (finding.met, finding.because) == (
        Met.UNKNOWN,
        "KPI cpi is not measured yet; at least 0.90 is asked for.",
    )


@pytest.mark.parametrize(
    ("kinds", "figure", "met"),
    [
        (("report",), "0.95", Met.YES),
        (("report",), "0.5", Met.NO),
        (("report",), None, Met.UNKNOWN),
        ((), "0.95", Met.NO),
        ((), None, Met.NO),
    ],
)
def test_a_criterion_of_evidence_and_a_figure_is_met_when_both_hold(
    kinds: tuple[str, ...], figure: str | None, met: Met
) -> None:
    both = Criterion("cost", "", Need.MUST, ("report",), kpi=CPI)
    (finding,) = found(both, of=evidence(*kinds), measures=(measure(figure),))
    assert finding.met is met
    assert "report" in finding.because
    assert "cpi" in finding.because


def test_open_conditions_and_breaches_are_found_with_their_place() -> None:
    condition, breach = found(CONDITION, BREACH)
    assert condition == Finding(
        Aspect.CONDITION,
        f"{CONDITION.review}/2",
        Need.MUST,
        Met.NO,
        f"Condition 2 of review {CONDITION.review} is neither met nor waived.",
    )
    assert breach == Finding(
        Aspect.BREACH,
        "build",
        Need.MUST,
        Met.NO,
        "Work in phase build began on 2030-03-01, when gate G2 had not said so.",
    )


def test_findings_come_in_the_order_of_what_is_asked_for() -> None:
    codes = [each.code for each in found(BREACH, CONDITION, WISH, CASE, PLAN)]
    assert codes == ["plan", "wish", "case", f"{CONDITION.review}/2", "build"]


@pytest.mark.parametrize(
    "asked",
    [(PLAN,), (CASE,), (COST,), (CONDITION,), (BREACH,)],
    ids=["deliverable missing", "criterion missed", "criterion unknown", "condition open", "breach"],
)
def test_one_thing_that_must_be_met_and_is_not_keeps_a_project_back(asked: tuple[Deliverable, ...]) -> None:
    assert not is_ready(found(*asked, WISH))


def test_what_should_be_met_keeps_nobody_back() -> None:
    assert is_ready(found(WISH))
    assert is_ready(found(PLAN, CASE, WISH, of=evidence("plan", "business_case", "appraisal")))
    assert is_ready(())


def test_only_a_measured_figure_decides_and_only_where_the_policy_says_so() -> None:
    decides = KpiThreshold("cpi", Comparison.AT_LEAST, Decimal("0.9"), decides=True)
    criteria = [COST, CASE, Criterion("a", "", Need.MUST, (), decides), Criterion("b", "", Need.MUST, (), decides)]
    assert deciding_failures(criteria, [measure("0.5")]) == ("a", "b")
    assert deciding_failures(criteria, [measure("0.9")]) == ()
    assert deciding_failures(criteria, [measure(None, because="nothing was spent")]) == ()
    assert deciding_failures(criteria, [measure("0.5", "spi")]) == ()
    assert deciding_failures(criteria, []) == ()


def test_a_figure_without_a_unit_is_told_without_one() -> None:
    (told,) = findings((), (COST,), (), (replace(measure("0.95"), unit=None),), (), ())
    assert told.because == "KPI cpi is 0.95; at least 0.90 is asked for."
