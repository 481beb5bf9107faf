"""The consumer that measures: what a cause rests on is read in one snapshot, and its figures are kept with the offsets.

The figures are commands of this service, each under an id that its cause and KPI make. So whatever is read again,
rebuilt, or run twice beside itself, nothing is measured twice.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from govevents.document import Origin, Recorded
from govevents.event import event_type
from govevents.projections import InputOffset
from govkernel.consumer import Rejected, Unavailable
from govkernel.domain import ProjectId
from govkernel.ledger import Ledger
from govkernel.postgres import Connection
from govkernel.reactions import ReactionHandler
from govkernel.readmodels import ReadModel
from projections.adapters.queries import of_project, readings
from projections.application.conditions import CONDITIONS
from projections.application.decision_register import DECISION_REGISTER
from projections.application.project_overview import PROJECT_OVERVIEW
from projections.application.reactions import CAUSES, Reading, Situation, project_of, react

MEASURED_MODELS: Final[tuple[ReadModel[Any], ...]] = (PROJECT_OVERVIEW, DECISION_REGISTER, CONDITIONS)


class Measuring:
    """Measures a project's KPIs for the events of one topic that rest on them; imported ones rest on none."""

    def __init__(self, service: str, ledger: Ledger, engine: AsyncEngine) -> None:
        # Its name is part of every measurement's command id, so it never changes.
        self.name = f"projections.measuring.{service}"
        self.service = service
        declared = [event_type(cause) for cause in CAUSES]
        self.subscribes = frozenset(each.full_name for each in declared if each.service == service)
        self._ledger = ledger
        self._engine = engine

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        """Measure and append. Raises Unavailable where nothing can be read or appended now."""
        causes = [recorded for recorded in batch if recorded.envelope.origin is not Origin.IMPORTED]
        if not causes:
            return ()
        try:
            found = await self._look(causes)
        except (DBAPIError, NoConnection) as error:
            raise Unavailable(f"{self.name}: {type(error).__name__}") from error
        handler = ReactionHandler(
            self.name, self.service, self._ledger, partial(_react, found), subscribes=self.subscribes
        )
        return await handler.apply(connection, causes)

    async def _look(self, causes: Sequence[Recorded[Any]]) -> dict[str, Situation]:
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            at = {
                name: Reading(
                    f"{name}@{each.fold_version}",
                    tuple(InputOffset(each.topic, number, offset) for number, offset in sorted(each.offsets.items())),
                )
                for name, each in (await readings(connection, MEASURED_MODELS)).items()
            }
            situations: dict[ProjectId, Situation] = {}
            found: dict[str, Situation] = {}
            for cause in causes:
                project = project_of(cause)
                if project is not None:
                    if project not in situations:
                        situations[project] = Situation(await of_project(connection, project), at)
                    found[cause.id] = situations[project]
        return found


def _react(found: dict[str, Situation], recorded: Recorded[Any], _links: Any) -> Any:
    return react(recorded, found)
