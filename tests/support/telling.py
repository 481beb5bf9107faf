"""A portfolio's life, told in events of the services that projections reads, at times that a test chooses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from tests.support.streams import Stream

from govevents import approvals, projects, reporting, risks
from govevents.document import Document, Recorded
from govevents.registry import CATALOGUE
from govevents.values import BodyId, Money, NodeId, PersonId, PortfolioId, ProjectId, Source, SubjectId

ANA, BO, MAX = (SubjectId(UUID(int=number)) for number in (11, 12, 13))
BEGINS = datetime(2026, 3, 2, 9, tzinfo=UTC)
SOURCE = Source("gates.csv", "a" * 64, 7)
SEEN = approvals.Seen(str(uuid4()), 1, "b" * 64)
WATERFALL = projects.Methodology(
    "waterfall",
    1,
    projects.Delivery.WATERFALL,
    (
        projects.Phase("initiation", "Initiation", None),
        projects.Phase("planning", "Planning", "G1"),
        projects.Phase("delivery", "Delivery", "G2"),
    ),
)


def aud(amount: str) -> Money:
    return Money(Decimal(amount), "AUD")


def day(number: float) -> datetime:
    """So many days after the story begins."""
    return BEGINS + timedelta(days=number)


@dataclass
class Teller:
    """Writes streams. `named` gives the name of each source in a test whose topics are its own."""

    named: Callable[[str], str] = lambda source: source
    written: list[Document] = field(default_factory=list)

    def at(self, stream: Stream, moment: datetime, event: object, *, recorded: datetime | None = None) -> Recorded[Any]:
        """The stream's next event, known at a moment and recorded then, or at another one."""
        made = stream.add(event, later=moment - stream.time, recorded=(recorded or moment) - stream.recorded_at)
        self.written.append(made)
        return CATALOGUE.decode(made.body)

    def stream(self, source: str, moment: datetime = BEGINS, recorded: datetime | None = None) -> Stream:
        """A new stream of a source."""
        return Stream(self.named(source), time=moment, recorded_at=recorded or moment)

    def portfolio(self, name: str = "Water", zone: str = "Australia/Melbourne") -> tuple[Stream, Recorded[Any]]:
        stream = self.stream("projects")
        return stream, self.at(stream, BEGINS, projects.PortfolioRegistered(name, "AUD", zone))

    def programme(self, portfolio: UUID, parent: UUID | None = None) -> tuple[Stream, Recorded[Any]]:
        stream = self.stream("projects")
        registered = projects.ProgrammeRegistered(PortfolioId(portfolio), NodeId(parent or portfolio), "Mains")
        return stream, self.at(stream, BEGINS, registered)

    def project(
        self,
        portfolio: UUID,
        reference: str = "P-1",
        *,
        parent: UUID | None = None,
        methodology: projects.Methodology | None = WATERFALL,
        moment: datetime = BEGINS,
        recorded: datetime | None = None,
        **attributes: str,
    ) -> tuple[Stream, Recorded[Any]]:
        stream = self.stream("projects", moment, recorded)
        registered = projects.ProjectRegistered(
            portfolio=PortfolioId(portfolio),
            parent=NodeId(parent or portfolio),
            reference=reference,
            name=f"Main {reference}",
            charter=projects.Charter("Before it bursts.", None, MAX, aud("2500000")),
            methodology=methodology,
            attributes=tuple(projects.Attribute(name, value) for name, value in attributes.items()),
            source=None,
        )
        return stream, self.at(stream, moment, registered, recorded=recorded)

    def brought_in(
        self, portfolio: UUID, project: UUID, gate: str, on: date, *, recorded: datetime | None = None
    ) -> Recorded[Any]:
        """A decision that was made elsewhere at noon of a day."""
        known = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
        stream = self.stream("approvals", known, recorded)
        decided = approvals.DecisionRecorded(
            ProjectId(project), PortfolioId(portfolio), approvals.ReviewKind.GATE, gate, on, "MW Board", None, SOURCE
        )
        return self.at(stream, known, decided, recorded=recorded)

    def body(self, portfolio: UUID, name: str = "Board") -> Recorded[Any]:
        return self.at(self.stream("approvals"), BEGINS, approvals.BodyFormed(PortfolioId(portfolio), name))

    def submitted(
        self, portfolio: UUID, project: UUID, moment: datetime, *, gate: str = "G1", body: UUID | None = None
    ) -> tuple[Stream, list[Recorded[Any]]]:
        """A review of a gate that is open from a moment on."""
        stream = self.stream("approvals", moment)
        drafted = approvals.ReviewDrafted(
            ProjectId(project), PortfolioId(portfolio), approvals.ReviewKind.GATE, gate, "May it go on?", ()
        )
        submitted = approvals.ReviewSubmitted(
            project=ProjectId(project),
            submitter=ANA,
            proposed=approvals.Outcome.GO,
            policy=SEEN,
            policy_number=1,
            electorate=(approvals.Elector(BO, PersonId(BO), "member of Board", veto=False),),
            excluded=(),
            votes_needed=1,
            rule=approvals.Rule.MAJORITY,
            threshold=None,
            failed_outcome=approvals.Outcome.RECYCLE,
            body=BodyId(body) if body is not None else None,
            evidence=(),
            submitted_at=moment,
            closes_at=None,
            at_time_limit=None,
        )
        return stream, [self.at(stream, moment, drafted), self.at(stream, moment, submitted)]

    def concluded(
        self,
        review: Stream,
        portfolio: UUID,
        project: UUID,
        moment: datetime,
        *,
        gate: str = "G1",
        outcome: approvals.Outcome = approvals.Outcome.GO,
        due: date | None = None,
        body: UUID | None = None,
    ) -> list[Recorded[Any]]:
        """The vote that decides a review, with one condition where it is due on a day."""
        conditions = (approvals.Condition("Settle the easement.", MAX, due),) if due is not None else ()
        voted = approvals.VoteCast(
            ProjectId(project), BO, PersonId(BO), approvals.Choice.APPROVE, (), (SEEN,), "It holds."
        )
        submitted_at = review.time
        ended = approvals.ReviewConcluded(
            project=ProjectId(project),
            portfolio=PortfolioId(portfolio),
            kind=approvals.ReviewKind.GATE,
            gate=gate,
            outcome=approvals.Outcome.CONDITIONAL_GO if due is not None else outcome,
            ending=approvals.Ending.DECIDED,
            tally=approvals.Tally(1, 1, 1, 0, 0, 0, 0),
            conditions=conditions,
            body=BodyId(body) if body is not None else None,
            submitted_at=submitted_at,
        )
        return [self.at(review, moment, voted), self.at(review, moment, ended)]

    def condition_met(self, review: Stream, project: UUID, moment: datetime) -> Recorded[Any]:
        evidence = approvals.Evidence("Deed", "https://files.example/deed", "c" * 64)
        return self.at(review, moment, approvals.ConditionClosed(ProjectId(project), 1, (evidence,), "Signed."))

    def observed(
        self,
        project: Stream,
        on: date,
        *,
        phase: str | None = None,
        forecast: str | None = None,
        recorded: datetime | None = None,
    ) -> Recorded[Any]:
        """What a report said of a project; it was known at noon of its date."""
        known = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
        seen = projects.ProjectObserved(
            on, phase, aud(forecast) if forecast is not None else None, None, None, None, SOURCE
        )
        return self.at(project, known, seen, recorded=recorded)

    def risk(self, portfolio: UUID, project: UUID, moment: datetime) -> tuple[Stream, Recorded[Any]]:
        stream = self.stream("risks", moment)
        raised = risks.RiskRaised(
            ProjectId(project),
            PortfolioId(portfolio),
            risks.RiskKind.THREAT,
            "Rock",
            "Geology",
            "Rock is met.",
            "Slower",
            "ground",
            MAX,
            None,
        )
        return stream, self.at(stream, moment, raised)

    def assessed(self, risk: Stream, project: UUID, moment: datetime, probability: int, level: int) -> Recorded[Any]:
        score = Decimal(probability * level) / 25
        return self.at(
            risk,
            moment,
            risks.RiskAssessed(
                ProjectId(project),
                risks.Basis.CURRENT,
                1,
                "d" * 64,
                probability,
                (risks.Impact("cost", level), risks.Impact("time", 1)),
                score,
                aud("100000"),
                aud("50000"),
                "Bores drilled.",
            ),
        )

    def report(
        self, portfolio: UUID, project: UUID, moment: datetime, *, month: int, rating: reporting.Rating
    ) -> tuple[Stream, Recorded[Any]]:
        stream = self.stream("reporting", moment)
        drafted = reporting.StatusReportDrafted(
            project=ProjectId(project),
            portfolio=PortfolioId(portfolio),
            edition=1,
            period_start=date(2026, month, 1),
            period_end=date(2026, month, 28),
            scale=reporting.Scale.FIVE_POINT,
            confidences=(reporting.Confidence(reporting.Dimension.OVERALL, rating, "As planned."),),
            narrative="On it.",
            decisions_wanted=(),
            author=MAX,
        )
        return stream, self.at(stream, moment, drafted)
