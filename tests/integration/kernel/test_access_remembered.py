"""A command that was allowed from memory is appended only while nothing that allowed it has changed."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import uuid4

import pytest
from tests.integration.kernel.jar import JAR, AddCoin, OpenJar, context
from tests.integration.kernel.jar_service import DEFINITION, SHELF
from tests.support.services import LONG_AGO, Service, done, problem, service_over, subject
from tests.support.streams import Stream

from govevents.approvals import Role, RoleAssigned, RoleRevoked
from govevents.projects import PortfolioRegistered
from govevents.values import PersonId
from govkernel.ledger import Appended, Intent
from govkernel.ledger.append import AllowanceMoved

ANA = subject("ana")
NOT_ALLOWED: Final = (404, "not-found")
"""The shelf is no node that the service has heard of, and nothing is said of such to who may do nothing there."""


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with service_over(DEFINITION, database) as made:
        yield made


@pytest.fixture
async def role(service: Service) -> Stream:
    """Ana's role, which lets her open jars."""
    stream = Stream("approvals")
    await service.hear(stream.event(RoleAssigned(ANA, PersonId(uuid4()), Role.ADMINISTRATOR, SHELF, LONG_AGO, None)))
    return stream


async def revoke(service: Service, role: Stream) -> None:
    await service.hear(role.event(RoleRevoked(ANA, Role.ADMINISTRATOR, SHELF, "")))


async def test_the_very_next_command_after_a_role_was_revoked_is_not_allowed(service: Service, role: Stream) -> None:
    ana = await service.client("ana")
    jar = done(await ana.post("/jars", json={"limit": 9}), 201)["stream"]
    for by in "abc":
        done(await ana.post(f"/jars/{jar}/coins", json={"by": by}))
    await revoke(service, role)
    problem(await ana.post(f"/jars/{jar}/coins", json={"by": "d"}), *NOT_ALLOWED)
    assert done(await service.root.get(f"/jars/{jar}"))["coins"] == ["a", "b", "c"]


async def test_who_may_no_longer_still_gets_the_answer_to_what_was_allowed(service: Service, role: Stream) -> None:
    ana = await service.client("ana")
    jar = done(await ana.post("/jars", json={"limit": 9}), 201)["stream"]
    asked: Any = {"json": {"by": "a"}, "headers": {"Idempotency-Key": "one"}}
    first = done(await ana.post(f"/jars/{jar}/coins", **asked))
    await revoke(service, role)
    assert done(await ana.post(f"/jars/{jar}/coins", **asked)) == first


async def test_a_change_elsewhere_has_it_decided_again_and_allowed_again(service: Service, role: Stream) -> None:
    ana = await service.client("ana")
    jar = done(await ana.post("/jars", json={"limit": 9}), 201)["stream"]
    await service.hear(Stream("projects").event(PortfolioRegistered("One", "AUD", "UTC")))
    for by in "ab":
        done(await ana.post(f"/jars/{jar}/coins", json={"by": by}))


async def test_a_refusal_too_stands_only_under_what_allowed_the_command(service: Service, role: Stream) -> None:
    ana = await service.client("ana")
    jar = done(await ana.post("/jars", json={"limit": 1}), 201)["stream"]
    done(await ana.post(f"/jars/{jar}/coins", json={"by": "a"}))
    problem(await ana.post(f"/jars/{jar}/coins", json={"by": "b"}), 409, "jar-is-full")
    await revoke(service, role)
    problem(await ana.post(f"/jars/{jar}/coins", json={"by": "b"}), *NOT_ALLOWED)


async def test_of_a_batch_only_what_was_allowed_under_another_generation_is_left_out(service: Service) -> None:
    ledger = service.runtime.ledger
    newest = await ledger.pool.fetchval("SELECT access_generation()")
    items = []
    for allowed_under in (None, "older", newest, None, newest):
        stream = uuid4()
        intent: Intent[Any, Any, Any] = Intent(JAR, stream, OpenJar(1), allowed_under=allowed_under)
        items.append(ledger.prepare(context(), intent, await ledger.load(JAR, stream))[0])
    async with ledger.pool.acquire() as connection:
        outcomes = await ledger.append(connection, items)
        assert [type(outcome) for outcome in outcomes] == [Appended, AllowanceMoved, Appended, Appended, Appended]
        later = [
            ledger.prepare(
                context(),
                Intent(JAR, item.expected.stream, AddCoin("a"), allowed_under=allowed_under),
                await ledger.load(JAR, item.expected.stream),
            )[0]
            for item, allowed_under in zip(items, ("older", None, "older", None, None), strict=True)
            if item is not items[1]
        ]
        outcomes = await ledger.append(connection, later)
    assert [type(outcome) for outcome in outcomes] == [AllowanceMoved, AllowanceMoved, Appended, Appended]


async def test_each_change_of_roles_or_nodes_makes_another_generation(service: Service, role: Stream) -> None:
    async def generation() -> str:
        return str(await service.runtime.ledger.pool.fetchval("SELECT access_generation()"))

    seen = [await generation()]
    await service.hear(Stream("projects").event(PortfolioRegistered("One", "AUD", "UTC")))
    seen.append(await generation())
    await revoke(service, role)
    seen.append(await generation())
    assert len(set(seen)) == 3
    assert await generation() == seen[-1]
