"""The jar as a whole service, run as a process of its own: `python -m tests.integration.kernel.jar_service <role>`."""

import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from tests.integration.kernel import jar, jar_next
from tests.integration.kernel.jar import AddCoin, JarIsFull, OpenJar

from govevents.catalogue import Catalogue
from govevents.projects import ProjectTerminated
from govevents.registry import CATALOGUE as EVERYTHING
from govkernel.domain import Aggregate, NodeId
from govkernel.http import Ask, Body, Call, ServiceApi
from govkernel.ledger import Intent
from govkernel.processes import Reacts, ServiceDefinition, run

SHELF = NodeId(UUID("00000000-0000-4000-8000-000000000001"))


NEXT_RELEASE = "JAR_NEXT_RELEASE" in os.environ
"""Whether this is a later release, in which the adding of a coin says what the coin is worth."""
JAR: Aggregate[Any, Any, Any] = jar_next.JAR if NEXT_RELEASE else jar.JAR
CATALOGUE = jar_next.CATALOGUE if NEXT_RELEASE else jar.CATALOGUE


class OpenRequest(Body):
    limit: int
    shelf: str = "a"


class CoinRequest(Body):
    by: str


class JarView(BaseModel):
    coins: tuple[str, ...]


api = ServiceApi(os.environ.get("JAR_SERVICE", "testing"), title="Jars", refusals={JarIsFull: 409})


@api.command("/jars", operation="openJar", body=OpenRequest, action="jar.open")
async def open_jar(call: Call[OpenRequest]) -> Intent[Any, Any, Any]:
    """Open a jar."""
    return Intent(JAR, call.command, OpenJar(call.body.limit, call.body.shelf), node=SHELF)


@api.command("/jars/{jar}/coins", operation="addCoin", body=CoinRequest, action="jar.open", refusals=(JarIsFull,))
async def add_coin(call: Call[CoinRequest]) -> Intent[Any, Any, Any]:
    """Add a coin."""
    return Intent(JAR, call.path_id("jar"), AddCoin(call.body.by), node=SHELF)


@api.query("/jars/{jar}", operation="getJar", response=JarView)
async def get_jar(ask: Ask, jar: UUID) -> JarView:
    """Read a jar."""
    await ask.require("jar.open", SHELF)
    loaded = await ask.runtime.ledger.load(JAR, jar)
    ask.tag(jar, loaded.head.version)
    return JarView(coins=loaded.state.coins)


HEARS = os.environ.get("JAR_HEARS", "")
"""A service to whose events this one reacts, in that it does nothing."""


HEARD = (CATALOGUE.events["testing.CoinAdded"],) if api.service == HEARS else (ProjectTerminated,)
REACTIONS = (Reacts(service=HEARS, events=HEARD, react=lambda _, __: ()),) if HEARS else ()

DEFINITION = ServiceDefinition(
    name=api.service,
    api=api,
    policy=Path(__file__).with_name("jar_policy.toml"),
    aggregates=(JAR,),
    reactions=REACTIONS,
    catalogue=Catalogue.of(
        [*EVERYTHING.events.values(), *CATALOGUE.events.values()], {**EVERYTHING.upcasters, **CATALOGUE.upcasters}
    ),
)

if __name__ == "__main__":
    sys.exit(run(DEFINITION, sys.argv[1:]))
