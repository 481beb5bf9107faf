"""Alternates, delegates and the recused over HTTP, and what revoking a delegation does to votes under it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
from tests.integration.approvals.room import BOARD, CHARTER, Room, assign, register
from tests.support.services import done, problem, subject

from approvals.domain.delegation import DELEGATION
from govevents.approvals import Role, VoteCast, VoteMarked
from govevents.projects import CharterAmended


async def seat_alternate(room: Room, name: str, member: str) -> None:
    """Let somebody who is an approver sit in for a member of the board."""
    await register(room.service, name)
    done(await assign(room.service, name, Role.APPROVER, room.portfolio), 201)
    await room.service.follow_itself()
    seat = {"member": str(subject(name)), "alternate_for": str(subject(member)), "first_day": "2020-01-01"}
    done(await (await room.as_("pia")).post(f"/bodies/{room.board}/members", json=seat))


async def delegate(room: Room, giver: str, taker: str, **changed: Any) -> str:
    """Let a member delegate to somebody at the portfolio; the delegation's id."""
    today = datetime.now(UTC).date()
    body = {
        "delegate": str(subject(taker)),
        "node": room.portfolio,
        "first_day": str(today - timedelta(days=1)),
        "last_day": str(today + timedelta(days=30)),
        "reason": "On leave.",
        **changed,
    }
    return str(done(await (await room.as_(giver)).post("/delegations", json=body), 201)["stream"])


async def revoke(room: Room, who: str, delegation: str) -> httpx2.Response:
    return await (await room.as_(who)).post(f"/delegations/{delegation}/revocations", json={"reason": "I am back."})


async def test_a_delegate_votes_for_the_delegator_and_the_review_says_under_what(room: Room) -> None:
    review = await room.opened()
    delegation = await delegate(room, "ana", "con")
    done(await room.vote(review, "con", seen=2, delegation=delegation))
    (seat,) = [each for each in (await room.shown(review))["electorate"] if each["name"] == "Ana"]
    granted = await room.service.runtime.ledger.events(UUID(delegation))
    assert (seat["choice"], seat["spoken_by_name"], seat["spoken_as"]) == ("approve", "Con", "delegate")
    assert seat["delegation"] == {"stream": delegation, "version": 1, "hash": granted[0].hash.hex()}
    problem(await room.vote(review, "con", seen=3), 403, "not-an-elector")


async def test_a_revoked_delegation_gives_no_vote_and_marks_those_that_were_cast(room: Room) -> None:
    review = await room.opened()
    delegation = await delegate(room, "ana", "con")
    done(await room.vote(review, "con", seen=2, delegation=delegation))
    done(await revoke(room, "ana", delegation))
    await room.service.follow_itself()
    (marked,) = [fact for fact in await room.facts(review) if isinstance(fact, VoteMarked)]
    assert (marked.voter, marked.delegation, marked.reason) == (subject("con"), UUID(delegation), "I am back.")
    (seat,) = [each for each in (await room.shown(review))["electorate"] if each["name"] == "Ana"]
    assert (seat["choice"], seat["marked_because"]) == ("approve", "I am back.")
    late = problem(
        await room.vote(review, "con", seen=4, delegation=delegation, choice="reject"), 409, "delegation-was-revoked"
    )
    assert late["facts"]["reason"] == "I am back."
    done(await room.vote(review, "bo", seen=4))
    assert (await room.shown(review))["outcome"] == "go"


async def test_a_vote_rests_on_the_very_version_of_its_delegation(room: Room) -> None:
    review = await room.opened()
    delegation = await delegate(room, "ana", "con")
    done(await room.vote(review, "con", seen=2, delegation=delegation))
    (cast,) = [fact for fact in await room.facts(review) if isinstance(fact, VoteCast)]
    assert cast.delegation is not None
    head = (await room.service.runtime.ledger.load(DELEGATION, UUID(delegation))).head
    assert (cast.delegation.version, cast.delegation.hash) == (head.version, head.hash.hex() if head.hash else "")


async def test_what_a_delegation_does_not_cover_is_refused_with_the_reason(room: Room) -> None:
    review = await room.opened()
    small = await delegate(room, "ana", "con", limit={"amount": "1000.00", "currency": "AUD"})
    above = problem(await room.vote(review, "con", seen=2, delegation=small), 409, "delegation-limit-exceeded")
    assert above["facts"] == {"value": "2500000.00 AUD", "limit": "1000.00 AUD"}
    budgets = await delegate(room, "bo", "con", kinds=["budget"])
    problem(await room.vote(review, "con", seen=2, delegation=budgets), 409, "delegation-out-of-scope")
    problem(await room.vote(review, "vic", seen=2, delegation=budgets), 403, "not-allowed")
    nobodys = str(uuid4())
    unknown = problem(await room.vote(review, "con", seen=2, delegation=nobodys), 404, "delegation-not-known")
    assert unknown["facts"] == {"delegation": nobodys}
    problem(await room.vote(review, "con", seen=2, delegation=review), 404, "of-another-kind")


async def test_nobody_has_two_voices_or_carries_the_vote_of_the_manager(room: Room) -> None:
    review = await room.opened()
    to_member = await delegate(room, "ana", "bo")
    problem(await room.vote(review, "bo", seen=2, delegation=to_member), 403, "one-voice-only")
    of_manager = await delegate(room, "max", "con")
    problem(await room.vote(review, "con", seen=2, delegation=of_manager), 403, "delegator-may-not-vote")
    to_manager = await delegate(room, "ana", "max")
    problem(await room.vote(review, "max", seen=2, delegation=to_manager), 403, "submitter-may-not-vote")


async def test_an_alternate_votes_until_the_member_does(room: Room) -> None:
    await seat_alternate(room, "alf", "ana")
    review = await room.opened()
    done(await room.vote(review, "alf", seen=2, choice="reject"))
    (seat,) = [each for each in (await room.shown(review))["electorate"] if each["name"] == "Ana"]
    assert (seat["spoken_by_name"], seat["spoken_as"], seat["alternates"]) == (
        "Alf",
        "alternate",
        [{"subject": str(subject("alf")), "name": "Alf"}],
    )
    done(await room.vote(review, "ana", seen=3))
    taken = problem(await room.vote(review, "alf", seen=4, choice="reject"), 409, "seat-has-voted")
    assert taken["facts"] == {"voter": str(subject("ana"))}


async def test_a_voter_keeps_out_and_the_alternate_takes_the_seat(room: Room) -> None:
    await seat_alternate(room, "alf", "ana")
    review = await room.opened()
    recusal = {"reason": "My brother bids for it."}
    done(await (await room.as_("ana")).post(f"/reviews/{review}/recusals", json=recusal))
    shown = await room.shown(review)
    assert shown["tally"]["electorate"] == len(BOARD)
    out = problem(await room.vote(review, "ana", seen=3), 403, "voter-is-recused")
    assert out["facts"] == {"because": "My brother bids for it."}
    done(await room.vote(review, "alf", seen=3))
    done(await room.vote(review, "bo", seen=4))
    assert (await room.shown(review))["outcome"] == "go"


async def test_a_delegate_declares_a_conflict_before_voting_and_then_votes_by_no_path(room: Room) -> None:
    review = await room.opened()
    delegation = await delegate(room, "ana", "con")
    conflict = {"account": str(subject("con")), "reason": "My firm bids for it."}
    done(await (await room.as_("pia")).post(f"/reviews/{review}/recusals", json=conflict))
    (recusal,) = (await room.shown(review))["recusals"]
    assert (recusal["name"], recusal["recused_by"], recusal["reason"]) == (
        "Con",
        str(subject("pia")),
        conflict["reason"],
    )
    problem(await room.vote(review, "con", seen=3, delegation=delegation), 403, "voter-is-recused")
    later = await delegate(room, "bo", "con")
    problem(await room.vote(review, "con", seen=3, delegation=later), 403, "voter-is-recused")
    problem(await room.vote(review, "con", seen=3), 403, "voter-is-recused")
    done(await room.vote(review, "ana", seen=3))


async def test_recusals_that_leave_too_few_escalate_and_a_body_is_found_for_it(room: Room) -> None:
    await room.publish(gate="G2", quorum={"minimum": 3, "share": "0"})
    review = await room.opened(gate="G2")
    pmo = await room.as_("pia")
    conflict = {"account": str(subject("cy")), "reason": "Owns the land."}
    problem(await (await room.as_("bo")).post(f"/reviews/{review}/recusals", json=conflict), 403, "not-allowed")
    done(await pmo.post(f"/reviews/{review}/recusals", json=conflict))
    assert (await room.shown(review))["state"] == "escalated"
    council = str(done(await pmo.post("/bodies", json={"portfolio": room.portfolio, "name": "Council"}), 201)["stream"])
    referral, seen = {"body": council, "reason": "It knows the land."}, {"If-Match": '"4"'}
    few = problem(
        await pmo.post(f"/reviews/{review}/referrals", json=referral, headers=seen), 409, "electorate-too-small"
    )
    assert few["facts"]["votes_needed"] == "3"
    for name in ("con", "vic", "aud"):
        seat = {"member": str(subject(name)), "first_day": "2020-01-01"}
        done(await pmo.post(f"/bodies/{council}/members", json=seat))
    done(await pmo.post(f"/reviews/{review}/referrals", json=referral, headers=seen))
    shown = await room.shown(review)
    assert (shown["state"], shown["body"], {each["name"] for each in shown["electorate"]}) == (
        "open",
        council,
        {"Con", "Vic", "Aud"},
    )
    again = {"If-Match": '"5"'}
    problem(
        await pmo.post(f"/reviews/{review}/referrals", json={**referral, "body": room.board}, headers=again),
        409,
        "review-not-escalated",
    )


async def test_a_voter_who_is_made_the_project_s_manager_votes_no_more(room: Room) -> None:
    review = await room.opened()
    amended = CharterAmended(replace(CHARTER, manager=subject("bo")), "Bo takes over.")
    await room.service.hear(room.project_stream.event(amended))
    problem(await room.vote(review, "bo", seen=2), 403, "project-manager-may-not-vote")
    done(await room.vote(review, "ana", seen=2))


async def test_a_delegate_carries_no_vote_of_someone_whose_role_has_ended(room: Room) -> None:
    review = await room.opened()
    delegation = await delegate(room, "ana", "con")
    role = {"holder": str(subject("ana")), "role": "approver", "node": room.portfolio, "reason": "She has left."}
    done(await room.service.root.post("/role-revocations", json=role))
    await room.service.follow_itself()
    problem(await room.vote(review, "ana", seen=2), 403, "not-allowed")
    problem(await room.vote(review, "con", seen=2, delegation=delegation), 403, "delegator-may-not-vote")


async def test_the_pmo_that_submits_recuses_nobody_else(room: Room) -> None:
    review = await room.drafted()
    done(await room.submit(review, "pia"))
    body = {"account": str(subject("bo")), "reason": "A stake."}
    problem(await (await room.as_("pia")).post(f"/reviews/{review}/recusals", json=body), 403, "tied-may-not-recuse")


async def test_a_gate_is_decided_at_the_project_s_value_whoever_prepares_it(room: Room) -> None:
    asked = room.question(value={"amount": "1.00", "currency": "AUD"})
    refused = problem(await (await room.as_("max")).post("/reviews", json=asked), 409, "value-is-the-projects")
    assert refused["facts"] == {"kind": "gate", "value": "1.00 AUD"}
