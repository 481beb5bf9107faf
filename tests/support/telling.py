"""A portfolio's life, told in events of the services that projections reads, at times that a test chooses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import ceil
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


ONE_VOTE = approvals.Quorum(1, Decimal(0))
DEED = approvals.Evidence("Deed", "https://files.example/deed", "c" * 64, "deed")


def aud(amount: str) -> Money:
    return Money(Decimal(amount), "AUD")


def day(number: float) -> datetime:
    """So many days after the story begins."""
    return BEGINS + timedelta(days=number)


def seat(holder: SubjectId, *alternates: SubjectId, veto: bool = False) -> approvals.Elector:
    """A seat among the voters, whose holder's person has the same id as the account."""
    others = tuple(approvals.Alternate(each, PersonId(each)) for each in alternates)
    return approvals.Elector(holder, PersonId(holder), "member of Board", veto, others)


def condition(due: date, text: str = "Settle the easement.", owner: SubjectId = MAX) -> approvals.Condition:
    """A condition of a Conditional Go, whose day is over at midnight in UTC."""
    lapses_at = datetime(due.year, due.month, due.day, tzinfo=UTC) + timedelta(days=1)
    return approvals.Condition(text, owner, due, "The deed.", approvals.OnLapse.REMINDER, lapses_at)


@dataclass
class Teller:
    """Writes streams. `named` gives the name of each source in a test whose topics are its own."""

    named: Callable[[str], str] = lambda source: source
    written: list[Document] = field(default_factory=list)
    submissions: dict[UUID, datetime] = field(default_factory=dict)
    bodies: dict[UUID, Stream] = field(default_factory=dict)

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
        stream = self.stream("approvals")
        self.bodies[stream.stream] = stream
        return self.at(stream, BEGINS, approvals.BodyFormed(PortfolioId(portfolio), name))

    def seated(
        self,
        body: Recorded[Any],
        member: SubjectId,
        *,
        alternate_for: SubjectId | None = None,
        first_day: date = date(2026, 1, 1),
        last_day: date | None = None,
    ) -> Recorded[Any]:
        """Somebody sits on a body for a term."""
        stream = self.bodies[body.envelope.stream]
        appointed = approvals.MemberAppointed(member, PersonId(member), False, alternate_for, first_day, last_day)
        return self.at(stream, stream.time, appointed)

    def released(self, body: Recorded[Any], member: SubjectId, moment: datetime) -> Recorded[Any]:
        return self.at(self.bodies[body.envelope.stream], moment, approvals.MemberReleased(member, "Moved away."))

    def drafted(
        self,
        portfolio: UUID,
        project: UUID,
        moment: datetime,
        *,
        gate: str | None = "G1",
        kind: approvals.ReviewKind = approvals.ReviewKind.GATE,
        waives: approvals.ConditionOf | None = None,
    ) -> tuple[Stream, Recorded[Any]]:
        """A review that is being prepared."""
        stream = self.stream("approvals", moment)
        drafted = approvals.ReviewDrafted(
            project=ProjectId(project),
            portfolio=PortfolioId(portfolio),
            kind=kind,
            gate=gate,
            question="May it go on?",
            evidence=(),
            about=None,
            waives=waives,
            value=None,
            requested=None,
        )
        return stream, self.at(stream, moment, drafted)

    def submitted(
        self,
        portfolio: UUID,
        project: UUID,
        moment: datetime,
        *,
        gate: str | None = "G1",
        kind: approvals.ReviewKind = approvals.ReviewKind.GATE,
        body: UUID | None = None,
        electorate: tuple[approvals.Elector, ...] = (seat(BO),),
        submitter: SubjectId = ANA,
        tied: tuple[PersonId, ...] = (),
        value: Money | None = None,
        quorum: approvals.Quorum = ONE_VOTE,
        policy: approvals.Seen = SEEN,
        policy_number: int = 1,
        awaits: tuple[str, ...] = (),
        ready: bool = True,
        closes_at: datetime | None = None,
    ) -> tuple[Stream, list[Recorded[Any]]]:
        """A review that is put to its voters, who may vote at once where it awaits no figures."""
        stream, drafted = self.drafted(portfolio, project, moment, gate=gate, kind=kind)
        self.submissions[stream.stream] = moment
        submitted = approvals.ReviewSubmitted(
            project=ProjectId(project),
            submitter=submitter,
            proposed=approvals.Outcome.GO,
            policy=policy,
            policy_number=policy_number,
            electorate=electorate,
            excluded=(),
            tied=tuple(approvals.Exclusion(each, approvals.Duty.SPONSOR) for each in tied),
            quorum=quorum,
            votes_needed=max(quorum.minimum, ceil(quorum.share * len(electorate))),
            rule=approvals.Rule.MAJORITY,
            threshold=None,
            failed_outcome=approvals.Outcome.RECYCLE,
            body=BodyId(body) if body is not None else None,
            escalation=None,
            evidence=(),
            value=value,
            deliverables=(),
            criteria=(),
            conditions=approvals.ConditionTerms(None, None, tuple(approvals.OnLapse)),
            open_conditions=(),
            breaches=(),
            findings=(),
            ready=ready,
            awaits=awaits,
            measured_by=moment + timedelta(minutes=1) if awaits else None,
            submitted_at=moment,
            closes_at=closes_at,
            at_time_limit=approvals.AtTimeLimit.ESCALATE if closes_at is not None else None,
            reminders=(),
            time_zone="Australia/Melbourne",
        )
        return stream, [drafted, self.at(stream, moment, submitted)]

    def opened(self, review: Stream, project: UUID, moment: datetime, *, ready: bool = True) -> Recorded[Any]:
        return self.at(review, moment, approvals.ReviewOpened(ProjectId(project), (), (), ready))

    def voted(
        self,
        review: Stream,
        project: UUID,
        moment: datetime,
        *,
        voter: SubjectId = BO,
        for_seat: SubjectId | None = None,
        authority: approvals.Authority = approvals.Authority.OWN,
        delegation: UUID | None = None,
        choice: approvals.Choice = approvals.Choice.APPROVE,
        conditions: tuple[approvals.Condition, ...] = (),
    ) -> Recorded[Any]:
        """Somebody speaks for their own seat, or for that of somebody else."""
        cast = approvals.VoteCast(
            project=ProjectId(project),
            voter=voter,
            person=PersonId(voter),
            seat=PersonId(for_seat or voter),
            authority=authority,
            delegation=approvals.Seen(str(delegation), 1, "e" * 64) if delegation is not None else None,
            choice=choice,
            conditions=conditions,
            seen=(SEEN,),
            reason="It holds.",
        )
        return self.at(review, moment, cast)

    def evidence_changed(self, review: Stream, project: UUID, moment: datetime, *, ready: bool = True) -> Recorded[Any]:
        changed = approvals.EvidenceChanged(ProjectId(project), ANA, (DEED,), (), ready, "A newer deed.")
        return self.at(review, moment, changed)

    def recused(self, review: Stream, project: UUID, moment: datetime, person: SubjectId) -> Recorded[Any]:
        recused = approvals.VoterRecused(ProjectId(project), PersonId(person), person, "My sister bids.")
        return self.at(review, moment, recused)

    def escalated(
        self,
        review: Stream,
        project: UUID,
        moment: datetime,
        *,
        to: approvals.Panel | None = None,
        closes_at: datetime | None = None,
    ) -> Recorded[Any]:
        escalated = approvals.ReviewEscalated(ProjectId(project), "All abstain.", to, closes_at, ())
        return self.at(review, moment, escalated)

    def referred(
        self,
        review: Stream,
        project: UUID,
        moment: datetime,
        to: approvals.Panel,
        *,
        closes_at: datetime | None = None,
    ) -> Recorded[Any]:
        referred = approvals.ReviewReferred(ProjectId(project), MAX, to, closes_at, (), "The council decides.")
        return self.at(review, moment, referred)

    def asked(
        self, review: Stream, project: UUID, moment: datetime, number: int = 1, asker: SubjectId = BO
    ) -> Recorded[Any]:
        return self.at(review, moment, approvals.QuestionAsked(ProjectId(project), number, asker, "Who pays?"))

    def answered(self, review: Stream, project: UUID, moment: datetime, number: int = 1) -> Recorded[Any]:
        return self.at(review, moment, approvals.QuestionAnswered(ProjectId(project), number, ANA, "We do."))

    def concluded(
        self,
        review: Stream,
        portfolio: UUID,
        project: UUID,
        moment: datetime,
        *,
        gate: str | None = "G1",
        outcome: approvals.Outcome = approvals.Outcome.GO,
        due: date | None = None,
        conditions: tuple[approvals.Condition, ...] = (),
        breaches: tuple[approvals.Breach, ...] = (),
        body: UUID | None = None,
    ) -> list[Recorded[Any]]:
        """The vote that decides a review, with one condition where it is due on a day."""
        if due is not None:
            conditions = (*conditions, condition(due))
        voted = self.voted(review, project, moment)
        ended = self.ended(
            review,
            portfolio,
            project,
            moment,
            gate=gate,
            outcome=approvals.Outcome.CONDITIONAL_GO if conditions else outcome,
            conditions=conditions,
            breaches=breaches,
            body=body,
        )
        return [voted, ended]

    def ended(
        self,
        review: Stream,
        portfolio: UUID,
        project: UUID,
        moment: datetime,
        *,
        gate: str | None = "G1",
        outcome: approvals.Outcome = approvals.Outcome.GO,
        conditions: tuple[approvals.Condition, ...] = (),
        breaches: tuple[approvals.Breach, ...] = (),
        body: UUID | None = None,
    ) -> Recorded[Any]:
        """A review has its outcome, from votes that are told already."""
        ended = approvals.ReviewConcluded(
            project=ProjectId(project),
            portfolio=PortfolioId(portfolio),
            kind=approvals.ReviewKind.GATE,
            gate=gate,
            about=None,
            waives=None,
            outcome=outcome,
            ending=approvals.Ending.DECIDED,
            because="1 approves, 0 reject or return, 0 abstain, of 1.",
            tally=approvals.Tally(1, 1, 1, 0, 0, 0, 0, 0),
            conditions=conditions,
            breaches=breaches,
            body=BodyId(body) if body is not None else None,
            submitted_at=self.submissions[review.stream],
        )
        return self.at(review, moment, ended)

    def condition_met(self, review: Stream, project: UUID, moment: datetime, number: int = 1) -> Recorded[Any]:
        closed = approvals.ConditionClosed(ProjectId(project), number, (DEED,), "Signed.")
        return self.at(review, moment, closed)

    def condition_waived(self, review: Stream, project: UUID, moment: datetime, decision: UUID) -> Recorded[Any]:
        seen = approvals.Seen(str(decision), 4, "f" * 64)
        return self.at(review, moment, approvals.ConditionWaived(ProjectId(project), 1, seen, "Not needed."))

    def condition_reminded(self, review: Stream, project: UUID, moment: datetime, due: date) -> Recorded[Any]:
        return self.at(review, moment, approvals.ConditionReminded(ProjectId(project), 1, MAX, due))

    def condition_lapsed(
        self,
        review: Stream,
        portfolio: UUID,
        project: UUID,
        moment: datetime,
        due: date,
        *,
        then: approvals.OnLapse = approvals.OnLapse.REMINDER,
        escalated_to: UUID | None = None,
    ) -> Recorded[Any]:
        lapsed = approvals.ConditionLapsed(
            ProjectId(project),
            PortfolioId(portfolio),
            1,
            MAX,
            due,
            then,
            BodyId(escalated_to) if escalated_to is not None else None,
        )
        return self.at(review, moment, lapsed)

    def delegated(
        self,
        node: UUID,
        moment: datetime,
        *,
        delegator: SubjectId = BO,
        delegate: SubjectId = MAX,
        kinds: tuple[approvals.ReviewKind, ...] = (),
        limit: Money | None = None,
        first_day: date = date(2026, 3, 1),
        last_day: date = date(2026, 12, 31),
    ) -> tuple[Stream, Recorded[Any]]:
        """A person lets another speak for their seats at a node and all below it."""
        stream = self.stream("approvals", moment)
        granted = approvals.DelegationGranted(
            delegator=delegator,
            delegator_person=PersonId(delegator),
            delegate=delegate,
            delegate_person=PersonId(delegate),
            node=NodeId(node),
            kinds=kinds,
            limit=limit,
            first_day=first_day,
            last_day=last_day,
            reason="Leave.",
        )
        return stream, self.at(stream, moment, granted)

    def revoked(self, delegation: Stream, node: UUID, moment: datetime) -> Recorded[Any]:
        revoked = approvals.DelegationRevoked(BO, MAX, NodeId(node), BO, "Back early.")
        return self.at(delegation, moment, revoked)

    def requested(
        self, portfolio: UUID, project: UUID, moment: datetime, *, gate: str | None = "G2"
    ) -> tuple[Stream, Recorded[Any]]:
        """Someone asks for a review of a gate."""
        stream = self.stream("approvals", moment)
        requested = approvals.ReviewRequested(
            ProjectId(project), PortfolioId(portfolio), approvals.ReviewKind.GATE, gate, BO, "It has drifted."
        )
        return stream, self.at(stream, moment, requested)

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
