from govevents.projects import PortfolioRegistered
from govkernel.domain import Specification
from projects.domain.portfolio import PORTFOLIO, PortfolioAlreadyRegistered, RegisterPortfolio

portfolio = Specification(PORTFOLIO)

REGISTERED = PortfolioRegistered("Capital works", "AUD", "Australia/Melbourne")
REGISTER = RegisterPortfolio("Capital works", "AUD", "Australia/Melbourne")


def test_a_portfolio_is_registered_with_its_currency_and_time_zone() -> None:
    portfolio.given().when(REGISTER).then(REGISTERED)


def test_registering_the_same_portfolio_again_adds_nothing() -> None:
    portfolio.given(REGISTERED).when(REGISTER).then_nothing()


def test_registering_it_with_other_particulars_is_refused_and_names_them() -> None:
    refusal = (
        portfolio.given(REGISTERED)
        .when(RegisterPortfolio("Capital works", "NZD", "Australia/Melbourne"))
        .then_refused(PortfolioAlreadyRegistered)
    )
    assert refusal.facts == {"currency": "AUD on record, NZD given"}
