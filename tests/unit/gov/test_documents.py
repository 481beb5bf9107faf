"""Answers that are no JSON come as they were sent, and refusals as everywhere."""

import httpx2
import pytest
from tests.unit.gov.gatehouse import Gatehouse, problem

from gov.client import Refused

CALENDAR = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"


async def test_a_document_comes_byte_by_byte_as_it_was_sent() -> None:
    asked = []

    def calendar(request: httpx2.Request) -> httpx2.Response:
        asked.append((request.url.path, dict(request.url.params)))
        return httpx2.Response(200, content=CALENDAR, headers={"Content-Type": "text/calendar; charset=utf-8"})

    async with Gatehouse(before=calendar).client() as client:
        assert await client.document("projections", "/gate-calendar.ics", {"days": 30, "node": None}) == CALENDAR
    assert asked == [("/gate-calendar.ics", {"days": "30"})]


async def test_a_document_that_is_refused_is_told_as_a_problem() -> None:
    async with Gatehouse(before=lambda _: problem(403, "not-allowed")).client() as client:
        with pytest.raises(Refused) as refused:
            await client.document("approvals", "/meetings/x/invitation.ics")
    assert refused.value.problem.status == 403
