from uuid import UUID

import pytest

from govevents.projects import ProgrammeMoved, ProgrammeRegistered
from govkernel.domain import NodeId, PortfolioId, ProgrammeId, Specification
from projects.domain.portfolio import ParentNotKnown, ParentOfAnotherPortfolio
from projects.domain.programme import (
    PROGRAMME,
    MoveProgramme,
    ProgrammeAlreadyRegistered,
    ProgrammeBelowItself,
    ProgrammeNotKnown,
    RegisterProgramme,
)

programme = Specification(PROGRAMME)

PORTFOLIO = PortfolioId(UUID(int=1))
TOP = NodeId(PORTFOLIO)
ITSELF = ProgrammeId(UUID(int=2))
OTHER = NodeId(UUID(int=3))
BELOW = NodeId(UUID(int=4))

REGISTERED = ProgrammeRegistered(PORTFOLIO, TOP, "Water mains")
REGISTER = RegisterProgramme(PORTFOLIO, TOP, PORTFOLIO, "Water mains")


def test_a_programme_is_registered_below_a_node() -> None:
    programme.given().when(REGISTER).then(REGISTERED)


def test_registering_the_same_programme_again_adds_nothing_even_after_a_move() -> None:
    programme.given(REGISTERED, ProgrammeMoved(PORTFOLIO, OTHER)).when(REGISTER).then_nothing()


def test_registering_it_with_other_particulars_is_refused_and_names_them() -> None:
    refusal = (
        programme.given(REGISTERED)
        .when(RegisterProgramme(PORTFOLIO, TOP, PORTFOLIO, "Sewers"))
        .then_refused(ProgrammeAlreadyRegistered)
    )
    assert refusal.facts == {"name": "Water mains on record, Sewers given"}


def test_its_parent_has_to_be_known() -> None:
    programme.given().when(RegisterProgramme(PORTFOLIO, OTHER, None, "Water mains")).then_refused(ParentNotKnown)


def test_its_parent_has_to_stand_in_the_same_portfolio() -> None:
    elsewhere = PortfolioId(UUID(int=9))
    programme.given().when(RegisterProgramme(PORTFOLIO, OTHER, elsewhere, "Mains")).then_refused(
        ParentOfAnotherPortfolio
    )
    programme.given(REGISTERED).when(MoveProgramme(ITSELF, OTHER, elsewhere, ())).then_refused(ParentOfAnotherPortfolio)


def test_a_programme_moves_below_another_node() -> None:
    programme.given(REGISTERED).when(MoveProgramme(ITSELF, OTHER, PORTFOLIO, (TOP,))).then(
        ProgrammeMoved(PORTFOLIO, OTHER)
    )


def test_moving_it_to_where_it_stands_adds_nothing() -> None:
    move = MoveProgramme(ITSELF, OTHER, PORTFOLIO, (TOP,))
    programme.given(REGISTERED).when(move, move).then_nothing()


@pytest.mark.parametrize(
    ("parent", "ancestors"),
    [(NodeId(ITSELF), (TOP,)), (BELOW, (NodeId(ITSELF), TOP))],
    ids=["itself", "something below it"],
)
def test_a_programme_never_stands_below(parent: NodeId, ancestors: tuple[NodeId, ...]) -> None:
    programme.given(REGISTERED).when(MoveProgramme(ITSELF, parent, PORTFOLIO, ancestors)).then_refused(
        ProgrammeBelowItself
    )


def test_an_unknown_programme_is_not_moved() -> None:
    programme.given().when(MoveProgramme(ITSELF, OTHER, PORTFOLIO, ())).then_refused(ProgrammeNotKnown)
