"""Whether a review's recorded history explains every answer that was given while it was made."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.support.services import person, subject

from approvals.domain import review as reviews
from approvals.domain.delegation import DELEGATION
from approvals.domain.review import REVIEW
from govevents import approvals as events
from govevents.approvals import Choice, Evidence, Seen
from govevents.document import Recorded
from govkernel.access import day_in
from govkernel.domain import NodeId, Refusal

BASIS = (
    events.ReviewSubmitted,
    events.ReviewOpened,
    events.EvidenceChanged,
    events.QuestionAnswered,
    events.ReviewEscalated,
    events.ReviewReferred,
)
LAST = (events.ReviewConcluded, events.ReviewWithdrawn)
History = Sequence[Recorded[Any]]


@dataclass(frozen=True)
class Told:
    """What somebody asked of a review, and what they were told; `seen` is the version they said to have seen.

    `at` is when it was by the demo clock, None where they asked by the real one.
    """

    who: str
    noun: str
    body: Mapping[str, Any]
    seen: int | None
    status: int
    said: Mapping[str, Any]
    at: datetime | None = None


@dataclass(frozen=True)
class Past:
    """A review as its history had made it after some of its events."""

    state: reviews.Review
    history: History

    @property
    def basis(self) -> Seen:
        """Where what lay before voters stood."""
        last = [recorded for recorded in self.history if isinstance(recorded.event, BASIS)][-1]
        return seen_of(last)


def seen_of(recorded: Recorded[Any]) -> Seen:
    """Where an event stands."""
    return Seen(str(recorded.envelope.stream), recorded.envelope.version, recorded.hash.hex())


def pasts(history: History) -> list[Past]:
    """The review before its first event, after it, and so on."""
    state, found = REVIEW.initial, [Past(REVIEW.initial, ())]
    for number, recorded in enumerate(history, start=1):
        state = REVIEW.evolve(state, recorded.event)
        found.append(Past(state, history[:number]))
    return found


def explain(
    history: History,
    told: Iterable[Told],
    delegations: Mapping[str, History],
    nodes: frozenset[NodeId],
    order: Mapping[tuple[UUID, int], int],
) -> None:
    """Raise AssertionError for what the history doesn't explain.

    `delegations` are the streams of those that votes may rely on; `nodes` are the project and all above it; `order` is
    in which order the events of all streams were written, by stream and version.
    """
    ends = [place for place, recorded in enumerate(history) if isinstance(recorded.event, LAST)]
    assert len(ends) <= 1, "a review ends once"
    after = history[ends[0] + 1 :] if ends else ()
    assert all(isinstance(recorded.event, events.VoteMarked) for recorded in after), "nothing but marks follows an end"
    states = pasts(history)
    at = 0
    for group in _groups(history):
        if not isinstance(group[0].event, events.ReviewDrafted | events.ReviewSubmitted):
            command = _command(group, states[at], delegations, nodes)
            decided = REVIEW.decide(command, states[at].state)
            assert decided == tuple(recorded.event for recorded in group), f"{command} does not lead to {group}"
        at += len(group)
    _explain_delegated(history, delegations, order)
    _explain_answers(states, list(told), delegations, nodes)


def _groups(history: History) -> Iterator[list[Recorded[Any]]]:
    """The events of each command."""
    group: list[Recorded[Any]] = []
    for recorded in history:
        if group and group[0].envelope.command != recorded.envelope.command:
            yield group
            group = []
        group.append(recorded)
    if group:
        yield group


def _command(
    group: Sequence[Recorded[Any]], before: Past, delegations: Mapping[str, History], nodes: frozenset[NodeId]
) -> reviews.Command:
    """The command that must have led to these events."""
    at = _decided_at(group, before)
    match group[0].event:
        case events.VoteCast() as cast:
            return reviews.CastVote(
                voter=cast.voter,
                person=cast.person,
                acting=_acting(cast.delegation, delegations, nodes),
                choice=cast.choice,
                conditions=cast.conditions,
                basis=before.basis,
                seen=cast.seen,
                reason=cast.reason,
                today=day_in("Australia/Melbourne", at),
                at=at,
            )
        case events.VoterRecused(person=gone, recused_by=by, reason=reason):
            return reviews.RecuseVoter(gone, by, reason, at)
        case events.EvidenceChanged(changed_by=by, evidence=evidence, remark=remark):
            return reviews.ChangeEvidence(by, evidence, remark, at)
        case events.VoteMarked(delegation=delegation, reason=reason):
            return reviews.MarkVotes(delegation, reason)
        case events.ReviewWithdrawn(reason=reason) if not group[0].envelope.actor.startswith("service:"):
            return reviews.WithdrawReview(reason)
        case events.ReviewWithdrawn() | events.ReviewConcluded() | events.ReviewEscalated():
            assert group[0].envelope.actor.startswith("service:"), "only a deadline ends a review by itself"
            return reviews.ReachTimeLimit(at)
        case event:
            raise AssertionError(f"{event} was asked for by nobody")


def _decided_at(group: Sequence[Recorded[Any]], before: Past) -> datetime:
    """When it was decided: an escalation gives as much time from then on as the first voters had.

    The event's own time may be a little later, for time only goes forward within a stream.
    """
    for recorded in group:
        if isinstance(recorded.event, events.ReviewEscalated) and recorded.event.closes_at is not None:
            assert isinstance(before.state, reviews.Open)
            submitted = before.state.ballot.submitted
            assert submitted.closes_at is not None
            return recorded.event.closes_at - (submitted.closes_at - submitted.submitted_at)
    return group[0].envelope.time


def _acting(seen: Seen | None, delegations: Mapping[str, History], nodes: frozenset[NodeId]) -> reviews.Acting | None:
    """What somebody acted under, at the very version that they relied on."""
    if seen is None:
        return None
    known = delegations[seen.stream][: seen.version]
    assert seen_of(known[-1]) == seen, "the vote names a version that the ledger has"
    return reviews.Acting(DELEGATION.fold(recorded.event for recorded in known), seen, nodes)


def _explain_delegated(
    history: History, delegations: Mapping[str, History], order: Mapping[tuple[UUID, int], int]
) -> None:
    """A vote under a delegation was written before its revocation, and is marked where it stood when that came."""
    final = pasts(history)[-1].state
    standing = getattr(final, "ballot", None)
    for recorded in history:
        if not isinstance(recorded.event, events.VoteCast) or recorded.event.delegation is None:
            continue
        revoked = [one for one in delegations[recorded.event.delegation.stream] if _revokes(one)]
        for one in revoked:
            assert _place(recorded, order) < _place(one, order), "no vote is cast under what was revoked"
            marked = any(
                isinstance(mark.event, events.VoteMarked) and mark.event.voter == recorded.event.voter
                for mark in history
            )
            withdrawn = isinstance(final, reviews.Withdrawn)
            stands = standing is not None and recorded.event in standing.votes.values()
            assert marked or withdrawn or not stands, "a vote whose delegation was revoked is marked"


def _revokes(recorded: Recorded[Any]) -> bool:
    return isinstance(recorded.event, events.DelegationRevoked)


def _place(recorded: Recorded[Any], order: Mapping[tuple[UUID, int], int]) -> int:
    return order[recorded.envelope.stream, recorded.envelope.version]


def _explain_answers(
    states: Sequence[Past], told: Sequence[Told], delegations: Mapping[str, History], nodes: frozenset[NodeId]
) -> None:
    """What was taken is in the log once; what was not fits a state that the review had."""
    history = states[-1].history
    own = {recorded.id for recorded in history}
    answered = [event["id"] for one in told if one.status == 200 for event in one.said["events"]]
    assert set(answered) <= own, "what was taken is in the log"
    asked_for = {recorded.id for recorded in history[2:] if not recorded.envelope.actor.startswith("service:")}
    assert asked_for <= set(answered), "what is in the log was answered"
    for one in told:
        if one.status == 412:
            current = int(one.said["facts"]["current_version"])
            assert current != one.seen and current <= len(history), one
        elif one.status == 200 and one.said["events"]:
            ids = [event["id"] for event in one.said["events"]]
            assert ids == [recorded.id for recorded in history if recorded.id in set(ids)], "in the order of the log"
        else:
            assert any(_fits(one, past, delegations, nodes) for past in states[2:]), f"no state explains {one}"


def _fits(one: Told, past: Past, delegations: Mapping[str, History], nodes: frozenset[NodeId]) -> bool:
    """Whether a review in this state answers so."""
    expected = "" if one.status == 200 else one.said["type"].rpartition(":")[2]
    for command in _asked(one, past, delegations, nodes):
        try:
            decided = REVIEW.decide(command, past.state)
        except Refusal as refusal:
            if refusal.slug() == expected:
                return True
        else:
            if not decided and not expected:
                return True
    return False


def _asked(
    one: Told, past: Past, delegations: Mapping[str, History], nodes: frozenset[NodeId]
) -> Iterator[reviews.Command]:
    """The commands that a request can have been: a delegation may have been at any of its versions."""
    at = one.at or past.history[-1].envelope.time
    account, natural = subject(one.who), person(one.who)
    match one.noun:
        case "votes":
            named = one.body.get("delegation")
            relied_on = [None] if named is None else [seen_of(recorded) for recorded in delegations[named]]
            for seen in relied_on:
                yield reviews.CastVote(
                    voter=account,
                    person=natural,
                    acting=_acting(seen, delegations, nodes),
                    choice=Choice(one.body["choice"]),
                    conditions=(),
                    basis=past.basis,
                    seen=(past.basis,),
                    reason=one.body["reason"],
                    today=day_in("Australia/Melbourne", at),
                    at=at,
                )
        case "recusals":
            named = one.body.get("who", one.who)
            yield reviews.RecuseVoter(person(named), account, one.body["reason"], at)
        case "evidence":
            evidence = tuple(Evidence(**each) for each in one.body["evidence"])
            yield reviews.ChangeEvidence(account, evidence, one.body["remark"], at)
        case "withdrawals":
            yield reviews.WithdrawReview(one.body["reason"])
        case noun:
            raise AssertionError(f"nobody asks for {noun}")
