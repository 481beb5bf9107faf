"""What waits for whom, from rows in a real PostgreSQL."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.services import Service, done, person, problem, subject
from tests.support.streams import Stream
from tests.support.telling import MAX, Teller, aud, condition, day

from govevents.approvals import (
    AgendaItem,
    AgendaSet,
    Alternate,
    Elector,
    ItemDisposed,
    MeetingOpened,
    MeetingScheduled,
    OnLapse,
    Outcome,
    Panel,
    ReviewKind,
    Role,
    RoleAssigned,
    RoleRevoked,
)
from govevents.approvals import Disposition as Disposed
from govevents.projects import ProjectMoved, ProjectTerminated
from govevents.values import Money, NodeId, PersonId, PortfolioId, ProjectId, ReviewId, SubjectId
from govkernel.access import Policy
from govkernel.http.queries import write_cursor
from projections.entrypoints.processes import PROJECTIONS

ANA, BO, CAT, DAN = ("ana", "bo", "cat", "dan")
WHEN = day(10).isoformat()


def seat(holder: str, *alternates: str) -> Elector:
    others = tuple(Alternate(subject(each), PersonId(subject(each))) for each in alternates)
    return Elector(subject(holder), PersonId(subject(holder)), "member of Board", veto=False, alternates=others)


@dataclass
class Scene:
    """A portfolio with a project, and a service that hears what is told of it."""

    service: Service
    teller: Teller
    portfolio: UUID
    project: UUID

    async def submitted(self, *electorate: Elector, at: float = 1, **more: Any) -> Stream:
        """Have a review put to voters."""
        given: dict[str, Any] = {"electorate": electorate or (seat(BO),), "submitter": subject(ANA), **more}
        stream, events = self.teller.submitted(self.portfolio, self.project, day(at), **given)
        await self.service.hear(*events)
        return stream

    async def then(self, review: Stream, word: str, at: float, *given: Any, **more: Any) -> None:
        """Let something happen to a review that the teller has a word for."""
        await self.service.hear(getattr(self.teller, word)(review, self.project, day(at), *given, **more))

    async def delegated(self, node: UUID, to: str = DAN, by: str = BO, **more: Any) -> Stream:
        """Have somebody let another speak for them."""
        granted = {"delegator": subject(by), "delegate": subject(to), **more}
        stream, event = self.teller.delegated(node, day(0), **granted)
        await self.service.hear(event)
        return stream

    async def inbox(self, name: str, **asked: Any) -> list[Any]:
        """What waits for a person."""
        client = await self.service.client(name)
        given = {"as_of": WHEN, **{key: str(value) for key, value in asked.items()}}
        rows: list[Any] = done(await client.get("/inbox", params=given))["rows"]
        return rows

    async def wanted(self, name: str, **asked: Any) -> list[tuple[str, str | None]]:
        """What is wanted of a person, and by what authority."""
        return [(each["wanted"], each["authority"]) for each in await self.inbox(name, **asked)]


@pytest.fixture
async def scene(service: Service) -> Scene:
    teller = Teller()
    portfolio, heard = teller.portfolio()
    project, registered = teller.project(portfolio.stream)
    await service.hear(heard, registered)
    return Scene(service, teller, portfolio.stream, project.stream)


async def test_a_voter_is_told_what_is_asked_since_when_until_when_and_why(scene: Scene) -> None:
    review = await scene.submitted(seat(BO), closes_at=day(15), value=aud("2500000"))
    (item,) = await scene.inbox(BO)
    shown = {name: item[name] for name in ("wanted", "review", "reference", "name", "kind", "gate", "question")}
    assert shown == {
        "wanted": "vote",
        "review": str(review.stream),
        "reference": "P-1",
        "name": "Main P-1",
        "kind": "gate",
        "gate": "G1",
        "question": "May it go on?",
    }
    assert (item["because"], item["authority"], item["proposed"], item["ready"]) == (
        "member of Board",
        "own",
        "go",
        True,
    )
    assert [datetime.fromisoformat(item[name]) for name in ("since", "until")] == [day(1), day(15)]
    assert (item["value"]["amount"], item["review_version"], item["overdue"]) == ("2500000", 2, False)
    assert await scene.inbox(ANA) == []
    (late,) = await scene.inbox(BO, as_of=day(16).isoformat())
    assert late["overdue"] is True


async def test_nothing_waits_for_a_seat_that_has_voted_until_the_evidence_changes(scene: Scene) -> None:
    review = await scene.submitted(seat(BO, CAT), seat(DAN))
    assert (await scene.wanted(BO), await scene.wanted(CAT)) == ([("vote", "own")], [("vote", "alternate")])
    await scene.then(review, "voted", 2, voter=subject(BO))
    assert (await scene.wanted(BO), await scene.wanted(CAT)) == ([], [])
    assert await scene.wanted(BO, as_of=day(1.5).isoformat()) == [("vote", "own")], "as it was known then"
    await scene.then(review, "evidence_changed", 3)
    (item,) = await scene.inbox(BO)
    assert (item["again"], item["review_version"]) == ("A newer deed.", 4)


async def test_the_submitter_is_told_of_questions_and_the_owner_of_conditions(scene: Scene) -> None:
    review = await scene.submitted(closes_at=day(15))
    await scene.then(review, "asked", 2)
    (question,) = await scene.inbox(ANA)
    assert (question["wanted"], question["number"], question["text"]) == ("answer", 1, "Who pays?")
    due = date(2026, 3, 20)
    conditions = (condition(due, owner=subject(DAN)),)
    voted = scene.teller.concluded(review, scene.portfolio, scene.project, day(3), conditions=conditions)
    await scene.service.hear(*voted)
    assert (await scene.inbox(ANA), await scene.inbox(BO)) == ([], [])
    (item,) = await scene.inbox(DAN)
    assert (item["wanted"], item["due"], item["text"], item["gate"]) == (
        "condition",
        "2026-03-20",
        "Settle the easement.",
        "G1",
    )
    # Between these two it is midnight in Melbourne.
    moments = ("2026-03-20T12:30:00Z", "2026-03-20T13:30:00Z")
    assert [(await scene.inbox(DAN, as_of=moment))[0]["overdue"] for moment in moments] == [False, True]
    await scene.then(review, "condition_met", 8)
    assert await scene.inbox(DAN) == []


async def test_a_review_to_refer_and_a_request_wait_for_those_who_may(scene: Scene) -> None:
    review = await scene.submitted()
    await scene.then(review, "escalated", 2)
    _, requested = scene.teller.requested(scene.portfolio, scene.project, day(3))
    await scene.service.hear(requested)
    await scene.service.assign("pam", Role.PMO, scene.portfolio)
    await scene.service.assign("max", Role.PROJECT_MANAGER, scene.project)
    await scene.service.assign("vic", Role.VIEWER, scene.portfolio)
    assert [each for each, _ in await scene.wanted("pam")] == ["referral", "request"]
    assert [each for each, _ in await scene.wanted("max")] == ["request"]
    assert await scene.inbox("vic") == []
    referral, request = await scene.inbox("pam")
    assert (referral["text"], referral["question"]) == ("All abstain.", "May it go on?")
    assert (request["kind"], request["gate"], request["request"], request["review"]) == (
        "gate",
        "G2",
        str(requested.envelope.stream),
        None,
    )
    assert await scene.inbox(BO) == [], "a panel that could not decide is asked no longer"


async def test_a_condition_that_escalated_waits_for_the_members_of_the_body_while_they_sit(scene: Scene) -> None:
    body = scene.teller.body(scene.portfolio)
    due = date(2026, 3, 8)
    review = await scene.submitted()
    terms = {BO: None, CAT: date(2026, 3, 11)}
    seats = [scene.teller.seated(body, subject(name), last_day=last) for name, last in terms.items()]
    alternate = scene.teller.seated(body, subject(DAN), alternate_for=subject(BO))
    conditions = (condition(due, owner=subject(ANA)),)
    voted = scene.teller.concluded(review, scene.portfolio, scene.project, day(3), conditions=conditions)
    lapsed = scene.teller.condition_lapsed(
        review,
        scene.portfolio,
        scene.project,
        day(7),
        due,
        then=OnLapse.ESCALATION,
        escalated_to=body.envelope.stream,
    )
    await scene.service.hear(body, *seats, alternate, *voted, lapsed)
    (item,) = await scene.inbox(BO)
    assert (item["wanted"], item["body"], item["text"], item["lapsed"]) == (
        "escalation",
        str(body.envelope.stream),
        "Settle the easement.",
        "escalation",
    )
    assert [await scene.inbox(name) for name in (CAT, DAN)] == [[], []], "a term is over, and an alternate only votes"
    assert [each for each, _ in await scene.wanted(ANA)] == ["condition"]
    assert len(await scene.inbox(CAT, as_of=day(8).isoformat())) == 1


async def test_the_recused_are_not_asked_nor_by_another_panel(scene: Scene) -> None:
    review = await scene.submitted(seat(BO, CAT), seat(DAN))
    await scene.then(review, "recused", 2, subject(DAN))
    assert (await scene.inbox(DAN), await scene.wanted(CAT)) == ([], [("vote", "alternate")])
    await scene.then(review, "escalated", 3, to=Panel(None, (seat(DAN), seat(CAT)), ()))
    assert (await scene.inbox(DAN), await scene.wanted(CAT)) == ([], [("vote", "own")])


async def test_an_alternate_who_has_a_seat_or_has_spoken_is_one_voice_only(scene: Scene) -> None:
    review = await scene.submitted(seat(BO, CAT), seat(CAT), seat(ANA, DAN), submitter=MAX)
    assert await scene.wanted(CAT) == [("vote", "own")]
    await scene.then(review, "voted", 2, voter=subject(DAN), for_seat=subject(BO))
    assert await scene.inbox(DAN) == []


async def test_what_waits_for_a_delegator_waits_for_the_delegate_too(scene: Scene) -> None:
    delegation = await scene.delegated(scene.portfolio)
    await scene.submitted(seat(BO))
    (item,) = await scene.inbox(DAN)
    assert (item["authority"], item["delegation"], item["delegator"]) == (
        "delegate",
        str(delegation.stream),
        str(subject(BO)),
    )
    assert await scene.wanted(BO) == [("vote", "own")]
    await scene.service.hear(scene.teller.revoked(delegation, scene.portfolio, day(2)))
    assert await scene.inbox(DAN) == []
    assert await scene.wanted(DAN, as_of=day(1.5).isoformat()) == [("vote", "delegate")]


async def test_a_delegation_covers_its_kinds_up_to_its_limit_on_its_days(scene: Scene) -> None:
    cases: list[tuple[dict[str, Any], Money | None, bool]] = [
        ({"kinds": (ReviewKind.GATE,)}, None, True),
        ({"kinds": (ReviewKind.BUDGET,)}, None, False),
        ({"limit": aud("100.50")}, aud("100.50"), True),
        ({"limit": aud("100.50")}, aud("1000"), False),
        ({"limit": aud("100.50")}, Money(Decimal(1), "USD"), False),
        ({"limit": aud("100.50")}, None, False),
        ({"first_day": date(2026, 3, 12), "last_day": date(2026, 3, 12)}, None, True),
        ({"first_day": date(2026, 3, 13)}, None, False),
        ({"last_day": date(2026, 3, 11)}, None, False),
    ]
    for number, (delegation, value, covered) in enumerate(cases):
        await scene.delegated(scene.portfolio, to=f"dan{number}", by=f"bo{number}", **delegation)
        await scene.submitted(seat(f"bo{number}"), value=value)
        expected = [("vote", "delegate")] if covered else []
        assert await scene.wanted(f"dan{number}") == expected, (delegation, value)


async def test_a_delegate_is_not_asked_where_they_are_tied_or_have_a_seat_nor_for_an_alternate(scene: Scene) -> None:
    await scene.delegated(scene.portfolio)
    await scene.submitted(seat(BO), tied=(PersonId(subject(DAN)),))
    await scene.submitted(seat(BO), submitter=subject(DAN))
    await scene.submitted(seat(CAT, BO))
    assert await scene.inbox(DAN) == []
    await scene.submitted(seat(BO), seat(DAN))
    assert await scene.wanted(DAN) == [("vote", "own")]


async def test_a_delegation_covers_its_node_and_all_below_and_nothing_beside(scene: Scene) -> None:
    programme, registered = scene.teller.programme(scene.portfolio)
    below, second = scene.teller.project(scene.portfolio, "P-2", parent=programme.stream)
    await scene.service.hear(registered, second)
    await scene.delegated(programme.stream)
    _, beside = scene.teller.submitted(scene.portfolio, scene.project, day(1), electorate=(seat(BO),))
    _, covered = scene.teller.submitted(scene.portfolio, below.stream, day(1), electorate=(seat(BO),))
    await scene.service.hear(*beside, *covered)
    assert [each["reference"] for each in await scene.inbox(DAN)] == ["P-2"]
    await scene.delegated(scene.project, to=CAT)
    assert [each["reference"] for each in await scene.inbox(CAT)] == ["P-1"]


async def test_a_delegate_speaks_for_one_only_and_for_nobody_who_is_recused(scene: Scene) -> None:
    await scene.delegated(scene.portfolio)
    await scene.delegated(scene.portfolio, by=CAT)
    review = await scene.submitted(seat(BO), seat(CAT))
    assert len(await scene.inbox(DAN)) == 2
    await scene.then(review, "recused", 2, subject(CAT))
    assert {each["delegator"] for each in await scene.inbox(DAN)} == {str(subject(BO))}
    await scene.then(review, "voted", 3, voter=subject(DAN), for_seat=subject(BO))
    assert await scene.inbox(DAN) == []


async def test_what_ends_first_stands_in_front_and_pages_follow_each_other(scene: Scene) -> None:
    for gate, closes_at in (("A", None), ("B", day(20)), ("C", day(15)), ("D", None), ("E", day(17))):
        await scene.submitted(gate=gate, closes_at=closes_at)
    client = await scene.service.client(BO)
    seen: list[str] = []
    url: str | None = "/inbox?limit=2&as_of=2026-03-12"
    while url is not None:
        answer = await client.get(url)
        seen += [each["gate"] for each in done(answer)["rows"]]
        url = answer.links["next"]["url"] if "next" in answer.links else None
    assert seen[:3] == ["C", "E", "B"]
    assert sorted(seen[3:]) == ["A", "D"]


@pytest.mark.parametrize("ends", ["9999-12-31T23:59:59-14:00", "2026-03-02T09:00:00", "soon", 7])
async def test_a_place_that_this_list_did_not_give_is_refused_by_name(scene: Scene, ends: str | int) -> None:
    cursor = write_cursor((ends, day(1), uuid4(), "vote"))
    answer = await scene.service.root.get("/inbox", params={"cursor": cursor})
    (error,) = problem(answer, 400, "malformed-header")["errors"]
    assert error["parameter"] == "cursor"


async def test_somebody_else_s_inbox_is_read_by_those_who_keep_the_reviews_and_only_there(scene: Scene) -> None:
    await scene.submitted()
    _, elsewhere = scene.teller.portfolio("Roads")
    road, registered = scene.teller.project(elsewhere.envelope.stream, "R-1")
    _, asked = scene.teller.submitted(elsewhere.envelope.stream, road.stream, day(1), electorate=(seat(BO),))
    await scene.service.hear(elsewhere, registered, *asked)
    await scene.service.assign("pam", Role.PMO, scene.portfolio)
    await scene.service.assign("vic", Role.VIEWER, scene.portfolio)
    theirs = await scene.inbox("pam", subject=subject(BO))
    assert [each["reference"] for each in theirs] == ["P-1"]
    assert {each["reference"] for each in await scene.inbox(BO)} == {"P-1", "R-1"}
    assert await scene.inbox("vic", subject=subject(BO)) == []
    vic = await scene.service.client("vic")
    problem(await vic.get(f"/inbox?subject={subject(BO)}&node={scene.portfolio}"), 403, "not-allowed")
    problem(await vic.get(f"/inbox?node={uuid4()}"), 404, "not-found")
    assert [each["reference"] for each in await scene.inbox("pam", subject=subject(BO), node=scene.project)] == ["P-1"]


async def test_an_account_is_asked_and_not_a_person_with_several(scene: Scene) -> None:
    other = SubjectId(uuid4())
    await scene.submitted(Elector(other, person(BO), "member of Board", veto=False))
    assert await scene.inbox(BO) == []


def test_who_may_refer_and_prepare_reviews_is_what_approvals_says() -> None:
    own, approvals = (
        Policy.read(Path(str(PROJECTIONS.policy).replace("projections", service)))
        for service in ("projections", "approvals")
    )
    for action in ("review.refer", "review.draft"):
        assert own.roles_for(action) == approvals.roles_for(action), action


async def test_what_has_no_end_and_what_is_over_are_both_shown(scene: Scene) -> None:
    await scene.submitted(closes_at=day(5))
    await scene.submitted(gate="G2")
    rows = await scene.inbox(BO, as_of=(day(5) + timedelta(seconds=1)).isoformat())
    assert [(each["gate"], each["overdue"]) for each in rows] == [("G1", True), ("G2", False)]


async def test_what_waits_for_a_role_waited_for_whoever_had_it_then(scene: Scene) -> None:
    review = await scene.submitted()
    await scene.then(review, "escalated", 2)
    role = scene.teller.stream("approvals")
    first, last = date(2026, 1, 1), date(2026, 3, 13)
    assigned = RoleAssigned(subject("pam"), person("pam"), Role.PMO, NodeId(scene.portfolio), first, last)
    revoked = RoleRevoked(subject("pam"), Role.PMO, NodeId(scene.portfolio), "Moved on.")
    await scene.service.hear(scene.teller.at(role, day(4), assigned))
    seen = {moment: await scene.wanted("pam", as_of=day(moment).isoformat()) for moment in (3, 5, 12)}
    assert seen == {3: [], 5: [("referral", None)], 12: []}, "before it was assigned, while it held, after its last day"
    await scene.service.hear(scene.teller.at(role, day(6), revoked))
    assert await scene.wanted("pam", as_of=day(5).isoformat()) == [("referral", None)]
    assert await scene.wanted("pam", as_of=day(7).isoformat()) == []


async def test_a_project_is_shown_in_the_portfolio_that_its_review_is_of(scene: Scene) -> None:
    elsewhere, heard = scene.teller.portfolio("Roads")
    await scene.submitted()
    project, registered = scene.teller.project(scene.portfolio, "P-9")
    _, asked = scene.teller.submitted(scene.portfolio, project.stream, day(1), electorate=(seat(CAT),))
    moved = scene.teller.at(project, day(5), ProjectMoved(PortfolioId(elsewhere.stream), NodeId(elsewhere.stream)))
    await scene.service.hear(heard, registered, *asked, moved)
    (item,) = await scene.inbox(CAT, as_of=day(2).isoformat())
    assert item["portfolio"] == str(scene.portfolio)


async def test_an_answer_is_wanted_until_the_voters_time_is_over(scene: Scene) -> None:
    review = await scene.submitted(closes_at=day(15))
    await scene.then(review, "asked", 2)
    (question,) = await scene.inbox(ANA)
    assert datetime.fromisoformat(question["until"]) == day(15)


async def test_a_condition_of_which_nobody_said_when_it_lapses_stands_where_its_day_ends(scene: Scene) -> None:
    due = date(2026, 3, 20)
    review = await scene.submitted()
    endless = replace(condition(due, owner=subject(DAN)), lapses_at=None)
    voted = scene.teller.concluded(review, scene.portfolio, scene.project, day(3), conditions=(endless,))
    await scene.service.hear(*voted)
    (item,) = await scene.inbox(DAN)
    assert datetime.fromisoformat(item["until"]) == datetime(2026, 3, 20, 13, tzinfo=UTC), "midnight in Melbourne"


async def test_a_condition_that_escalated_to_no_body_waits_for_those_who_may_refer(scene: Scene) -> None:
    due = date(2026, 3, 8)
    review = await scene.submitted()
    voted = scene.teller.concluded(
        review, scene.portfolio, scene.project, day(3), conditions=(condition(due, owner=subject(DAN)),)
    )
    lapsed = scene.teller.condition_lapsed(review, scene.portfolio, scene.project, day(7), due, then=OnLapse.ESCALATION)
    await scene.service.hear(*voted, lapsed)
    await scene.service.assign("pam", Role.PMO, scene.portfolio)
    await scene.service.assign("max", Role.PROJECT_MANAGER, scene.project)
    (item,) = await scene.inbox("pam", as_of=datetime.now(UTC).isoformat())
    assert (item["wanted"], item["body"], item["text"]) == ("escalation", None, "Settle the easement.")
    assert await scene.inbox("max", as_of=datetime.now(UTC).isoformat()) == []


async def test_a_recycled_gate_waits_for_its_submitter_until_it_is_brought_again(scene: Scene) -> None:
    review = await scene.submitted()
    recycled = scene.teller.concluded(review, scene.portfolio, scene.project, day(3), outcome=Outcome.RECYCLE)
    await scene.service.hear(*recycled)
    (item,) = await scene.inbox(ANA)
    assert (item["wanted"], item["gate"], item["review"], item["until"]) == (
        "resubmission",
        "G1",
        str(review.stream),
        None,
    )
    assert await scene.inbox(BO) == []
    await scene.submitted(at=6, gate="G2", submitter=MAX)
    assert len(await scene.inbox(ANA)) == 1, "another gate is another matter"
    await scene.submitted(at=7)
    assert await scene.inbox(ANA) == []
    assert len(await scene.inbox(ANA, as_of=day(6.5).isoformat())) == 1


async def test_a_recycled_gate_of_a_project_that_has_ended_waits_for_nobody(scene: Scene) -> None:
    project, registered = scene.teller.project(scene.portfolio, "P-9")
    review, asked = scene.teller.submitted(scene.portfolio, project.stream, day(1), submitter=subject(CAT))
    recycled = scene.teller.concluded(review, scene.portfolio, project.stream, day(3), outcome=Outcome.RECYCLE)
    await scene.service.hear(registered, *asked, *recycled)
    assert len(await scene.inbox(CAT)) == 1
    ended = ProjectTerminated("No money.", None)
    await scene.service.hear(scene.teller.at(project, day(4), ended))
    assert await scene.inbox(CAT) == []


async def test_a_meeting_waits_for_who_is_invited_and_its_items_for_the_chair_once_it_has_begun(scene: Scene) -> None:
    review = await scene.submitted(seat(CAT), closes_at=day(30))
    meeting = scene.teller.stream("approvals", day(2))
    owner, item = PortfolioId(scene.portfolio), AgendaItem(ReviewId(review.stream), ProjectId(scene.project), 20)
    scheduled = MeetingScheduled(
        owner, None, "Gates", day(12), day(13), "Australia/Melbourne", "Room 4", subject(DAN), (subject(BO),)
    )
    await scene.service.hear(
        scene.teller.at(meeting, day(2), scheduled), scene.teller.at(meeting, day(3), AgendaSet(owner, (item,)))
    )
    (invited,) = await scene.inbox(BO)
    shown = ("wanted", "meeting", "review", "project", "portfolio", "text", "because", "overdue")
    assert [invited[name] for name in shown] == [
        "attendance",
        str(meeting.stream),
        None,
        None,
        str(scene.portfolio),
        "Gates",
        "invited to the meeting",
        False,
    ]
    assert datetime.fromisoformat(invited["until"]) == day(12)
    assert [each for each, _ in await scene.wanted(DAN)] == ["attendance"], "nothing is disposed of before it begins"
    await scene.service.assign(BO, Role.VIEWER, scene.portfolio)
    assert len(await scene.inbox(BO, node=scene.portfolio)) == 1
    assert await scene.inbox(BO, node=scene.project) == [], "a meeting belongs to no project"
    await scene.service.hear(scene.teller.at(meeting, day(4), MeetingOpened(owner, subject(DAN))))
    chairing, disposing = await scene.inbox(DAN)
    assert (chairing["because"], disposing["wanted"]) == ("chair of the meeting", "disposition")
    assert (disposing["review"], disposing["question"], disposing["gate"], disposing["reference"]) == (
        str(review.stream),
        "May it go on?",
        "G1",
        "P-1",
    )
    disposed = ItemDisposed(owner, ReviewId(review.stream), Disposed.LEFT_TO_VOTE, None, "Two are away.")
    await scene.service.hear(scene.teller.at(meeting, day(5), disposed))
    assert [each for each, _ in await scene.wanted(DAN)] == ["attendance"]
    await scene.service.assign("pam", Role.PMO, scene.portfolio)
    assert len(await scene.inbox("pam", subject=subject(BO))) == 1
