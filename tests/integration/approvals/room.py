"""A portfolio with its people, body, bands and policy, and the steps of a gate review, over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import httpx2
from tests.support.nodes import heard_portfolio, heard_project
from tests.support.services import Served, Service, done, subject
from tests.support.streams import Stream

from govevents.approvals import Role
from govevents.projects import Charter
from govkernel.domain import Money

PEOPLE: Final[Mapping[str, Role]] = {
    "pia": Role.PMO,
    "max": Role.PROJECT_MANAGER,
    "sol": Role.SPONSOR,
    "ana": Role.APPROVER,
    "bo": Role.APPROVER,
    "cy": Role.APPROVER,
    "con": Role.CONTRIBUTOR,
    "vic": Role.VIEWER,
    "aud": Role.AUDITOR,
}
"""Who has which role at the portfolio; max manages the project, sol sponsors it."""
BOARD: Final = ("ana", "bo", "cy")
EVIDENCE: Final = {
    "title": "Business case",
    "uri": "https://documents.example/case",
    "sha256": "a" * 64,
    "kind": "business_case",
}
VOTE: Final = {"choice": "approve", "reason": "The case holds."}
CHARTER: Final = Charter("Replace the main.", subject("sol"), subject("max"), Money(Decimal("2500000.00"), "AUD"))
DAY: Final = "2020-01-01"


@dataclass
class Place:
    """Where a project's gates are decided. `project_stream` can be let say more."""

    portfolio: str
    project_stream: Stream
    board: str

    @property
    def project(self) -> str:
        """The project's id."""
        return str(self.project_stream.stream)

    def policy(self, **changed: Any) -> dict[str, Any]:
        """The policy of gate G1, as a body."""
        body = {
            "portfolio": self.portfolio,
            "kind": "gate",
            "gate": "G1",
            "electorate": {"roles": [], "people": [], "body": None, "by_value_band": True},
            "quorum": {"minimum": 2, "share": "0.5"},
            "rule": "majority",
        }
        return {**body, **changed}

    def question(self, **changed: Any) -> dict[str, Any]:
        """A review of gate G1, as a body."""
        body = {"project": self.project, "kind": "gate", "gate": "G1", "question": "May it begin?"}
        return {**body, "evidence": [EVIDENCE], **changed}


@dataclass
class Room(Place):
    """The place in a service that runs within the test."""

    service: Service

    async def as_(self, name: str) -> httpx2.AsyncClient:
        """A client with a person's token."""
        return await self.service.client(name)

    async def publish(self, **changed: Any) -> dict[str, Any]:
        """The PMO publishes a policy that differs from the usual as said."""
        return dict(done(await (await self.as_("pia")).post("/gate-policies", json=self.policy(**changed)), 201))

    async def drafted(self, **changed: Any) -> str:
        """A review that the project's manager has prepared; its id."""
        answer = await (await self.as_("max")).post("/reviews", json=self.question(**changed))
        return str(done(answer, 201)["stream"])

    async def submit(self, review: str, who: str = "max", *, seen: int = 1, **changed: Any) -> httpx2.Response:
        """Submit a review with Go as the proposal."""
        client = await self.as_(who)
        body = {"proposed": "go", **changed}
        return await client.post(f"/reviews/{review}/submissions", json=body, headers={"If-Match": f'"{seen}"'})

    async def opened(self, **changed: Any) -> str:
        """A review that awaits its votes; its id. It is at version 2."""
        review = await self.drafted(**changed)
        done(await self.submit(review))
        return review

    async def vote(
        self, review: str, who: str, *, seen: int, claims: list[dict[str, Any]] | None = None, **changed: Any
    ) -> httpx2.Response:
        """Vote, having seen a version of the review; `claims` is what the voter says to have seen, if anything."""
        client = await self.as_(who)
        if claims is not None:
            changed["seen"] = claims
        return await client.post(
            f"/reviews/{review}/votes", json={**VOTE, **changed}, headers={"If-Match": f'"{seen}"'}
        )

    async def shown(self, review: str, who: str = "aud") -> dict[str, Any]:
        """The review as it stands."""
        return dict(done(await (await self.as_(who)).get(f"/reviews/{review}")))

    async def facts(self, review: str) -> list[Any]:
        """The events of a review."""
        return [recorded.event for recorded in await self.service.runtime.ledger.events(UUID(review))]


async def register(service: Served, who: str, account: str | None = None, **changed: Any) -> dict[str, Any]:
    """Put a person's account into the directory."""
    body = {"subject": str(subject(account or who)), "name": who.title(), "email": f"{who}@example.org", **changed}
    return dict(done(await service.root.post("/directory", json=body)))


async def assign(service: Served, name: str, role: Role, node: str, **changed: Any) -> httpx2.Response:
    """Give a person a role at a node, over the API."""
    body = {"holder": str(subject(name)), "role": role.value, "node": node, "first_day": DAY, **changed}
    return await service.root.post("/role-assignments", json=body)


async def furnish(service: Served) -> Place:
    """A portfolio with PEOPLE, a board that decides on everything, its bands, and the policy of gate G1."""
    portfolio = await heard_portfolio(service)
    project = await heard_project(service, portfolio, charter=CHARTER)
    for name, role in PEOPLE.items():
        await register(service, name)
        done(await assign(service, name, role, portfolio), 201)
    await service.follow_itself()
    pmo = await service.client("pia")
    board = str(done(await pmo.post("/bodies", json={"portfolio": portfolio, "name": "Board"}), 201)["stream"])
    for name in BOARD:
        seat = {"member": str(subject(name)), "chair": name == BOARD[0], "first_day": DAY}
        done(await pmo.post(f"/bodies/{board}/members", json=seat))
    bands = {"portfolio": portfolio, "bands": [{"body": board, "upper": None, "inclusive": False}]}
    done(await pmo.post("/value-bands", json=bands), 201)
    place = Place(portfolio, project, board)
    done(await pmo.post("/gate-policies", json=place.policy()), 201)
    return place


async def furnished(service: Service) -> Room:
    """What `furnish` brings in, in a service that runs within the test."""
    place = await furnish(service)
    return Room(place.portfolio, place.project_stream, place.board, service)
