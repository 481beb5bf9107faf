"""What the API's description says holds for people of every role, in a portfolio where there is something to ask about."""

import os
from pathlib import Path
from typing import Final

import pytest
from tests.integration.approvals.room import PEOPLE, Room
from tests.support.fuzzing import fuzz
from tests.support.services import done, subject, token

from govevents.approvals import Role

EXAMPLES: Final = int(os.environ.get("GOV_TEST_EXAMPLES", "1"))
"""How many requests are made up for an operation; GOV_TEST_EXAMPLES=200 and --timeout 0 make a long run."""
ADMINISTRATOR: Final = "root"
BY_ROLE: Final = {Role.ADMINISTRATOR: ADMINISTRATOR, **{role: name for name, role in PEOPLE.items()}}


async def filled(room: Room) -> dict[str, list[str]]:
    """Let the portfolio have something of each kind; ids and versions by the names that requests have for them."""
    people = [str(subject(name)) for name in PEOPLE]
    pmo, manager, member = await room.as_("pia"), await room.as_("max"), await room.as_("ana")
    found: dict[str, list[str]] = {"review": [], "delegation": [], "review_request": [], "meeting": []}
    for _ in range(3):
        draft, open_, concluded = await room.drafted(), await room.opened(), await room.opened()
        owner = {"text": "Survey the ground.", "owner": people[0], "due": "2030-06-30"}
        done(await room.vote(concluded, "ana", seen=2, choice="approve_with_conditions", conditions=[owner]))
        done(await room.vote(concluded, "bo", seen=3))
        done(await member.post(f"/reviews/{open_}/questions", json={"text": "Who pays?"}))
        found["review"] += [draft, open_, concluded]
        grant = {"delegate": people[6], "node": room.portfolio, "first_day": "2020-01-01", "last_day": "2999-12-31"}
        granted = done(await member.post("/delegations", json={**grant, "reason": "On leave."}), 201)
        found["delegation"].append(granted["stream"])
        meeting = {
            "portfolio": room.portfolio,
            "title": "Gates",
            "starts_at": "2030-01-01T10:00:00Z",
            "ends_at": "2030-01-01T12:00:00Z",
            "chair": people[0],
        }
        found["meeting"].append(done(await pmo.post("/meetings", json=meeting), 201)["stream"])
    asked = {"project": room.project, "kind": "gate", "gate": "G1", "reason": "It is time."}
    answered = await manager.post("/review-requests", json=asked)
    found["review_request"].append(done(answered, 201)["stream"])
    decision = {
        "project": room.project,
        "kind": "gate",
        "gate": "G1",
        "decided_on": "2020-01-01",
        "body_name": "Board",
        "outcome": "go",
        "source": {"file": "gates.csv", "sha256": "a" * 64, "row": 1},
    }
    recorded = await pmo.post("/decisions", json=decision, headers={"Gov-Time": "2020-01-02T00:00:00Z"})
    found["decision"] = [done(recorded, 201)["stream"]]
    accounts = "subject holder member delegate owner chair attendee account invitees people veto alternate_for from to"
    nodes = {"project": [room.project], "portfolio": [room.portfolio], "node": [room.project, room.portfolio]}
    return {
        **found,
        **nodes,
        "requested": found["review_request"],
        "body": [room.board],
        "escalate_to": [room.board],
        "gate": ["G1"],
        "currency": ["AUD"],
        "amount": ["2500000"],
        "if-match": [f'"{version}"' for version in range(1, 7)],
        **dict.fromkeys(accounts.split(), people),
    }


@pytest.mark.parametrize("role", Role)
async def test_every_request_is_answered_as_the_description_says(role: Role, room: Room, tmp_path: Path) -> None:
    known = await filled(room)
    await room.service.follow_itself()
    name = BY_ROLE[role]
    authorization = token(name, administrator=role is Role.ADMINISTRATOR)
    said = await fuzz(room.service, tmp_path, authorization=authorization, examples=EXAMPLES, known=known)
    assert "No issues found" in said
    if "GOV_TEST_EXAMPLES" in os.environ:
        print(said[-700:])
