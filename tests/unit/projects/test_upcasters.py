"""What earlier versions of events of projects mean in the words of today's."""

from typing import Any

import pytest

from govevents.projects import UPCASTERS

REVIEW = "00000000-0000-0000-0000-000000000004"
LAPSED = "Condition 12 of a Conditional Go was not met by 2026-01-01."


@pytest.mark.parametrize(
    ("reason", "review", "condition"),
    [
        (LAPSED, REVIEW, 12),
        ("The review of gate G1 came to Hold.", REVIEW, None),
        ("No money.", None, None),
        (LAPSED, None, None),
    ],
    ids=["a lapse", "a gate", "a person", "a person in the words of a lapse"],
)
def test_a_hold_of_the_first_version_names_the_condition_that_its_reason_names(
    reason: str, review: str | None, condition: int | None
) -> None:
    held: dict[str, Any] = {"reason": reason, "review": review}
    assert UPCASTERS["projects.ProjectHeld", 1](held) == {**held, "condition": condition}
