"""One started system for the tests that can share it, with a small office of people in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.system import RunningSystem, subject

GATES = ("G1", "G2", "G3", "G4")
VOTERS = ("bo", "cy", "dee")


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """The system, ready, with nothing in it but what other tests have put there."""
    running = RunningSystem(tmp_path_factory.mktemp("system") / "home")
    try:
        running.local.up(detach=True)
        yield running
        ended = running.ended_unasked()
        assert not ended, "\n".join(line for name, lines in ended.items() for line in (f"{name} ended:", *lines))
    finally:
        running.local.forget()


@dataclass(frozen=True)
class Office:
    """A portfolio with people in their roles, and policies for its gates."""

    system: RunningSystem
    portfolio: str

    def project(self, reference: str, **changes: Any) -> str:
        """Register a project that max manages and sol sponsors."""
        body = {
            "portfolio": self.portfolio,
            "parent": self.portfolio,
            "reference": reference,
            "name": f"Project {reference}",
            "charter": {
                "purpose": "To be decided on.",
                "sponsor": subject("sol"),
                "manager": subject("max"),
                "value": {"amount": "1000000", "currency": "AUD"},
            },
            "methodology": {"name": "waterfall", "version": 1},
            **changes,
        }
        return str(self.system.done("ana", "projects", "/projects", body)["stream"])

    def review(self, project: str, *, submit: bool = True) -> str:
        """Draft a review of the project's first gate, and submit it; its version is then 2."""
        drafted = {"project": project, "kind": "gate", "gate": "G1", "question": "May it begin?", "evidence": []}
        review = str(self.system.done("max", "approvals", "/reviews", drafted)["stream"])
        if submit:
            self.system.done("max", "approvals", f"/reviews/{review}/submissions", {"proposed": "go"}, If_Match='"1"')
        return review

    def decide(self, review: str) -> None:
        """Let two of three people approve, which decides."""
        for version, username in enumerate(VOTERS[:2], start=2):
            vote = {"choice": "approve", "reason": "The case holds."}
            self.system.done(username, "approvals", f"/reviews/{review}/votes", vote, If_Match=f'"{version}"')


@pytest.fixture(scope="package")
def office(system: RunningSystem) -> Office:
    """The office that bad input is sent to."""
    return open_office(system, "Office of Works")


def open_office(system: RunningSystem, name: str) -> Office:
    """Register a portfolio and give it people, a board and gate policies."""
    registered = {"name": name, "currency": "AUD", "time_zone": "Australia/Sydney"}
    portfolio = system.done("ana", "projects", "/portfolios", registered)["stream"]
    for username in ("ana", "max", "mia", "sol", "vic", "bo", "bo.second", "cy", "dee"):
        entry: dict[str, Any] = {
            "subject": subject(username),
            "person": None,
            "name": username,
            "email": f"{username}@example.org",
        }
        if username == "bo.second":
            entry["person"] = system.ask("ana", "approvals", f"/directory/{subject('bo')}").json()["person"]
        system.done("ana", "approvals", "/directory", entry)
    roles = {"max": "project_manager", "sol": "sponsor", "vic": "viewer", **dict.fromkeys(VOTERS, "approver")}
    for username, role in roles.items():
        assigned = {"holder": subject(username), "role": role, "node": portfolio, "first_day": "2020-01-01"}
        system.done("ana", "approvals", "/role-assignments", assigned)
    board = system.done("ana", "approvals", "/bodies", {"portfolio": portfolio, "name": "Board"})["stream"]
    for username in VOTERS:
        seat = {"member": subject(username), "chair": username == "bo", "first_day": "2020-01-01"}
        system.done("ana", "approvals", f"/bodies/{board}/members", seat)
    limit = {"amount": "5000000", "currency": "AUD"}
    bands = [{"body": board, "upper": limit, "inclusive": False}, {"body": board, "upper": None, "inclusive": False}]
    system.done("ana", "approvals", "/value-bands", {"portfolio": portfolio, "bands": bands, "source": None})
    for gate in GATES:
        policy = {
            "portfolio": portfolio,
            "kind": "gate",
            "gate": gate,
            "electorate": {"roles": [], "people": [], "body": None, "by_value_band": True},
            "quorum": {"minimum": 2, "share": "0.5"},
            "rule": "majority",
            "failed_outcome": "recycle",
        }
        system.done("ana", "approvals", "/gate-policies", policy)
    return Office(system, str(portfolio))
