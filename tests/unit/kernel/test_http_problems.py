"""What an error means to whoever has asked."""

import json

import pytest

from govevents.catalogue import NewerThanReader
from govkernel.http.problems import response_for
from govkernel.postgres import UNAVAILABLE


@pytest.mark.parametrize("kind", UNAVAILABLE, ids=lambda kind: kind.__name__)
def test_whatever_says_that_the_database_is_away_asks_for_the_same_request_later(kind: type[Exception]) -> None:
    answered = response_for(kind("gone"), "a-correlation")
    assert answered is not None
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "2")
    assert json.loads(bytes(answered.body))["type"] == "urn:gatehouse:problem:unavailable"


def test_a_fault_of_the_program_has_no_answer_of_its_own() -> None:
    assert response_for(ZeroDivisionError(), "a-correlation") is None


def test_an_event_of_a_newer_release_is_no_fault_of_the_caller_and_asks_for_another_replica() -> None:
    response = response_for(NewerThanReader("approvals.VoteCast version 2 is newer than this reader"), "c")
    assert response is not None
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
