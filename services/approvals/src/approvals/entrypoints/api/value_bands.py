"""Whose decision a value is."""

from decimal import Decimal
from uuid import UUID

from pydantic import BaseModel

from approvals.domain import body as bodies
from approvals.domain import value_bands
from approvals.domain.body import (
    BODY,
    BodyNotKnown,
)
from approvals.domain.value_bands import (
    VALUE_BANDS,
    BandsNotPublished,
    BandsNotRising,
    BandsOfSeveralCurrencies,
    CurrencyMismatch,
    NoBandForValue,
    NoBands,
    PublishBands,
    body_for,
)
from approvals.entrypoints.api.edge import (
    READ,
    AnyIntent,
    PortfolioNotKnown,
    api,
    check_portfolio,
    each_once,
    head_of_body,
    parameter_fault,
)
from govevents.approvals import (
    ValueBand,
)
from govkernel.domain import (
    BodyId,
    Money,
    Name,
    NodeId,
    PortfolioId,
    Source,
    ValueRefused,
)
from govkernel.http import Ask, Body, Call
from govkernel.ledger import Intent


class BandsRequest(Body):
    """The table that says whose decision a value is, in rising order; it replaces the one before."""

    portfolio: PortfolioId
    bands: tuple[ValueBand, ...]
    source: Source | None = None


class BandsView(BaseModel):
    """The table that holds now."""

    portfolio: PortfolioId
    bands: tuple[ValueBand, ...]
    source: Source | None


class DecidingBodyView(BaseModel):
    """The body that must decide on a value."""

    body: BodyId
    name: Name


@api.command(
    "/value-bands",
    operation="publishBands",
    action="policy.publish",
    body=BandsRequest,
    refusals=(PortfolioNotKnown, NoBands, BandsNotRising, BandsOfSeveralCurrencies, BodyNotKnown),
)
async def publish_bands(call: Call[BandsRequest]) -> AnyIntent:
    """Publish the table of value bands of a portfolio."""
    body = call.body
    await check_portfolio(call, "policy.publish", body.portfolio)
    relied_on = [await head_of_body(call, body.portfolio, band.body) for band in body.bands]
    return Intent(
        VALUE_BANDS,
        value_bands.stream_of(body.portfolio),
        PublishBands(body.portfolio, body.bands, body.source),
        relies_on=each_once(relied_on),
        node=NodeId(body.portfolio),
    )


@api.query("/value-bands/{portfolio}", operation="getBands", response=BandsView)
async def get_bands(ask: Ask, portfolio: UUID) -> BandsView:
    """Read the table of value bands of a portfolio."""
    await ask.require(READ, NodeId(portfolio))
    stream = value_bands.stream_of(PortfolioId(portfolio))
    loaded = await ask.runtime.ledger.load(VALUE_BANDS, stream)
    if not isinstance(loaded.state, value_bands.Published):
        raise ask.missing("value bands", portfolio)
    ask.tag(stream, loaded.head.version)
    table = loaded.state.table
    return BandsView(portfolio=table.portfolio, bands=table.bands, source=table.source)


@api.query("/value-bands/{portfolio}/decisions", operation="whoDecides", response=DecidingBodyView)
async def who_decides(ask: Ask, portfolio: UUID, amount: str, currency: str) -> DecidingBodyView:
    """Say whose decision a value is."""
    await ask.require(READ, NodeId(portfolio))
    try:
        value = Money(Decimal(amount), currency)
    except ArithmeticError:
        raise parameter_fault("amount", amount, "give a decimal such as 12.50") from None
    except ValueRefused as refused:
        raise parameter_fault(refused.field, str(refused.value), refused.remedy) from None
    bands = (await ask.runtime.ledger.load(VALUE_BANDS, value_bands.stream_of(PortfolioId(portfolio)))).state
    try:
        deciding = body_for(bands, value)
    except BandsNotPublished:
        raise ask.missing("value bands", portfolio) from None
    except (CurrencyMismatch, NoBandForValue) as refusal:
        facts = ", ".join(f"{name} {fact}" for name, fact in refusal.facts.items())
        raise parameter_fault("amount", f"{amount} {currency}", f"{refusal.detail} ({facts})") from None
    state = (await ask.runtime.ledger.load(BODY, deciding)).state
    assert isinstance(state, bodies.Formed), "a table is published with bodies that were formed"
    return DecidingBodyView(body=deciding, name=state.formed.name)
