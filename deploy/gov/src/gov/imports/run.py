"""Sends what a plan says, project by project, and reports what was taken, what was there already and what was not."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from gov.client import Answer, Client, Refused, Unavailable
from gov.imports.plan import IdOf, Plan, ProjectPlan, Request
from gov.imports.table import Problem, Table

AT_ONCE: Final = 16
PATIENCE_S: Final = 120.0
"""How long a run waits for a service that is away."""
ARRIVAL_S: Final = 30.0
"""How long a run waits until a project has become known to the service that is told something about it."""
ARRIVAL_POLL_S: Final = 0.5
THE_MAPPING: Final = 0
"""The row of a problem that no row of the file has."""


@dataclass(slots=True)
class Result:
    """What came of an import. `stopped` says why it could not go on to the end, `away` that a service was the reason.

    A row counts as taken if it led to at least one new event, as there already if everything it says was recorded
    before, and as silent if it says nothing that is to be sent.
    """

    file: str
    sha256: str
    portfolio: str
    dry_run: bool
    rows: int
    planned: Mapping[str, int]
    events: int = 0
    problems: list[Problem] = field(default_factory=list)
    stopped: str | None = None
    away: bool = False
    sent: set[int] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether everything in the file was taken, now or before."""
        return not self.problems and self.stopped is None

    def stop(self, error: Exception) -> None:
        """Keep why nothing further could be sent. Raises the error where it is none that a run expects."""
        if not isinstance(error, Unavailable | _Stop):
            raise error from None
        self.stopped = str(error)
        self.away = isinstance(error, Unavailable)

    def as_json(self) -> dict[str, Any]:
        """The result for machines."""
        faulty = {problem.row for problem in self.problems}
        return {
            "file": self.file,
            "sha256": self.sha256,
            "portfolio": self.portfolio,
            "dry_run": self.dry_run,
            "planned": dict(self.planned),
            "rows": {
                "read": self.rows,
                "taken": len(self.taken),
                "already_there": len(self.sent - self.taken - faulty),
                "silent": None if self.stopped or self.dry_run else self.rows - len(self.sent | faulty),
                "with_problems": len(faulty - {THE_MAPPING}),
            },
            "events": self.events,
            "problems": [problem.as_json() for problem in self.problems],
            "stopped": self.stopped,
        }


def rehearse(plan: Plan, table: Table) -> Result:
    """What a run would send, and what it would report without asking any service."""
    requests = [request for project in plan.projects for request in project.requests]
    return Result(
        file=table.name,
        sha256=table.sha256,
        portfolio=plan.portfolio.name,
        dry_run=True,
        rows=len(table.rows) + len(table.problems),
        planned={
            "programmes": len(plan.programmes),
            "bodies": len(plan.bodies),
            "value_bands": len(plan.bands),
            "projects": sum(project.registration is not None for project in plan.projects),
            **{
                kind: sum(request.path.endswith(f"/{kind}") for request in requests)
                for kind in ("observations", "milestones", "decisions")
            },
        },
        problems=list(plan.problems),
    )


def size(plan: Plan) -> int:
    """How many requests a run sends."""
    projects = sum(len(project.requests) + (project.registration is not None) for project in plan.projects)
    return 1 + len(plan.programmes) + len(plan.bodies) + bool(plan.bands) + projects


async def run(
    client: Client,
    plan: Plan,
    table: Table,
    *,
    started: datetime,
    advance: Callable[[int], None] = lambda _: None,
) -> Result:
    """Send a plan's requests; `advance` is told how many are done.

    What the file gives no time for is known since `started`, a moment with time zone. A second run sends the same
    commands under the same keys, so it takes nothing twice.
    """
    running = _Run(client, plan, replace(rehearse(plan, table), dry_run=False), started, advance)
    try:
        await running.everything()
    except (Unavailable, _Stop) as error:
        running.result.stop(error)
    except ExceptionGroup as group:
        running.result.stop(_first(group))
    running.result.problems.sort(key=lambda problem: problem.row)
    return running.result


class _Stop(Exception):
    """Without this, nothing further can be sent."""


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


class _Run:
    """One run: the ids that were found so far, and what came of what was sent."""

    def __init__(
        self, client: Client, plan: Plan, result: Result, started: datetime, advance: Callable[[int], None]
    ) -> None:
        self.client = client
        self.plan = plan
        self.result = result
        self.started = started
        self.advance = advance
        self.ids: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        self.afresh = uuid4().hex

    async def everything(self) -> None:
        """Send all of it: the portfolio and what its projects stand on first, then the projects side by side."""
        await self._prepare()
        waiting = list(reversed(self.plan.projects))

        async def work() -> None:
            while waiting:
                await self._project(waiting.pop())

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(waiting))):
                group.create_task(work())

    async def _prepare(self) -> None:
        portfolio = self.plan.portfolio
        times = [
            request.time
            for project in self.plan.projects
            for request in (project.registration, *project.requests)
            if request is not None and request.time is not None
        ]
        # A portfolio is known since its oldest project is: else nobody could ask what it held in those days.
        earliest = min(times, default=None)
        async for item in self.client.items("projects", "/portfolios"):
            if item["name"] == portfolio.name:
                self.ids["portfolio"] = str(item["portfolio"])
        if "portfolio" not in self.ids:
            named = {"name": portfolio.name, "currency": portfolio.currency, "time_zone": portfolio.time_zone}
            await self._part("portfolio", Request("projects", "/portfolios", named, THE_MAPPING, earliest))
        self.advance(1)
        for name in self.plan.programmes:
            below: dict[str, Any] = {"portfolio": IdOf("portfolio"), "parent": IdOf("portfolio"), "name": name}
            await self._part(f"programme:{name}", Request("projects", "/programmes", below, THE_MAPPING, earliest))
            self.advance(1)
        for name in self.plan.bodies:
            body: dict[str, Any] = {"portfolio": IdOf("portfolio"), "name": name}
            await self._part(f"body:{name}", Request("approvals", "/bodies", body, THE_MAPPING))
            self.advance(1)
        if self.plan.bands:
            table = {"portfolio": IdOf("portfolio"), "bands": self.plan.bands, "source": None}
            await self._part("bands", Request("approvals", "/value-bands", table, THE_MAPPING))
            self.advance(1)
        if any(project.registration is None for project in self.plan.projects):
            async for item in self.client.items("projects", "/projects", {"portfolio": self.ids["portfolio"]}):
                self.ids[f"project:{item['reference']}"] = str(item["project"])

    async def _part(self, name: str, request: Request) -> None:
        """Send what projects stand on, and keep its id. Raises _Stop where it is refused."""
        try:
            portfolio = self.ids.get("portfolio")
            answer = await self._send(request, {}, seen=[f"{portfolio}@1"] if portfolio else [])
        except Refused as refused:
            self._report(request, refused)
            raise _Stop(f"{name.replace(':', ' ')}: {refused}") from None
        self.ids[name] = str(answer.stream)
        self.seen[str(answer.stream)] = answer.seen

    async def _project(self, project: ProjectPlan) -> None:
        requests = list(project.requests)
        seen: tuple[str, ...] = ()
        own = {}
        if project.registration is not None:
            try:
                parent = self._resolved(project.registration, {}).body["parent"]
                answer = await self._send(
                    project.registration, {}, seen=[self.seen[parent]] if parent in self.seen else []
                )
            except Refused as refused:
                self._report(project.registration, refused, unsent=len(requests))
                self.advance(1 + len(requests))
                return
            self.advance(1)
            own["project"] = str(answer.stream)
            seen = (answer.seen,)
        elif f"project:{project.reference}" in self.ids:
            own["project"] = self.ids[f"project:{project.reference}"]
        elif requests:
            self.result.problems.append(
                Problem(
                    requests[0].row,
                    "",
                    project.reference,
                    "the portfolio has no project with this reference",
                    "bring the projects in first",
                )
            )
            self.advance(len(requests))
            return
        for request in requests:
            try:
                await self._send(request, own, seen=seen)
                seen = ()
            except Refused as refused:
                self._report(request, refused)
            self.advance(1)

    async def _send(self, request: Request, own: Mapping[str, str], *, seen: Sequence[str] = ()) -> Answer:
        """Send one request until it is answered. Raises Refused, Unavailable, and _Stop where nobody is signed in."""
        resolved = self._resolved(request, own)
        clock = asyncio.get_running_loop().time
        until, key = clock() + ARRIVAL_S, resolved.key
        answer = None
        while answer is None:
            try:
                answer = await self.client.command(
                    resolved.service,
                    resolved.path,
                    resolved.body,
                    key=key,
                    # Without a time of its own it would count as said live, by someone who only brought a file in.
                    time=resolved.time or self.started,
                    seen=seen,
                )
            except Refused as refused:
                if refused.problem.status == 401:
                    raise _Stop(str(refused)) from None
                if refused.problem.not_found and clock() < until:
                    await asyncio.sleep(ARRIVAL_POLL_S)
                elif refused.repeated and key == resolved.key:
                    # That was the answer to an earlier run; what was in its way may have been put right.
                    key = f"{resolved.key}-{self.afresh}"
                else:
                    raise
        if request.row != THE_MAPPING:
            self.result.sent.add(request.row)
        if answer.events and not answer.repeated:
            self.result.events += len(answer.events)
            if request.row != THE_MAPPING:
                self.result.taken.add(request.row)
        return answer

    def _resolved(self, request: Request, own: Mapping[str, str]) -> Request:
        """The request with ids for names: the key is made of that, for another portfolio makes it another command."""
        ids = {**self.ids, **own}

        def resolve(value: Any) -> Any:
            match value:
                case IdOf(name=name):
                    return ids[name]
                case dict():
                    return {name: resolve(each) for name, each in value.items()}
                case list() | tuple():
                    return [resolve(each) for each in value]
                case _:
                    return value

        path = request.path.replace("{project}", ids.get("project", ""))
        return replace(request, path=path, body=resolve(request.body))

    def _report(self, request: Request, refused: Refused, *, unsent: int = 0) -> None:
        problem = refused.problem
        more = f"; {unsent} more facts of this project were not sent" if unsent else ""
        if problem.faults:
            for fault in problem.faults:
                self.result.problems.append(
                    Problem(request.row, fault.field, fault.value or "", fault.detail + more, fault.remedy)
                )
            return
        facts = ", ".join(f"{name}: {value}" for name, value in problem.facts.items())
        self.result.problems.append(
            Problem(
                request.row,
                "",
                str(request.body.get("reference") or request.body.get("gate") or request.body.get("milestone") or ""),
                f"{refused.service} refused it ({problem.slug}): {problem.detail}{more}",
                f"correct {facts}" if facts else "correct the row, or the mapping",
            )
        )
