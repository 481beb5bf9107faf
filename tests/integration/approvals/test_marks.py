"""The mark of a vote whose delegation was revoked is that vote's, and not the seat's."""

from tests.integration.approvals.room import Room
from tests.support.services import done, subject


async def test_a_holder_who_votes_anew_takes_the_mark_off_the_seat(room: Room) -> None:
    review = await room.opened()
    member = await room.as_("ana")
    grant = {
        "delegate": str(subject("con")),
        "node": room.portfolio,
        "first_day": "2020-01-01",
        "last_day": "2999-12-31",
        "reason": "On leave.",
    }
    delegation = done(await member.post("/delegations", json=grant), 201)["stream"]
    done(await room.vote(review, "con", seen=2, delegation=delegation))
    done(await member.post(f"/delegations/{delegation}/revocations", json={"reason": "Back."}))
    await room.service.follow_itself()

    async def mark() -> tuple[str, str | None]:
        (seat,) = [each for each in (await room.shown(review))["electorate"] if each["name"] == "Ana"]
        return seat["spoken_by_name"], seat["marked_because"]

    assert await mark() == ("Con", "Back.")
    done(await room.vote(review, "ana", seen=4))
    assert await mark() == ("Ana", None)
