"""What a decision or a report rests on becomes a fact, once, whatever is read again."""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.support.services import Service
from tests.support.telling import Teller, day

from govevents.document import Origin, Recorded, encode
from govevents.projections import KpiMeasured
from govevents.registry import CATALOGUE
from govevents.reporting import Rating
from projections.adapters.measuring import Measuring

teller = Teller()


async def measured(service: Service, cause: str) -> dict[str, KpiMeasured]:
    """What was measured because of an event, by KPI."""
    rows = await service.runtime.ledger.pool.fetch("SELECT document FROM events ORDER BY seq")
    events = [CATALOGUE.decode(bytes(row["document"])) for row in rows]
    found = [each.event for each in events if each.event.cause == cause]
    assert len({each.kpi for each in found}) == len(found), "nothing is measured twice"
    return {each.kpi: each for each in found}


def again(recorded: Recorded[Any], origin: Origin) -> Recorded[Any]:
    """The same event, come to be in another way."""
    envelope = recorded.envelope
    made = encode(
        recorded.event,
        service="approvals",
        aggregate="review",
        stream=envelope.stream,
        version=envelope.version,
        previous_hash=bytes.fromhex(envelope.prevhash or ""),
        time=envelope.time,
        recorded_at=envelope.recordedtime,
        actor="service:approvals",
        command=envelope.command,
        correlation="test",
        causation=None,
        origin=origin,
    )
    return CATALOGUE.decode(made.body)


async def a_project(service: Service) -> tuple[UUID, UUID]:
    """A project with a gate behind it, a condition that is overdue on March 20, and a budget forecast."""
    portfolio, heard = teller.portfolio()
    project, registered = teller.project(portfolio.stream)
    forecast = teller.observed(project, date(2026, 3, 3), forecast="2600000")
    review, opened = teller.submitted(portfolio.stream, project.stream, day(1))
    ended = teller.concluded(review, portfolio.stream, project.stream, day(2), due=date(2026, 3, 10))
    handlers = service.handlers
    service.handlers = tuple(each for each in handlers if not isinstance(each, Measuring))
    await service.hear(heard, registered, forecast, *opened, *ended)
    service.handlers = handlers
    return portfolio.stream, project.stream


async def test_a_submission_has_the_project_s_figures_measured(service: Service) -> None:
    portfolio, project = await a_project(service)
    pool = service.runtime.ledger.pool
    await pool.execute(
        "INSERT INTO consumer_partitions (consumer, topic, partition, next_offset) "
        "VALUES ('conditions/1', 'gov.approvals.events.v1', 3, 17)"
    )
    _, opened = teller.submitted(portfolio, project, day(18), gate="G2")
    await service.hear(*opened)
    found = await measured(service, opened[-1].id)
    assert {name: (each.value, each.unit) for name, each in found.items()} == {
        "conditions_open": (Decimal(1), "conditions"),
        "conditions_overdue": (Decimal(1), "conditions"),
        "days_since_last_gate": (Decimal(16), "days"),
        "budget_forecast": (Decimal(2600000), "AUD"),
    }
    counted = found["conditions_open"]
    assert (counted.project, counted.data_date, counted.fold_versions) == (
        project,
        date(2026, 3, 20),
        ("conditions@2",),
    )
    assert [(each.topic, each.partition, each.offset) for each in counted.offsets] == [
        ("gov.approvals.events.v1", 3, 17)
    ]


async def test_nothing_is_measured_twice(service: Service) -> None:
    portfolio, project = await a_project(service)
    _, opened = teller.submitted(portfolio, project, day(18), gate="G2")
    await service.hear(*opened)
    before = await measured(service, opened[-1].id)
    ended = teller.brought_in(portfolio, project, "G9", date(2026, 3, 19))
    await service.hear(ended, opened[-1], opened[-1])
    assert await measured(service, opened[-1].id) == before


async def test_what_is_not_known_is_undefined_for_a_reason_and_never_zero(service: Service) -> None:
    portfolio, heard = teller.portfolio()
    project, registered = teller.project(portfolio.stream)
    _, drafted = teller.report(portfolio.stream, project.stream, day(40), month=3, rating=Rating.GREEN)
    await service.hear(heard, registered, drafted)
    found = await measured(service, drafted.id)
    assert found["conditions_open"].value == 0
    for name in ("days_since_last_gate", "budget_forecast"):
        assert found[name].value is None
        assert found[name].undefined_because


async def test_imported_events_have_nothing_measured_and_simulated_ones_do(service: Service) -> None:
    portfolio, project = await a_project(service)
    for origin, figures in ((Origin.IMPORTED, 0), (Origin.SIMULATED, 4)):
        _, opened = teller.submitted(portfolio, project, day(18), gate="G2")
        submitted = again(opened[-1], origin)
        await service.hear(submitted)
        assert len(await measured(service, submitted.id)) == figures
    rows = await service.runtime.ledger.pool.fetch("SELECT document FROM events")
    assert {CATALOGUE.decode(bytes(row["document"])).envelope.origin for row in rows} == {Origin.SIMULATED}


async def test_a_project_that_is_not_known_yet_is_waited_for(service: Service) -> None:
    portfolio, heard = teller.portfolio()
    project, registered = teller.project(portfolio.stream)
    _, opened = teller.submitted(portfolio.stream, project.stream, day(1))
    (measuring,) = (each for each in service.handlers if isinstance(each, Measuring) and each.service == "approvals")
    async with service.runtime.ledger.pool.acquire() as connection, connection.transaction():
        (rejected,) = await measuring.apply(connection, [opened[-1]])
    assert (rejected.retry, rejected.recorded.id) == (True, opened[-1].id)
    assert await measured(service, opened[-1].id) == {}
    await service.hear(heard, registered, opened[-1])
    assert len(await measured(service, opened[-1].id)) == 4
