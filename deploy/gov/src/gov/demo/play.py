"""Plays the story in. Every request has a key of its own, so that playing it again changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from gov.client import Addresses, Answer, Client
from gov.demo import story
from gov.demo.story import Complete, Gate, Project, Report, Resume, Risk, Start, moment
from gov.issuer.people import accounts
from gov.runtime.system import ISSUER

PATIENCE_S: Final = 60.0
REACTION_TIMEOUT_S: Final = 30.0
FIGURES_PAUSE_S: Final = 0.5
"""What is measured for a report comes within one batch; after so long there is no more."""
LEAD: Final = "ana"
CLERK_DAY: Final = -30.0
"""The registers are set up a month before the story begins."""


@dataclass(frozen=True, slots=True)
class Played:
    """What was played in: the portfolio, the projects by reference, and the review that waits for votes."""

    portfolio: UUID
    projects: Mapping[str, UUID]
    waiting: UUID
    commands: int


class ReactionMissing(Exception):
    """A service did not react to an event in time."""


def subject(username: str) -> str:
    """The id that the demo issuer's account has in every service."""
    return str(uuid5(NAMESPACE_URL, f"{ISSUER}|{accounts()[username].sub}"))


def person(username: str) -> str:
    """The id of the natural person behind a demo account; a second account has the first one's."""
    return str(uuid5(NAMESPACE_URL, f"{ISSUER}|person|{username.partition('.')[0]}"))


class _Stage:
    """The people of the demonstration, each signed in, and how many commands they have sent."""

    def __init__(self, clients: Mapping[str, Client], on_command: Callable[[], None]) -> None:
        self.clients = clients
        self.commands = 0
        self.on_command = on_command
        # What every service must have seen before a person is allowed anything there: that person's role.
        self.roles: dict[str, str] = {}

    async def say(
        self,
        who: str,
        service: str,
        path: str,
        body: Mapping[str, Any],
        day: float,
        *,
        if_match: int | None = None,
        seen: tuple[str, ...] = (),
    ) -> Answer:
        """Send a command as a person on a day of the story. The same words are the same command."""
        key = sha256(repr((who, service, path, sorted(body.items(), key=str), day, if_match)).encode()).hexdigest()
        answer = await self.clients[who].command(
            service,
            path,
            body,
            key=f"demo-{key[:40]}",
            demo_time=moment(day),
            if_match=if_match,
            seen=(*([self.roles[who]] if who in self.roles else []), *seen),
        )
        self.commands += 1
        self.on_command()
        return answer

    async def reacted(self, project: UUID, version: int) -> int:
        """Wait until somebody else has moved a project's stream beyond a version; the version it has then."""
        shown = version

        async def moved() -> bool:
            nonlocal shown
            shown = await self.clients[LEAD].version_of("projects", f"/projects/{project}")
            return shown > version

        await _until(moved, f"project {project} stayed at version {version}")
        return shown

    async def settled(self, report: UUID) -> None:
        """Wait until a report that nobody has signed has got its figures, all that there are."""
        before = -1

        async def settled() -> bool:
            nonlocal before
            shown = await self.clients[LEAD].query("reporting", f"/status-reports/{report}")
            after = len(shown["figures"])
            if shown["state"] != "drafted" or 0 < after == before:
                return True
            before = after
            await asyncio.sleep(FIGURES_PAUSE_S)
            return False

        await _until(settled, f"no figures were measured for the report {report}")


async def _until(true: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    deadline = asyncio.get_running_loop().time() + REACTION_TIMEOUT_S
    pause_s = 0.02
    while not await true():
        if asyncio.get_running_loop().time() > deadline:
            raise ReactionMissing(f"{otherwise}: see `gov status` and `gov parked list`")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.5)


async def play(addresses: Addresses, *, on_command: Callable[[], None] = lambda: None) -> Played:
    """Play the whole story in, or whatever of it is not there yet. Raises what `Client` raises, and ReactionMissing."""
    async with AsyncExitStack() as open_clients:
        clients = {
            name: await open_clients.enter_async_context(Client(addresses, username=name, patience_s=PATIENCE_S))
            for name in accounts()
        }
        stage = _Stage(clients, on_command)
        portfolio = await _set_up(stage)
        top = str(portfolio)
        programmes = {
            name: await stage.say(
                LEAD, "projects", "/programmes", {"portfolio": top, "parent": top, "name": name}, CLERK_DAY
            )
            for name in story.PROGRAMMES
        }
        lives = [_live(stage, portfolio, programmes[project.programme].stream, project) for project in story.PROJECTS]
        ended = await asyncio.gather(*lives)
        projects = {project.reference: life[0] for project, life in zip(story.PROJECTS, ended, strict=True)}
        waiting = next(
            review
            for project, (_, reviews) in zip(story.PROJECTS, ended, strict=True)
            for gate, review in reviews
            if (project.reference, gate) == story.WAITING
        )
        return Played(portfolio, projects, waiting, stage.commands)


async def _set_up(stage: _Stage) -> UUID:
    """The portfolio, the directory, roles, bodies, bands, policies and the risk matrix."""
    registered = await stage.say(
        LEAD,
        "projects",
        "/portfolios",
        {"name": story.PORTFOLIO, "currency": story.CURRENCY, "time_zone": story.TIME_ZONE},
        CLERK_DAY,
    )
    portfolio = registered.stream
    await asyncio.gather(*(_enter(stage, name) for name in accounts()))
    first_day = moment(CLERK_DAY).date().isoformat()

    async def assign(name: str, role: str) -> None:
        body = {"holder": subject(name), "role": role, "node": str(portfolio), "first_day": first_day, "last_day": None}
        assigned = await stage.say(LEAD, "approvals", "/role-assignments", body, CLERK_DAY, seen=(registered.seen,))
        stage.roles[name] = assigned.seen

    async def form(name: str) -> str:
        body = {"portfolio": str(portfolio), "name": name}
        formed = await stage.say(LEAD, "approvals", "/bodies", body, CLERK_DAY, seen=(registered.seen,))
        for voter in story.VOTERS:
            seat = {
                "member": subject(voter),
                "chair": voter == story.VOTERS[0],
                "first_day": first_day,
                "last_day": None,
            }
            await stage.say(LEAD, "approvals", f"/bodies/{formed.stream}/members", seat, CLERK_DAY)
        return str(formed.stream)

    async def publish(gate: str) -> None:
        body: dict[str, Any] = {
            "portfolio": str(portfolio),
            "kind": "gate",
            "gate": gate,
            "electorate": {"roles": [], "people": [], "body": None, "by_value_band": True},
            "quorum": {"minimum": 2, "share": "0.5"},
            "rule": "majority",
            "threshold": None,
            "veto": [],
            "sponsor_may_vote": False,
            "time_limit": None,
            "failed_outcome": "recycle",
        }
        await stage.say(LEAD, "approvals", "/gate-policies", body, CLERK_DAY, seen=(registered.seen,))

    await asyncio.gather(
        *(assign(name, role) for name, role in story.ROLES),
        *(publish(gate) for gate in story.GATES),
        stage.say(LEAD, "risks", "/matrices", {"portfolio": str(portfolio)}, CLERK_DAY, seen=(registered.seen,)),
    )
    board, committee = await asyncio.gather(form(story.BOARD), form(story.COMMITTEE))
    board_limit = {"amount": story.BOARD_DECIDES_BELOW, "currency": story.CURRENCY}
    bands = [
        {"body": board, "upper": board_limit, "inclusive": False},
        {"body": committee, "upper": None, "inclusive": False},
    ]
    table = {"portfolio": str(portfolio), "bands": bands, "source": None}
    await stage.say(LEAD, "approvals", "/value-bands", table, CLERK_DAY)
    return portfolio


async def _enter(stage: _Stage, name: str) -> None:
    entry = {
        "subject": subject(name),
        "person": person(name),
        "name": accounts()[name].name,
        "email": f"{name}@example.org",
    }
    await stage.clients[LEAD].post("approvals", "/directory", entry, key=f"demo-directory-{name}")


async def _live(
    stage: _Stage, portfolio: UUID, programme: UUID, project: Project
) -> tuple[UUID, list[tuple[str, UUID]]]:
    """One project's life; its id, and its reviews by gate."""
    registered = await stage.say(
        LEAD,
        "projects",
        "/projects",
        {
            "portfolio": str(portfolio),
            "parent": str(programme),
            "reference": project.reference,
            "name": project.name,
            "charter": {
                "purpose": project.purpose,
                "sponsor": subject("sol"),
                "manager": subject(project.manager),
                "value": {"amount": project.value, "currency": story.CURRENCY},
            },
            "methodology": {"name": project.methodology, "version": 1},
            "attributes": [{"name": "Programme", "value": project.programme}],
            "source": None,
        },
        project.registered,
    )
    own = registered.stream
    version = registered.version
    known = (registered.seen,)
    reviews: list[tuple[str, UUID]] = []
    for act in project.acts:
        match act:
            case Start(day=day, phase=phase):
                said = await stage.say(
                    project.manager, "projects", f"/projects/{own}/phase-starts", {"phase": phase}, day, seen=known
                )
                version = said.version
            case Complete(day=day, phase=phase):
                said = await stage.say(
                    project.manager, "projects", f"/projects/{own}/phase-completions", {"phase": phase}, day, seen=known
                )
                version = said.version
            case Resume(day=day, reason=reason):
                said = await stage.say("sol", "projects", f"/projects/{own}/resumptions", {"reason": reason}, day)
                version = said.version
            case Gate():
                review, concluded = await _review(stage, project, own, act, known)
                reviews.append((act.gate, review))
                if concluded:
                    version = await stage.reacted(own, version)
            case Risk():
                await _risk(stage, project, own, act, known)
            case Report():
                await _report(stage, project, own, act, known)
    return own, reviews


async def _review(stage: _Stage, project: Project, own: UUID, act: Gate, known: tuple[str, ...]) -> tuple[UUID, bool]:
    drafted = await stage.say(
        project.manager,
        "approvals",
        "/reviews",
        {
            "project": str(own),
            "kind": "gate",
            "gate": act.gate,
            "question": act.question,
            "evidence": [_document(project, act, "business case")],
        },
        act.day,
        seen=known,
    )
    review = drafted.stream
    answer = await stage.say(
        project.manager,
        "approvals",
        f"/reviews/{review}/submissions",
        {"proposed": act.proposed},
        act.day + 0.2,
        if_match=drafted.version,
    )
    concluded = False
    for vote in act.votes:
        day = act.day + 0.2 + vote.after_days
        conditions = []
        if vote.condition is not None:
            due: date = moment(day + vote.condition_due_in_days).date()
            conditions = [{"text": vote.condition, "owner": subject(project.manager), "due": due.isoformat()}]
        answer = await stage.say(
            vote.voter,
            "approvals",
            f"/reviews/{review}/votes",
            {"choice": vote.choice, "reason": vote.reason, "conditions": conditions},
            day,
            if_match=answer.version,
        )
        concluded = concluded or "approvals.ReviewConcluded" in answer.events
    if act.condition_closed_on is not None:
        await stage.say(
            project.manager,
            "approvals",
            f"/reviews/{review}/condition-closures",
            {
                "condition": 1,
                "evidence": [_document(project, act, "second ground survey")],
                "remark": "The survey is on file.",
            },
            act.condition_closed_on,
        )
    return review, concluded


def _document(project: Project, act: Gate, what: str) -> dict[str, str]:
    title = f"{project.reference} {act.gate} {what}"
    return {
        "title": title,
        "uri": f"https://documents.example.org/{project.reference}/{act.gate}/{what.replace(' ', '-')}",
        "sha256": sha256(f"{title}, day {act.day}".encode()).hexdigest(),
    }


async def _risk(stage: _Stage, project: Project, own: UUID, act: Risk, known: tuple[str, ...]) -> None:
    owner = subject(project.manager)
    raised = await stage.say(
        project.manager,
        "risks",
        "/risks",
        {
            "project": str(own),
            "kind": act.kind,
            "title": act.title,
            "cause": act.cause,
            "event": act.event,
            "effect": act.effect,
            "category": act.category,
            "owner": owner,
            "proximity": None,
        },
        act.day,
        seen=known,
    )
    risk = raised.stream
    levels = {"cost": act.cost_level, "time": act.time_level}
    await stage.say(
        project.manager,
        "risks",
        f"/risks/{risk}/assessments",
        {
            "basis": "current",
            "probability": act.probability,
            "impacts": [{"dimension": dimension, "level": level} for dimension, level in levels.items()],
            "money_at_stake": {"amount": act.money, "currency": story.CURRENCY},
            "reason": "Assessed in the project's risk workshop.",
        },
        act.day + 1,
    )
    await stage.say(
        project.manager,
        "risks",
        f"/risks/{risk}/responses",
        {
            "strategy": act.response,
            "action": "See the risk plan.",
            "owner": owner,
            "due": moment(act.day + 60).date().isoformat(),
            "cost": None,
        },
        act.day + 2,
    )
    if act.occurs_on is not None:
        await stage.say(
            project.manager,
            "risks",
            f"/risks/{risk}/occurrences",
            {"title": act.title, "description": act.effect, "severity": "high", "owner": owner},
            act.occurs_on,
        )


async def _report(stage: _Stage, project: Project, own: UUID, act: Report, known: tuple[str, ...]) -> None:
    end = moment(act.day).date().replace(day=1)
    start = _month_before(end)
    ratings = {"overall": act.overall, "schedule": act.schedule, "cost": act.cost}
    drafted = await stage.say(
        project.manager,
        "reporting",
        "/status-reports",
        {
            "project": str(own),
            "period_start": start.isoformat(),
            "period_end": (end - timedelta(days=1)).isoformat(),
            "scale": "three_point",
            "confidences": [
                {"dimension": dimension, "rating": rating, "reason": act.narrative}
                for dimension, rating in ratings.items()
            ],
            "narrative": act.narrative,
            "decisions_wanted": [],
        },
        act.day,
        seen=known,
    )
    await stage.settled(drafted.stream)
    for state, signatory, signer, day in (
        ("drafted", "manager", project.manager, act.day + 0.5),
        ("signed_by_manager", "sponsor", "sol", act.day + 1),
    ):
        path = f"/status-reports/{drafted.stream}"
        shown = await stage.clients[signer].query("reporting", path)
        if shown["state"] == state:
            seen = await stage.clients[signer].version_of("reporting", path)
            signature = {"edition": shown["edition"], "signatory": signatory, "remark": ""}
            await stage.say(signer, "reporting", f"{path}/sign-offs", signature, day, if_match=seen)


def _month_before(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)
