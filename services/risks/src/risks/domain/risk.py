"""A risk: something uncertain that would hurt or help a project, how it is scored and what is done about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, TypeAlias, assert_never

from govevents.risks import (
    Basis,
    Impact,
    MatrixPublished,
    ResponsePlanned,
    RiskAssessed,
    RiskClosed,
    RiskKind,
    RiskOccurred,
    RiskRaised,
    Severity,
    Strategy,
)
from govkernel.domain import (
    Aggregate,
    Code,
    Money,
    Name,
    NotKnownYet,
    PortfolioId,
    ProjectId,
    Refusal,
    RiskId,
    Sha256,
    SubjectId,
    Text,
    differences,
)
from risks.domain import issue
from risks.domain.matrix import MatrixNotPublished, score, value_of


@dataclass(frozen=True, slots=True)
class NotRaised:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Open:
    """The risk may still happen; of each basis the newest assessment is kept."""

    raised: RiskRaised
    assessments: Mapping[Basis, RiskAssessed]
    responses: tuple[ResponsePlanned, ...]


@dataclass(frozen=True, slots=True)
class Occurred:
    """What was uncertain has happened."""

    raised: RiskRaised
    occurred: RiskOccurred


@dataclass(frozen=True, slots=True)
class Closed:
    """The risk needs no more attention."""

    raised: RiskRaised


Risk: TypeAlias = NotRaised | Open | Occurred | Closed


@dataclass(frozen=True, slots=True)
class RaiseRisk:
    """Put a risk on record; the fields are those of RiskRaised."""

    project: ProjectId
    portfolio: PortfolioId
    kind: RiskKind
    title: Name
    cause: Text
    event: Text
    effect: Text
    category: Code
    owner: SubjectId
    proximity: date | None


@dataclass(frozen=True, slots=True)
class AssessRisk:
    """Score the risk under the newest edition of its portfolio's matrix, which is None where there is none yet.

    `matrix_hash` is the hash of that edition's document; levels count from 1.
    """

    basis: Basis
    edition: MatrixPublished | None
    matrix_hash: Sha256 | None
    probability: int
    impacts: tuple[Impact, ...]
    money_at_stake: Money | None
    reason: Text


@dataclass(frozen=True, slots=True)
class PlanResponse:
    """Say who will do what about the risk."""

    strategy: Strategy
    action: Text
    owner: SubjectId
    due: date | None
    cost: Money | None


@dataclass(frozen=True, slots=True)
class RecordOccurrence:
    """Say that the risk has happened; `risk` is its own id, from which the issue's id is made.

    `title` is the issue's, None for the risk's own.
    """

    risk: RiskId
    description: Text
    severity: Severity
    owner: SubjectId
    title: Name | None = None


@dataclass(frozen=True, slots=True)
class CloseRisk:
    """Say that the risk needs no more attention."""

    reason: Text


Command: TypeAlias = RaiseRisk | AssessRisk | PlanResponse | RecordOccurrence | CloseRisk
Event: TypeAlias = RiskRaised | RiskAssessed | ResponsePlanned | RiskOccurred | RiskClosed


class RiskNotKnown(NotKnownYet):
    """No risk is known under this id."""


class RiskAlreadyRaised(Refusal):
    """The risk is already on record, with other particulars."""


class RiskNotOpen(Refusal):
    """The risk has occurred or is closed; raise a new one for what may still happen."""


class RiskAlreadyOccurred(Refusal):
    """The risk has already occurred, with other particulars."""


class MatrixOfAnotherPortfolio(Refusal):
    """A risk is scored under the matrix of its own portfolio."""


class CurrencyDiffers(Refusal):
    """All money of a risk is in one currency, for it is compared and summed."""


class MoneyOutOfRange(Refusal):
    """Money of a risk is from 0 to below 10^15, with at most three decimals; its kind says if it is lost or won."""


class StrategyDoesNotFit(Refusal):
    """The strategy isn't one for this kind of risk."""


STRATEGIES: Final[Mapping[RiskKind, tuple[Strategy, ...]]] = {
    RiskKind.THREAT: (
        Strategy.AVOID,
        Strategy.REDUCE,
        Strategy.TRANSFER,
        Strategy.SHARE,
        Strategy.ACCEPT,
        Strategy.CONTINGENCY,
        Strategy.ESCALATE,
    ),
    RiskKind.OPPORTUNITY: (
        Strategy.EXPLOIT,
        Strategy.ENHANCE,
        Strategy.SHARE,
        Strategy.ACCEPT,
        Strategy.ESCALATE,
    ),
}


def decide(command: Command, risk: Risk) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above and those of `score`."""
    match command:
        case RaiseRisk():
            raised = RiskRaised(
                command.project,
                command.portfolio,
                command.kind,
                command.title,
                command.cause,
                command.event,
                command.effect,
                command.category,
                command.owner,
                command.proximity,
            )
            if isinstance(risk, NotRaised):
                return (raised,)
            if risk.raised == raised:
                return ()
            raise RiskAlreadyRaised(**differences(risk.raised, raised))
        case AssessRisk():
            still_open = _open(risk)
            assessed = _assess(command, still_open)
            return () if assessed == still_open.assessments.get(command.basis) else (assessed,)
        case PlanResponse(strategy=strategy, cost=cost):
            still_open = _open(risk)
            kind = still_open.raised.kind
            if strategy not in STRATEGIES[kind]:
                raise StrategyDoesNotFit(
                    f"{strategy.value} is no strategy for a risk that is a {kind.value}.",
                    strategy=strategy.value,
                    strategies=", ".join(each.value for each in STRATEGIES[kind]),
                )
            _check_money(cost, still_open)
            planned = ResponsePlanned(
                still_open.raised.project, strategy, command.action, command.owner, command.due, cost
            )
            return () if planned in still_open.responses else (planned,)
        case RecordOccurrence():
            known = _known(risk)
            occurred = RiskOccurred(
                known.raised.project,
                known.raised.portfolio,
                known.raised.kind,
                issue.stream_of(command.risk),
                known.raised.title if command.title is None else command.title,
                command.description,
                command.severity,
                command.owner,
            )
            match known:
                case Open():
                    return (occurred,)
                case Occurred(occurred=before) if before == occurred:
                    return ()
                case Occurred(occurred=before):
                    raise RiskAlreadyOccurred(**differences(before, occurred))
                case Closed():
                    raise RiskNotOpen("The risk is closed.", state="closed")
                case _:
                    assert_never(known)
        case CloseRisk(reason=reason):
            match _known(risk):
                case Open(raised=raised) | Occurred(raised=raised):
                    return (RiskClosed(raised.project, reason),)
                case Closed():
                    return ()
        case _:
            assert_never(command)


def _known(risk: Risk) -> Open | Occurred | Closed:
    if isinstance(risk, NotRaised):
        raise RiskNotKnown
    return risk


def _open(risk: Risk) -> Open:
    match _known(risk):
        case Open() as still_open:
            return still_open
        case Occurred():
            raise RiskNotOpen("The risk has occurred.", state="occurred")
        case Closed():
            raise RiskNotOpen("The risk is closed.", state="closed")


def _assess(command: AssessRisk, risk: Open) -> RiskAssessed:
    edition = command.edition
    if edition is None or command.matrix_hash is None:
        raise MatrixNotPublished
    if edition.portfolio != risk.raised.portfolio:
        raise MatrixOfAnotherPortfolio(matrix=str(edition.portfolio), risk=str(risk.raised.portfolio))
    _check_money(command.money_at_stake, risk)
    chance = value_of("probability", edition.probabilities, command.probability)
    stake = command.money_at_stake
    return RiskAssessed(
        project=risk.raised.project,
        basis=command.basis,
        matrix_number=edition.number,
        matrix_hash=command.matrix_hash,
        probability=command.probability,
        impacts=command.impacts,
        score=score(edition, command.probability, command.impacts),
        money_at_stake=stake,
        exposure=None if stake is None else Money(chance * round(stake.amount, 3), stake.currency),
        reason=command.reason,
    )


def _check_money(money: Money | None, risk: Open) -> None:
    if money is None:
        return
    # Within these bounds probability times money is exact, and fits into an event.
    if not 0 <= money.amount < 10**15 or money.amount != round(money.amount, 3):
        raise MoneyOutOfRange(amount=str(money.amount))
    assessed = (assessment.money_at_stake for assessment in risk.assessments.values())
    spoken = [each.currency for each in (*assessed, *(response.cost for response in risk.responses)) if each]
    if spoken and money.currency != spoken[0]:
        raise CurrencyDiffers(
            f"The risk's money is in {spoken[0]}, not in {money.currency}.",
            currency=money.currency,
            on_record=spoken[0],
        )


def evolve(risk: Risk, event: Event) -> Risk:
    """The risk after an event."""
    if isinstance(event, RiskRaised):
        return Open(event, {}, ())
    assert not isinstance(risk, NotRaised)
    match event:
        case RiskAssessed(basis=basis):
            assert isinstance(risk, Open)
            return replace(risk, assessments={**risk.assessments, basis: event})
        case ResponsePlanned():
            assert isinstance(risk, Open)
            return replace(risk, responses=(*risk.responses, event))
        case RiskOccurred():
            return Occurred(risk.raised, event)
        case RiskClosed():
            return Closed(risk.raised)
        case _:
            assert_never(event)


RISK: Final[Aggregate[Risk, Command, Event]] = Aggregate("risk", NotRaised(), decide, evolve)
