"""A gate review as its people meet it: asked, voted on, decided, and read afterwards."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.approvals.room import CHARTER, EVIDENCE, VOTE, Room, assign, register
from tests.support.nodes import SILENT_CHARTER, heard_portfolio, heard_project
from tests.support.services import done, person, problem, subject

from govevents.approvals import (
    Ending,
    Outcome,
    ReviewConcluded,
    ReviewDrafted,
    ReviewEscalated,
    ReviewSubmitted,
    ReviewWithdrawn,
    Role,
    VoteCast,
)
from govevents.document import Origin
from govevents.projects import ProjectTerminated


async def test_a_gate_is_asked_voted_on_and_decided(room: Room) -> None:
    review = await room.drafted()
    assert (await room.shown(review))["state"] == "draft"
    done(await room.submit(review))
    done(await room.vote(review, "ana", seen=2))
    open_ = await (await room.as_("bo")).get(f"/reviews/{review}")
    shown = done(open_)
    assert open_.headers["etag"] == '"3"'
    assert (shown["state"], shown["project_name"], shown["project_reference"]) == ("open", "Main 12", "P-1")
    assert (shown["submitter_name"], shown["proposed"], shown["failed_outcome"]) == ("Max", "go", "recycle")
    assert shown["evidence"] == [EVIDENCE]
    assert [(elector["name"], elector["authority"], elector["choice"]) for elector in shown["electorate"]] == [
        ("Ana", "chair of Board", "approve"),
        ("Bo", "member of Board", None),
        ("Cy", "member of Board", None),
    ]
    assert {(each["name"], each["duty"]) for each in shown["excluded"]} == {
        ("Max", "submitter"),
        ("Max", "project_manager"),
        ("Sol", "sponsor"),
    }
    assert (shown["tally"]["approve"], shown["tally"]["votes_needed"], shown["tally"]["electorate"]) == (1, 2, 3)
    last = done(await room.vote(review, "bo", seen=3))
    assert [event["type"] for event in last["events"]] == ["approvals.VoteCast", "approvals.ReviewConcluded"]
    shown = await room.shown(review)
    assert (shown["state"], shown["outcome"], shown["ending"]) == ("concluded", "go", "decided")
    late = problem(await room.vote(review, "cy", seen=5, choice="reject"), 409, "review-not-open")
    assert late["facts"] == {"state": "concluded"}
    assert [type(fact) for fact in await room.facts(review)] == [
        ReviewDrafted,
        ReviewSubmitted,
        VoteCast,
        VoteCast,
        ReviewConcluded,
    ]


async def test_all_three_can_be_needed(room: Room) -> None:
    await room.publish(gate="G2", rule="consensus")
    review = await room.opened(gate="G2")
    for seen, name in enumerate(("ana", "bo", "cy"), start=2):
        assert (await room.shown(review))["state"] == "open"
        done(await room.vote(review, name, seen=seen))
    shown = await room.shown(review)
    assert (shown["state"], shown["tally"]["approve"]) == ("concluded", 3)


async def test_a_vote_says_what_lay_before_the_voter(room: Room) -> None:
    review = await room.opened()
    submission = (await room.service.runtime.ledger.events(UUID(review)))[1]
    stale = {"stream": review, "version": 2, "hash": "0" * 64}
    said = problem(await room.vote(review, "ana", seen=2, claims=[stale]), 409, "seen-incomplete")
    assert said["facts"]["hash"] == submission.hash.hex()
    done(await room.vote(review, "ana", seen=2))
    ana = (await room.shown(review))["electorate"][0]
    assert ana["seen"] == [{"stream": review, "version": 2, "hash": submission.hash.hex()}]


async def test_a_vote_can_be_changed_while_the_review_is_open_and_repeated_without_effect(room: Room) -> None:
    review = await room.opened()
    done(await room.vote(review, "ana", seen=2, choice="reject"))
    assert done(await room.vote(review, "ana", seen=3, choice="reject"))["events"] == []
    done(await room.vote(review, "ana", seen=3))
    shown = await room.shown(review)
    assert (shown["tally"]["approve"], shown["tally"]["reject"]) == (1, 0)


async def test_the_vote_that_decided_sent_again_without_its_key_is_no_error(room: Room) -> None:
    review = await room.opened()
    done(await room.vote(review, "ana", seen=2))
    assert len(done(await room.vote(review, "bo", seen=3))["events"]) == 2
    assert done(await room.vote(review, "bo", seen=5))["events"] == []


async def test_the_same_vote_sent_twice_with_its_key_is_answered_from_the_record(room: Room) -> None:
    review = await room.opened()
    client = await room.as_("ana")
    headers = {"If-Match": '"2"', "Idempotency-Key": "once"}
    first = await client.post(f"/reviews/{review}/votes", json=VOTE, headers=headers)
    again = await client.post(f"/reviews/{review}/votes", json=VOTE, headers=headers)
    assert done(first) == done(again)
    assert again.headers["gov-repeated"] == "true"
    other = await client.post(f"/reviews/{review}/votes", json={**VOTE, "reason": "Else."}, headers=headers)
    problem(other, 422, "idempotency-key-reused")


async def test_of_voters_who_saw_the_same_one_is_first_and_the_others_look_again(room: Room) -> None:
    review = await room.opened()
    answers = await asyncio.gather(*(room.vote(review, name, seen=2) for name in ("ana", "bo", "cy")))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    lost = next(answer for answer in answers if answer.status_code == 412)
    assert problem(lost, 412, "stale-version")["facts"]["current_version"] == "3"


async def test_conditions_make_a_conditional_go_and_are_closed_with_evidence(room: Room) -> None:
    review = await room.opened()
    condition = {"text": "Survey the ground.", "owner": str(subject("max")), "due": "2030-06-30"}
    done(await room.vote(review, "ana", seen=2, choice="approve_with_conditions", conditions=[condition]))
    done(await room.vote(review, "bo", seen=3))
    (shown,) = (await room.shown(review))["conditions"]
    assert (shown["number"], shown["owner_name"], shown["closed"]) == (1, "Max", False)
    path, manager = f"/reviews/{review}/condition-closures", await room.as_("max")
    met = {"condition": 1, "evidence": [EVIDENCE], "remark": "Surveyed."}
    assert problem(await manager.post(path, json={**met, "condition": 2}), 409, "condition-not-known")["facts"] == {
        "condition": "2",
        "conditions": "1",
    }
    problem(await manager.post(path, json={**met, "evidence": []}), 409, "evidence-missing")
    problem(await manager.post(path, json={**met, "evidence": [EVIDENCE, EVIDENCE]}), 409, "evidence-listed-twice")
    assert len(done(await manager.post(path, json=met))["events"]) == 1
    assert done(await manager.post(path, json=met))["events"] == []
    problem(await manager.post(path, json={**met, "remark": "Twice."}), 409, "condition-already-closed")
    shown = await room.shown(review)
    assert (shown["outcome"], shown["conditions"][0]["closed"]) == ("conditional_go", True)
    assert (shown["conditions"][0]["evidence"], shown["conditions"][0]["remark"]) == ([EVIDENCE], "Surveyed.")


async def test_whoever_must_meet_a_condition_shows_that_it_is_met_and_no_other_of_their_role_does(room: Room) -> None:
    review = await room.opened()
    conditions = [
        {"text": text, "owner": str(subject(owner)), "due": "2030-06-30"}
        for text, owner in (("Survey the ground.", "con"), ("Ask the neighbours.", "cy"))
    ]
    done(await room.vote(review, "ana", seen=2, choice="approve_with_conditions", conditions=conditions))
    done(await room.vote(review, "bo", seen=3))
    path, met = f"/reviews/{review}/condition-closures", {"evidence": [EVIDENCE], "remark": "Done."}
    owner = await room.as_("con")
    problem(await owner.post(path, json={**met, "condition": 2}), 403, "not-allowed")
    done(await owner.post(path, json={**met, "condition": 1}))
    assert [each["closed"] for each in (await room.shown(review))["conditions"]] == [True, False]


async def test_conditions_fit_the_vote_the_proposal_and_people_who_are_known(room: Room) -> None:
    review = await room.opened()
    condition = {"text": "Survey the ground.", "owner": str(subject("max")), "due": "2030-06-30"}
    setting: dict[str, Any] = {"choice": "approve_with_conditions", "conditions": [condition]}
    problem(
        await room.vote(review, "ana", seen=2, choice="approve_with_conditions"), 409, "conditions-do-not-fit-choice"
    )
    problem(await room.vote(review, "ana", seen=2, conditions=[condition]), 409, "conditions-do-not-fit-choice")
    unknown = {**setting, "conditions": [{**condition, "owner": str(subject("nobody"))}]}
    said = problem(await room.vote(review, "ana", seen=2, **unknown), 409, "person-not-known")
    assert said["facts"] == {"account": str(subject("nobody"))}
    hold = await room.drafted(question="Shall it rest?")
    done(await room.submit(hold, proposed="hold"))
    problem(await room.vote(hold, "ana", seen=2, **setting), 409, "conditions-do-not-fit-proposal")


@pytest.mark.parametrize(
    ("voter", "slug"),
    [
        ("max", "submitter-may-not-vote"),
        ("sol", "sponsor-may-not-vote"),
        ("con", "not-an-elector"),
        ("pia", "not-an-elector"),
    ],
)
async def test_who_may_not_vote_is_told_why(room: Room, voter: str, slug: str) -> None:
    review = await room.opened()
    problem(await room.vote(review, voter, seen=2), 403, slug)
    assert len(await room.facts(review)) == 2


async def test_a_project_manager_never_votes_also_when_somebody_else_submits(room: Room) -> None:
    pmo = await room.as_("pia")
    seat = {"member": str(subject("max")), "first_day": "2020-01-01"}
    done(await pmo.post(f"/bodies/{room.board}/members", json=seat))
    review = await room.drafted()
    done(await room.submit(review, "pia"))
    problem(await room.vote(review, "max", seen=2), 403, "project-manager-may-not-vote")
    problem(await room.vote(review, "pia", seen=2), 403, "submitter-may-not-vote")


async def test_a_sponsor_votes_where_the_policy_says_so(room: Room) -> None:
    electorate = {"roles": ["approver", "sponsor"], "people": [], "body": None, "by_value_band": False}
    await room.publish(gate="G2", electorate=electorate, sponsor_may_vote=True)
    review = await room.opened(gate="G2")
    done(await room.vote(review, "sol", seen=2))


async def test_one_natural_person_is_one_voice_whatever_account_they_use(room: Room) -> None:
    await register(room.service, "ana", "ana-admin", person=str(person("ana")))
    done(await assign(room.service, "ana-admin", Role.APPROVER, room.portfolio), 201)
    await room.service.follow_itself()
    review = await room.opened()
    said = problem(await room.vote(review, "ana-admin", seen=2), 403, "second-account")
    assert said["facts"] == {"account": str(subject("ana"))}


async def test_the_second_account_of_the_submitter_may_not_vote_either(room: Room) -> None:
    pmo = await room.as_("pia")
    await register(room.service, "max", "max-private", person=str(person("max")))
    done(await assign(room.service, "max-private", Role.APPROVER, room.portfolio), 201)
    seat = {"member": str(subject("max-private")), "first_day": "2020-01-01"}
    done(await pmo.post(f"/bodies/{room.board}/members", json=seat))
    await room.service.follow_itself()
    review = await room.opened()
    assert str(subject("max-private")) not in {each["subject"] for each in (await room.shown(review))["electorate"]}
    problem(await room.vote(review, "max-private", seen=2), 403, "submitter-may-not-vote")


async def test_an_account_that_is_not_in_the_directory_is_told_how_to_get_there(room: Room) -> None:
    await room.service.assign("new", Role.APPROVER, room.portfolio)
    review = await room.opened()
    said = problem(await room.vote(review, "new", seen=2), 409, "person-not-known")
    assert "POST /directory" in said["detail"]
    assert said["facts"] == {"account": str(subject("new"))}


async def test_a_vote_states_its_reason(room: Room) -> None:
    review = await room.opened()
    problem(await room.vote(review, "ana", seen=2, reason="  "), 409, "reason-missing")


async def test_a_vote_on_what_was_not_submitted_or_was_withdrawn_is_refused(room: Room) -> None:
    review = await room.drafted()
    assert problem(await room.vote(review, "ana", seen=1), 409, "review-not-open")["facts"] == {"state": "draft"}
    manager = await room.as_("max")
    withdrawn = f"/reviews/{review}/withdrawals"
    done(await manager.post(withdrawn, json={"reason": "Not yet."}))
    assert done(await manager.post(withdrawn, json={"reason": "Not yet."}))["events"] == []
    problem(await room.vote(review, "ana", seen=2), 409, "review-not-open")
    problem(await room.submit(review, seen=2), 409, "review-not-open")
    shown = await room.shown(review)
    assert (shown["state"], shown["withdrawn_because"]) == ("withdrawn", "Not yet.")


async def test_an_outcome_is_not_taken_back(room: Room) -> None:
    review = await room.opened()
    manager = await room.as_("max")
    early = {"condition": 1, "evidence": [EVIDENCE], "remark": ""}
    problem(await manager.post(f"/reviews/{review}/condition-closures", json=early), 409, "review-not-concluded")
    for seen, name in ((2, "ana"), (3, "bo")):
        done(await room.vote(review, name, seen=seen))
    taken_back = await manager.post(f"/reviews/{review}/withdrawals", json={"reason": "Oh."})
    assert problem(taken_back, 409, "review-already-concluded")["facts"] == {"outcome": "go"}


async def test_votes_and_submissions_say_which_state_they_saw(room: Room) -> None:
    review = await room.drafted()
    manager, voter = await room.as_("max"), await room.as_("ana")
    submissions, votes = f"/reviews/{review}/submissions", f"/reviews/{review}/votes"
    problem(await manager.post(submissions, json={"proposed": "go"}), 428, "if-match-required")
    problem(await room.submit(review, seen=7), 412, "stale-version")
    done(await room.submit(review))
    problem(await voter.post(votes, json=VOTE), 428, "if-match-required")
    problem(await voter.post(votes, json=VOTE, headers={"If-Match": "two"}), 400, "malformed-header")
    problem(await room.vote(review, "ana", seen=1), 412, "stale-version")


async def test_what_can_not_be_voted_on_is_not_submitted(room: Room) -> None:
    review = await room.drafted()
    problem(await room.submit(review, proposed="conditional_go"), 409, "outcome-not-proposable")
    problem(await room.submit(review, proposed="recycle"), 409, "proposal-same-as-failure")
    problem(await room.submit(review, evidence=[EVIDENCE, EVIDENCE]), 409, "evidence-listed-twice")
    other = await room.drafted(gate="G9")
    problem(await room.submit(other), 404, "policy-missing")
    done(await room.submit(review))
    assert done(await room.submit(review, seen=2))["events"] == []
    said = problem(await room.submit(review, seen=2, proposed="hold"), 409, "review-already-submitted")
    assert "proposed" in said["facts"]


async def test_who_decides_must_be_known_before_a_review_opens(room: Room) -> None:
    pmo = await room.as_("pia")
    other = await heard_portfolio(room.service, "Roads")
    silent = await heard_project(room.service, room.portfolio, reference="P-2", charter=SILENT_CHARTER)
    review = await room.drafted(project=str(silent.stream))
    said = problem(await room.submit(review), 409, "project-value-missing")
    assert said["facts"] == {"project": str(silent.stream)}
    body = {"body": room.board, "inclusive": True}
    for upper, slug in (
        ({"amount": "9000000", "currency": "EUR"}, "currency-mismatch"),
        ({"amount": "2499999.99", "currency": "AUD"}, "no-band-for-value"),
    ):
        table = {"portfolio": room.portfolio, "bands": [{**body, "upper": upper}]}
        done(await pmo.post("/value-bands", json=table))
        review = await room.drafted()
        problem(await room.submit(review), 409, slug)
    done(await assign(room.service, "pia", Role.PMO, other), 201)
    done(await assign(room.service, "max", Role.PROJECT_MANAGER, other), 201)
    await room.service.follow_itself()
    elsewhere = await heard_project(room.service, other, charter=CHARTER)
    await room.publish(portfolio=other)
    review = await room.drafted(project=str(elsewhere.stream))
    problem(await room.submit(review), 404, "bands-not-published")


async def test_an_electorate_that_is_too_small_is_said_before_anyone_votes(room: Room) -> None:
    await room.publish(gate="G2", quorum={"minimum": 4, "share": "0"})
    review = await room.drafted(gate="G2")
    said = problem(await room.submit(review), 409, "electorate-too-small")
    assert (said["facts"]["votes_needed"], said["facts"]["electorate"]) == ("4", "3")


async def test_a_manager_who_is_not_in_the_directory_is_named(room: Room) -> None:
    charter = type(CHARTER)("Replace the main.", None, subject("ghost"), CHARTER.value)
    project = await heard_project(room.service, room.portfolio, reference="P-2", charter=charter)
    review = await room.drafted(project=str(project.stream))
    said = problem(await room.submit(review), 409, "person-not-known")
    assert said["facts"] == {"account": str(subject("ghost"))}


async def test_a_review_needs_a_project_that_is_known_and_a_gate_where_it_is_of_one(room: Room) -> None:
    unknown = str(uuid4())
    manager = await room.as_("max")
    assert (
        unknown
        in problem(await manager.post("/reviews", json=room.question(project=unknown)), 404, "not-found")["detail"]
    )
    by_root = await room.service.root.post("/reviews", json=room.question(project=unknown))
    assert problem(by_root, 404, "project-not-known")["facts"] == {"project": unknown}
    a_portfolio = await room.service.root.post("/reviews", json=room.question(project=room.portfolio))
    problem(a_portfolio, 404, "project-not-known")
    problem(await manager.post("/reviews", json=room.question(gate=None)), 409, "gate-does-not-fit-kind")
    problem(await manager.post("/reviews", json=room.question(kind="budget")), 409, "gate-does-not-fit-kind")
    twice = room.question(evidence=[EVIDENCE, EVIDENCE])
    problem(await manager.post("/reviews", json=twice), 409, "evidence-listed-twice")


@pytest.mark.parametrize("path", ["submissions", "votes", "withdrawals", "condition-closures"])
async def test_a_review_that_is_not_known_or_is_something_else_is_not_found(room: Room, path: str) -> None:
    body: Any = {
        "submissions": {"proposed": "go"},
        "votes": VOTE,
        "withdrawals": {"reason": ""},
        "condition-closures": {"condition": 1, "remark": ""},
    }[path]
    pmo = await room.as_("pia")
    for unknown in (uuid4(), "nonsense"):
        answer = await pmo.post(f"/reviews/{unknown}/{path}", json=body, headers={"If-Match": '"1"'})
        problem(answer, 404, "not-found")
    answer = await pmo.post(f"/reviews/{room.board}/{path}", json=body, headers={"If-Match": '"1"'})
    problem(answer, 404, "of-another-kind")


async def test_reviews_are_listed_in_order_page_by_page(room: Room) -> None:
    reviews = [await room.drafted(question=f"Question {number}?") for number in range(3)]
    auditor = await room.as_("aud")
    first = await auditor.get("/reviews", params={"project": room.project, "limit": 2})
    assert [view["review"] for view in done(first)["items"]] == reviews[:2]
    assert 'rel="next"' in first.headers["link"]
    rest = {"project": room.project, "limit": 2, "cursor": done(first)["next"]}
    second = done(await auditor.get("/reviews", params=rest))
    assert ([view["review"] for view in second["items"]], second["next"]) == (reviews[2:], None)
    bad = await auditor.get("/reviews", params={"project": room.project, "cursor": "nonsense"})
    problem(bad, 400, "malformed-header")


async def test_roles_and_portfolios_bound_what_one_may_do_and_see(room: Room) -> None:
    review = await room.opened()
    other = await heard_portfolio(room.service, "Roads")
    foreign = await heard_project(room.service, other, reference="P-9")
    await register(room.service, "zed")
    done(await assign(room.service, "zed", Role.PMO, other), 201)
    await room.service.follow_itself()
    for name in ("vic", "aud", "zed", "eve"):
        problem(await room.vote(review, name, seen=2), 403, "not-allowed")
    for name in ("vic", "aud", "ana", "con", "zed", "eve"):
        client = await room.as_(name)
        problem(await client.post("/reviews", json=room.question()), 403, "not-allowed")
        problem(await room.submit(review, name, seen=2), 403, "not-allowed")
        problem(await client.post(f"/reviews/{review}/withdrawals", json={"reason": ""}), 403, "not-allowed")
        met = {"condition": 1, "evidence": [EVIDENCE], "remark": ""}
        problem(await client.post(f"/reviews/{review}/condition-closures", json=met), 403, "not-allowed")
    for name in ("zed", "eve"):
        client = await room.as_(name)
        problem(await client.get(f"/reviews/{review}"), 403, "not-allowed")
        problem(await client.get("/reviews", params={"project": room.project}), 403, "not-allowed")
    manager = await room.as_("max")
    answer = await manager.post("/reviews", json=room.question(project=str(foreign.stream)))
    assert problem(answer, 403, "not-allowed")["facts"]["node"] == str(foreign.stream)


async def test_without_a_valid_token_nothing_is_said(room: Room) -> None:
    review = await room.opened()
    client = await room.as_("ana")
    for value in ("", "Bearer nonsense"):
        headers = {"Authorization": value, "If-Match": '"2"'}
        problem(await client.post(f"/reviews/{review}/votes", json=VOTE, headers=headers), 401, "not-authenticated")
        problem(await client.get(f"/reviews/{review}", headers=headers), 401, "not-authenticated")


async def test_nobody_votes_in_the_past(room: Room) -> None:
    await room.publish(
        gate="G2",
        electorate={"roles": ["pmo"], "people": [], "body": None, "by_value_band": False},
        quorum={"minimum": 1, "share": "0"},
    )
    review = await room.drafted(gate="G2")
    pmo, past = await room.as_("pia"), {"Gov-Time": "2014-05-01T00:00:00Z"}
    submissions, votes = f"/reviews/{review}/submissions", f"/reviews/{review}/votes"
    asked = await pmo.post(submissions, json={"proposed": "go"}, headers={"If-Match": '"1"', **past})
    assert "POST /decisions" in problem(asked, 409, "not-importable")["title"]
    done(await room.submit(review))
    problem(await pmo.post(votes, json=VOTE, headers={"If-Match": '"2"', **past}), 409, "not-importable")
    assert len(await room.facts(review)) == 2


async def test_the_time_limit_decides_with_the_votes_that_were_cast(room: Room) -> None:
    await room.publish(gate="G2", time_limit={"days": 5, "then": "escalate"})
    review = await room.opened(gate="G2")
    done(await room.vote(review, "ana", seen=2))
    done(await room.vote(review, "bo", seen=3, choice="abstain"))
    closes_at = datetime.fromisoformat((await room.shown(review))["closes_at"])
    timers = room.service.runtime.timers
    assert timers is not None
    assert await timers.fire_due(closes_at - timedelta(seconds=1)) == 0
    assert await timers.fire_due(closes_at) == 1
    assert await timers.fire_due(closes_at) == 0
    concluded = (await room.facts(review))[-1]
    assert isinstance(concluded, ReviewConcluded)
    assert (concluded.outcome, concluded.ending) == (Outcome.GO, Ending.TIME_LIMIT)


async def test_what_a_threshold_lacks_for_want_of_votes_is_not_decided_by_the_time_limit(room: Room) -> None:
    limit = {"days": 5, "then": "escalate"}
    await room.publish(gate="G2", rule="threshold", threshold="0.6", failed_outcome="kill", time_limit=limit)
    review = await room.opened(gate="G2")
    done(await room.vote(review, "ana", seen=2))
    done(await room.vote(review, "bo", seen=3, choice="abstain"))
    timers = room.service.runtime.timers
    assert timers is not None
    await timers.fire_due(datetime.now(UTC) + timedelta(days=6))
    assert isinstance((await room.facts(review))[-1], ReviewEscalated)


@pytest.mark.parametrize(("then", "event"), [("escalate", ReviewEscalated), ("lapse", ReviewWithdrawn)])
async def test_the_time_limit_without_a_quorum_escalates_or_lapses(room: Room, then: str, event: type) -> None:
    await room.publish(gate="G2", time_limit={"days": 5, "then": then})
    review = await room.opened(gate="G2")
    timers = room.service.runtime.timers
    assert timers is not None
    assert await timers.fire_due(datetime.now(UTC) + timedelta(days=6)) == 1
    assert isinstance((await room.facts(review))[-1], event)
    assert (await room.shown(review))["state"] == ("escalated" if then == "escalate" else "withdrawn")


async def test_under_the_demo_clock_a_vote_after_the_time_limit_comes_too_late(room: Room) -> None:
    await room.publish(gate="G2", time_limit={"days": 5, "then": "escalate"})
    clients = {name: await room.service.client(name, demo=True) for name in ("max", "ana")}

    def at(day: int, **more: str) -> dict[str, str]:
        return {"Gov-Demo-Time": f"2030-06-{day:02}T09:00:00Z", **more}

    drafted = await clients["max"].post("/reviews", json=room.question(gate="G2"), headers=at(1))
    path = f"/reviews/{done(drafted, 201)['stream']}"
    asked = {"proposed": "go"}
    done(await clients["max"].post(f"{path}/submissions", json=asked, headers=at(1, **{"If-Match": '"1"'})))
    late = await clients["ana"].post(f"{path}/votes", json=VOTE, headers=at(7, **{"If-Match": '"3"'}))
    assert problem(late, 409, "review-not-open")["facts"] == {"state": "escalated"}
    assert done(await clients["ana"].get(path))["state"] == "escalated"


async def test_a_project_s_termination_withdraws_its_reviews_and_lets_no_other_open(room: Room) -> None:
    opened, drafted = await room.opened(), await room.drafted(question="And this?")
    decided = await room.opened(question="Decided already?")
    for seen, name in ((2, "ana"), (3, "bo")):
        done(await room.vote(decided, name, seen=seen))
    terminated = room.project_stream.event(ProjectTerminated("The street was closed.", None))
    await room.service.hear(terminated)
    await room.service.hear(terminated)
    for review in (opened, drafted):
        (*_, last) = await room.service.runtime.ledger.events(UUID(review))
        assert isinstance(last.event, ReviewWithdrawn)
        assert (last.envelope.actor, last.envelope.causationid) == ("service:approvals", terminated.id)
        assert (await room.shown(review))["withdrawn_because"] == "The project was terminated."
    assert (await room.shown(decided))["state"] == "concluded"
    manager = await room.as_("max")
    problem(await manager.post("/reviews", json=room.question()), 409, "project-has-ended")
    problem(await room.vote(opened, "ana", seen=3), 409, "review-not-open")


async def test_what_an_import_says_of_a_project_s_end_withdraws_nothing(room: Room) -> None:
    review = await room.opened()
    await room.service.hear(room.project_stream.event(ProjectTerminated("Long ago.", None), origin=Origin.IMPORTED))
    assert (await room.shown(review))["state"] == "open"
