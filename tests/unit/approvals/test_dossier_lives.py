"""Reviews live random lives; the dossier of each says of every vote what the review itself makes of it."""

from hypothesis import given, settings
from tests.unit.approvals.test_dossier import told
from tests.unit.approvals.test_pages import Read, page_of
from tests.unit.approvals.test_what_if_lives import POLICIES, STEPS, Step, end_of, lived, submitted

from approvals.application.dossier import Standing, digest_of
from approvals.application.what_if import End
from approvals.domain.gate_policy import PublishPolicy
from approvals.domain.review import Draft, NotDrafted
from govevents.approvals import VoteCast


@settings(max_examples=150, deadline=None)
@given(POLICIES, STEPS)
def test_the_votes_that_stand_are_those_that_the_review_counts_and_every_other_says_what_ended_it(
    policy: PublishPolicy, steps: list[Step]
) -> None:
    life = submitted(policy)
    lived(life, steps)
    dossier = told(life)
    assert not isinstance(life.state, NotDrafted | Draft)
    ballot = life.state.ballot
    assert ballot is not None
    cast = {one.id: one.event for one in life.review.recorded if isinstance(one.event, VoteCast)}
    standing = {vote.seat: cast[vote.record.event] for vote in dossier.votes if vote.standing is Standing.STANDS}
    assert standing == ballot.votes
    assert [vote.record.event for vote in dossier.votes] == list(cast)
    versions = [int(record.event.rpartition("@")[2]) for record in dossier.events]
    assert versions == list(range(1, len(life.review.recorded) + 1))
    for vote in dossier.votes:
        assert (vote.ended_by is None) == (vote.standing is Standing.STANDS)
        if vote.ended_by is not None:
            assert int(vote.ended_by.rpartition("@")[2]) > int(vote.record.event.rpartition("@")[2])
        assert all(sight.verified for sight in vote.seen)
    assert dossier.decided == (end_of(life)[0] is End.CONCLUDED)
    assert {each.person for each in dossier.recusals} == set(ballot.recused)
    assert sum(vote.mark is not None for vote in dossier.votes) == len(ballot.marks)
    assert digest_of(dossier) == digest_of(told(life))


@settings(max_examples=30, deadline=None)
@given(POLICIES, STEPS)
def test_every_dossier_can_be_read_as_a_page(policy: PublishPolicy, steps: list[Step]) -> None:
    life = submitted(policy)
    lived(life, steps)
    read = Read(page_of(life))
    anchors = {given["id"] for _, given in read.elements if "id" in given}
    assert all(link.removeprefix("#") in anchors for link in read.attributes("href"))
