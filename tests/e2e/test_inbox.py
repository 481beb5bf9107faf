"""What waits for a person says all that it takes to answer it, over the whole system."""

from typing import Any

from tests.e2e.conftest import VOTERS, Office
from tests.support.system import RunningSystem, subject


def inbox(system: RunningSystem, username: str, review: str) -> list[dict[str, Any]]:
    """What a review wants of somebody."""
    rows = system.ask(username, "projections", "/inbox", limit="200").raise_for_status().json()["rows"]
    return [row for row in rows if row["review"] == review]


async def test_a_person_votes_on_what_their_inbox_shows_and_then_nothing_waits(
    system: RunningSystem, office: Office
) -> None:
    review = office.review(office.project("INBOX-1"))
    await system.wait_read("projections")
    for username in VOTERS:
        (item,) = inbox(system, username, review)
        assert (item["wanted"], item["authority"], item["reference"]) == ("vote", "own", "INBOX-1")
    assert inbox(system, "max", review) == []
    (item,) = inbox(system, "bo", review)
    vote = {"choice": "approve", "reason": "The case holds."}
    version = f'"{item["review_version"]}"'
    system.done("bo", "approvals", f"/reviews/{review}/votes", vote, If_Match=version)
    await system.wait_read("projections")
    assert inbox(system, "bo", review) == []
    (item,) = inbox(system, "cy", review)
    due = {"text": "Settle the easement.", "owner": subject("max"), "due": "2999-12-31", "shown_by": "The deed."}
    conditional = {
        "choice": "approve_with_conditions",
        "reason": "Once the deed is there.",
        "conditions": [{**due, "on_lapse": "hold"}],
    }
    version = f'"{item["review_version"]}"'
    system.done("cy", "approvals", f"/reviews/{review}/votes", conditional, If_Match=version)
    await system.wait_read("projections")
    assert inbox(system, "dee", review) == [], "it is decided"
    (condition,) = inbox(system, "max", review)
    assert (condition["wanted"], condition["number"], condition["due"], condition["overdue"]) == (
        "condition",
        1,
        "2999-12-31",
        False,
    )
    told = system.gov("inbox", "--as", "max", "--json")
    assert told.code == 0, told.err
    assert [row for row in told.document["rows"] if row["review"] == review] == [condition]
    shown = system.gov("inbox", "--as", "max")
    assert "Settle the easement." in shown.out
