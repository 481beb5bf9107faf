"""Whatever happens to a review, its row and the inbox say what the review itself would say."""

from collections.abc import Mapping
from typing import Any

from hypothesis import settings
from hypothesis.stateful import invariant
from tests.support.telling import Teller
from tests.unit.approvals.test_review_lives import ReviewLives

from approvals.domain import review as reviews
from approvals.domain.review import Concluded, Escalated, Open, Submitted, Withdrawn
from projections.application.conditions import CONDITIONS, Condition, Standing
from projections.application.inbox import INBOX, InboxItem, Wanted
from projections.application.reviews import REVIEWS, Review, ReviewState


class ShownLives(ReviewLives):
    """The same lives, with the rows that projections makes of them."""

    def send(self, command: Any) -> tuple[Any, ...]:
        """Let it be decided, and folded."""
        if isinstance(command, reviews.DraftReview):
            self.teller = Teller()
            self.stream = self.teller.stream("approvals", self.now)
            self.reviews: Mapping[str, Review] = {}
            self.inbox: Mapping[str, InboxItem] = {}
            self.conditions: Mapping[str, Condition] = {}
        decided = super().send(command)
        for event in decided:
            recorded = self.teller.at(self.stream, self.now, event)
            self.reviews = REVIEWS.evolve(self.reviews, recorded)
            self.inbox = INBOX.evolve(self.inbox, recorded)
            self.conditions = CONDITIONS.evolve(self.conditions, recorded)
        return decided

    @property
    def row(self) -> Review:
        """The review as it is shown."""
        (row,) = self.reviews.values()
        return row

    def waiting(self, wanted: Wanted) -> list[InboxItem]:
        """What waits of a kind, less what waits for the recused."""
        return [
            each
            for each in self.inbox.values()
            if each.wanted is wanted and each.waiting_since is not None and each.person not in self.row.recused
        ]

    @invariant()
    def a_review_is_shown_as_it_stands(self) -> None:
        row = self.row
        assert row.head == len(self.history)
        match self.state:
            case Open(ballot=ballot):
                assert row.state is ReviewState.OPEN
                assert (row.electorate, row.votes_needed, row.votes) == (
                    len(reviews.seats(ballot)),
                    reviews.needed(ballot),
                    len(ballot.votes),
                )
                spoken = {each.holder: each.spoken_by for each in row.seats if each.spoken_by is not None}
                assert spoken == {seat: vote.person for seat, vote in ballot.votes.items()}
                assert set(row.recused) == ballot.recused.keys()
                assert (row.closes_at, row.body) == (ballot.closes_at, ballot.panel.body)
            case Submitted():
                assert row.state is ReviewState.SUBMITTED
            case Escalated():
                assert row.state is ReviewState.ESCALATED
            case Concluded(concluded=concluded):
                assert (row.state, row.outcome) == (ReviewState.CONCLUDED, concluded.outcome)
            case Withdrawn():
                assert row.state is ReviewState.WITHDRAWN
            case _:
                raise AssertionError(self.state)

    @invariant()
    def a_vote_waits_for_exactly_those_who_may_speak_for_a_seat_that_has_not_voted(self) -> None:
        asked = {(each.seat, each.person) for each in self.waiting(Wanted.VOTE)}
        if not isinstance(self.state, Open):
            assert asked == set()
            return
        ballot = self.state.ballot
        assert asked == {
            (seat.person, person)
            for seat in ballot.panel.electorate
            if seat.person not in ballot.votes
            for person in (seat.person, *(each.person for each in seat.alternates))
            if person not in ballot.recused
        }

    @invariant()
    def whoever_else_is_wanted_is_told(self) -> None:
        assert bool(self.waiting(Wanted.REFERRAL)) == isinstance(self.state, Escalated)
        answers = {each.number for each in self.waiting(Wanted.ANSWER)}
        if isinstance(self.state, Open):
            questions = self.state.ballot.questions
            unanswered = {each.asked.number for each in questions if each.answer is None}
            assert answers == unanswered == set(self.row.questions)
        owed = {each.number for each in self.waiting(Wanted.CONDITION)}
        if isinstance(self.state, Concluded):
            numbers = range(1, len(self.state.concluded.conditions) + 1)
            assert owed == set(numbers) - self.state.ended.keys()
            still_open = {each.number for each in self.conditions.values() if each.state is Standing.OPEN}
            assert still_open == owed
        else:
            assert owed == set()


TestShownLives = ShownLives.TestCase
TestShownLives.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
