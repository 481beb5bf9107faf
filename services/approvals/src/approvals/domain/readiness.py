"""Readiness: what is found about all that a review rests on, computed and not claimed."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, assert_never

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
from govkernel.domain import Code

LONGEST_REASON: Final = 1000
"""How many characters of the reason why a figure is undefined a finding repeats."""


def findings(
    deliverables: Iterable[Deliverable],
    criteria: Iterable[Criterion],
    evidence: Sequence[Evidence],
    measures: Sequence[Measure],
    open_conditions: Iterable[ConditionOf],
    breaches: Iterable[Breach],
) -> tuple[Finding, ...]:
    """What is found about each deliverable, criterion, open condition of an earlier review, and breach, in this order.

    A criterion of both evidence and a KPI is met when both hold. A KPI that is undefined, or not measured yet, leaves
    its criterion unknown, unless evidence is missing anyway.
    """
    return (
        *(_deliverable(each, evidence) for each in deliverables),
        *(_criterion(each, evidence, measures) for each in criteria),
        *(_condition(each) for each in open_conditions),
        *(_breach(each) for each in breaches),
    )


def is_ready(found: Iterable[Finding]) -> bool:
    """Whether all that must be met is met; unknown is not met, and what should be met never keeps a review back."""
    return all(each.met is Met.YES for each in found if each.need is Need.MUST)


def deciding_failures(criteria: Iterable[Criterion], measures: Sequence[Measure]) -> tuple[Code, ...]:
    """The codes of the criteria that fail a review by themselves: measured, and beyond a threshold that decides."""
    return tuple(
        criterion.code
        for criterion in criteria
        if criterion.kpi is not None and criterion.kpi.decides and _holds(criterion.kpi, measures) is Met.NO
    )


def _deliverable(deliverable: Deliverable, evidence: Sequence[Evidence]) -> Finding:
    shown = any(each.kind == deliverable.evidence_kind for each in evidence)
    met, because = (Met.YES, "is") if shown else (Met.NO, "is not")
    return Finding(
        Aspect.DELIVERABLE,
        deliverable.code,
        Need.MUST,
        met,
        f"Evidence of kind {deliverable.evidence_kind} {because} among what supports the review.",
    )


def _criterion(criterion: Criterion, evidence: Sequence[Evidence], measures: Sequence[Measure]) -> Finding:
    parts: list[tuple[Met, str]] = []
    if criterion.evidence_kinds:
        parts.append(_shown(criterion.evidence_kinds, evidence))
    if criterion.kpi is not None:
        parts.append((_holds(criterion.kpi, measures), _measured(criterion.kpi, measures)))
    outcomes = {met for met, _ in parts}
    worst = next((met for met in (Met.NO, Met.UNKNOWN) if met in outcomes), Met.YES)
    return Finding(Aspect.CRITERION, criterion.code, criterion.need, worst, " ".join(said for _, said in parts))


def _shown(kinds: Sequence[Code], evidence: Sequence[Evidence]) -> tuple[Met, str]:
    given = {each.kind for each in evidence}
    missing = [kind for kind in kinds if kind not in given]
    if missing:
        return Met.NO, f"No evidence of kind {', '.join(missing)} supports the review."
    return Met.YES, f"Evidence of kind {', '.join(kinds)} supports the review."


def _measure_of(kpi: KpiThreshold, measures: Sequence[Measure]) -> Measure | None:
    return next((each for each in measures if each.kpi == kpi.kpi), None)


def _holds(kpi: KpiThreshold, measures: Sequence[Measure]) -> Met:
    measure = _measure_of(kpi, measures)
    if measure is None or measure.value is None:
        return Met.UNKNOWN
    return Met.YES if _within(measure.value, kpi) else Met.NO


def _within(figure: Decimal, kpi: KpiThreshold) -> bool:
    match kpi.comparison:
        case Comparison.AT_LEAST:
            return figure >= kpi.threshold
        case Comparison.AT_MOST:
            return figure <= kpi.threshold
        case _:
            assert_never(kpi.comparison)


def _measured(kpi: KpiThreshold, measures: Sequence[Measure]) -> str:
    measure = _measure_of(kpi, measures)
    asked = f"{kpi.comparison.value.replace('_', ' ')} {kpi.threshold}"
    if measure is None:
        return f"KPI {kpi.kpi} is not measured yet; {asked} is asked for."
    if measure.value is None:
        # A reason may be as long as a text can be, and has to leave room for the rest of the sentence.
        reason = (measure.undefined_because or "no reason was given").rstrip(".")[:LONGEST_REASON]
        return f"KPI {kpi.kpi} is undefined: {reason}; {asked} is asked for."
    unit = f" {measure.unit}" if measure.unit else ""
    return f"KPI {kpi.kpi} is {measure.value}{unit}; {asked} is asked for."


def _condition(condition: ConditionOf) -> Finding:
    because = f"Condition {condition.condition} of review {condition.review} is neither met nor waived."
    return Finding(Aspect.CONDITION, f"{condition.review}/{condition.condition}", Need.MUST, Met.NO, because)


def _breach(breach: Breach) -> Finding:
    because = f"Work in phase {breach.phase} began on {breach.began_on}, when gate {breach.gate} had not said so."
    return Finding(Aspect.BREACH, breach.phase, Need.MUST, Met.NO, because)
