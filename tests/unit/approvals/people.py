"""People, accounts and places that the tests of approvals speak of."""

from uuid import NAMESPACE_DNS, UUID, uuid5

from govkernel.domain import BodyId, NodeId, PersonId, PortfolioId, ProjectId, SubjectId


def _id(name: str) -> UUID:
    return uuid5(NAMESPACE_DNS, f"{name}.example")


def account(name: str) -> SubjectId:
    return SubjectId(_id(f"account.{name}"))


def person(name: str) -> PersonId:
    return PersonId(_id(f"person.{name}"))


PORTFOLIO = PortfolioId(_id("portfolio"))
PROJECT = ProjectId(_id("project"))
PROJECT_NODE = NodeId(PROJECT)
PORTFOLIO_NODE = NodeId(PORTFOLIO)
BOARD = BodyId(_id("board"))
COUNCIL = BodyId(_id("council"))
REVIEW_STREAM = _id("review")
