"""The fund as a whole service, run as a process of its own: `python -m tests.benchmarks.fund_service <role>`."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field
from tests.benchmarks.fund import CATALOGUE, FUND, Draw, FundExhausted, FundUnknown, funds
from tests.benchmarks.ledgers import SERVICE

from govkernel.domain import NodeId
from govkernel.http import Body, Call, ServiceApi
from govkernel.ledger import Intent
from govkernel.processes import ServiceDefinition, run

NODE: Final = NodeId(UUID("00000000-0000-4000-8000-000000000001"))

api = ServiceApi(SERVICE, title="Funds", refusals={FundExhausted: 409, FundUnknown: 404})


class DrawRequest(Body):
    amount_minor: Annotated[int, Field(gt=0, le=2**50)]
    purpose: Annotated[str, Field(min_length=1, max_length=500)]


@api.command(
    "/funds/{fund}/drawings",
    operation="draw",
    body=DrawRequest,
    action="fund.draw",
    if_match=True,
    refusals=(FundExhausted, FundUnknown),
)
async def draw(call: Call[DrawRequest]) -> Intent[Any, Any, Any]:
    """Draw money from a fund."""
    return Intent(FUND, call.path_id("fund"), Draw(call.body.amount_minor, call.body.purpose), node=NODE)


DEFINITION = ServiceDefinition(
    name=SERVICE,
    api=api,
    policy=Path(__file__).with_name("fund_policy.toml"),
    aggregates=(FUND,),
    read_models=(funds(SERVICE),),
    catalogue=CATALOGUE,
)

if __name__ == "__main__":
    sys.exit(run(DEFINITION, sys.argv[1:]))
