"""Plays the story in. Every request has a key of its own, so that playing it again changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from math import inf
from typing import Any, Final, assert_never
from uuid import NAMESPACE_URL, UUID, uuid5

from gov.client import Addresses, Answer, Client
from gov.demo import story
from gov.demo.story import (
    Act,
    Ask,
    Breach,
    Complete,
    Delegate,
    Gate,
    Meet,
    Project,
    Recuse,
    Replace,
    Report,
    Resume,
    Risk,
    Start,
    Vote,
    moment,
)
from gov.issuer.people import accounts
from gov.runtime.system import ISSUER

PATIENCE_S: Final = 60.0
REACTION_TIMEOUT_S: Final = 30.0
FIGURES_PAUSE_S: Final = 0.5
"""What is measured for a report comes within one batch; after so long there is no more."""
LEAD: Final = "ana"
MEETING: Final = "meeting"
"""Under which name the gate meeting takes its turns among the projects."""
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


class Turns:
    """Who of the projects asks approvals next: the one whose day comes first.

    Deadlines of the demo clock fire when anybody says that it is so late: a project that ran ahead would let the
    conditions of another lapse before that one can meet them.
    """

    def __init__(self, first: Mapping[str, float]) -> None:
        self._next = dict(first)
        self._moved = asyncio.Condition()

    async def take(self, project: str, day: float) -> None:
        """Wait until no other project has anything to ask on an earlier day."""
        async with self._moved:
            self._next[project] = day
            self._moved.notify_all()
            await self._moved.wait_for(lambda: min((day, name) for name, day in self._next.items()) == (day, project))

    async def pass_on(self, project: str, day: float) -> None:
        """Ask nothing more before that day."""
        async with self._moved:
            self._next[project] = day
            self._moved.notify_all()


class _Stage:
    """The people of the demonstration, each signed in, and how many commands they have sent."""

    def __init__(self, clients: Mapping[str, Client], on_command: Callable[[], None]) -> None:
        self.clients = clients
        self.commands = 0
        self.on_command = on_command
        first = {project.reference: _next_day(project.acts) for project in story.PROJECTS}
        self.turns = Turns({**first, MEETING: story.MEETING.scheduled})
        # The newest review of each project and gate.
        self.reviews: dict[tuple[str, str], UUID] = {}
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

    async def shows(self, service: str, path: str, what: Callable[[Any], bool]) -> Any:
        """Wait until a service shows something under a path; what it shows then."""
        shown: Any = None

        async def come() -> bool:
            nonlocal shown
            shown = await self.clients[LEAD].query(service, path)
            return what(shown)

        await _until(come, f"{service} never came to show what was expected under {path}")
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
        ended, _ = await asyncio.gather(asyncio.gather(*lives), _meet(stage, portfolio))
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
        for alternate, member in story.ALTERNATES:
            seat = {
                "member": subject(alternate),
                "chair": False,
                "alternate_for": subject(member),
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
            **(_asked_of_plans() if gate == story.GATES[1] else {}),
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


def _asked_of_plans() -> dict[str, Any]:
    return {
        "deliverables": [
            {"code": kind, "name": name, "evidence_kind": kind, "from_value": None} for kind, name in story.DELIVERABLES
        ],
        "criteria": [
            {
                "code": code,
                "text": text,
                "need": need,
                "evidence_kinds": [kind],
                "kpi": None,
                "from_value": None if value is None else {"amount": value, "currency": story.CURRENCY},
            }
            for code, text, need, kind, value in story.CRITERIA
        ],
    }


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
    life = _Life(stage, portfolio, project, registered.stream, (registered.seen,), registered.version)
    for number, act in enumerate(project.acts):
        await life.play(act)
        await stage.turns.pass_on(project.reference, _next_day(project.acts[number + 1 :]))
    return life.own, life.reviews


def _next_day(acts: Sequence[Act]) -> float:
    """The first day on which one of these acts asks something of approvals; never is infinitely late."""
    return min((act.day for act in acts if isinstance(act, Gate | Meet | Delegate)), default=inf)


@dataclass(slots=True)
class _Life:
    """A project as it is played: what services must have seen of it, and its reviews by gate."""

    stage: _Stage
    portfolio: UUID
    project: Project
    own: UUID
    known: tuple[str, ...]
    version: int
    reviews: list[tuple[str, UUID]] = field(default_factory=list)
    delegations: dict[str, UUID] = field(default_factory=dict)

    async def play(self, act: Act) -> None:
        """Let an act happen, and wait for what follows from it."""
        manager = self.project.manager
        match act:
            case Start(day=day, phase=phase):
                await self._run("phase-starts", {"phase": phase}, manager, day)
            case Complete(day=day, phase=phase):
                await self._run("phase-completions", {"phase": phase}, manager, day)
            case Resume(day=day, reason=reason):
                await self._run("resumptions", {"reason": reason}, "sol", day)
            case Breach():
                await self._breach(act)
            case Gate():
                await self._gate(act)
            case Meet():
                await self._meet(act)
            case Delegate():
                await self._delegate(act)
            case Risk():
                await _risk(self.stage, self.project, self.own, act, self.known)
            case Report():
                await _report(self.stage, self.project, self.own, act, self.known)
            case _:
                assert_never(act)

    async def _run(self, what: str, body: Mapping[str, Any], who: str, day: float) -> None:
        said = await self.stage.say(who, "projects", f"/projects/{self.own}/{what}", body, day, seen=self.known)
        self.version = said.version

    async def _ask(
        self, who: str, path: str, body: Mapping[str, Any], day: float, *, if_match: int | None = None
    ) -> Answer:
        """Send a command to approvals when it is this project's turn."""
        await self.stage.turns.take(self.project.reference, day)
        return await self.stage.say(who, "approvals", path, body, day, if_match=if_match, seen=self.known)

    async def _gate(self, act: Gate) -> None:
        evidence = [_document(self.project, act, kind) for kind in act.evidence]
        drafted = {
            "project": str(self.own),
            "kind": "gate",
            "gate": act.gate,
            "question": act.question,
            "evidence": evidence,
        }
        manager = self.project.manager
        answer = await self._ask(manager, "/reviews", drafted, act.day)
        review = self.stage.reviews[self.project.reference, act.gate] = answer.stream
        day = act.day + 0.2
        submission = {"proposed": act.proposed}
        answer = await self._ask(manager, f"/reviews/{review}/submissions", submission, day, if_match=answer.version)
        questions = 0
        events: list[str] = []
        for step in act.steps:
            at = day + step.after_days
            match step:
                case Vote():
                    answer = await self._vote(review, step, at, answer.version)
                case Recuse(voter=voter, reason=reason):
                    recusal = {"reason": reason}
                    answer = await self._ask(voter, f"/reviews/{review}/recusals", recusal, at, if_match=answer.version)
                case Ask(voter=voter, question=question, answer=words):
                    questions += 1
                    asked = {"text": question}
                    answered = {"question": questions, "text": words}
                    await self._ask(voter, f"/reviews/{review}/questions", asked, at)
                    answer = await self._ask(manager, f"/reviews/{review}/answers", answered, at + 0.5)
                case Replace(kind=kind, remark=remark):
                    changed = [
                        _document(self.project, act, each, edition=2 if each == kind else 1) for each in act.evidence
                    ]
                    replacing = {"evidence": changed, "remark": remark}
                    answer = await self._ask(
                        manager, f"/reviews/{review}/evidence", replacing, at, if_match=answer.version
                    )
                case _:
                    assert_never(step)
            events.extend(answer.events)
        self.reviews.append((act.gate, review))
        if "approvals.ReviewConcluded" in events:
            self.version = await self.stage.reacted(self.own, self.version)

    async def _vote(self, review: UUID, vote: Vote, day: float, version: int) -> Answer:
        conditions = []
        if vote.condition is not None:
            due: date = moment(day + vote.condition_due_in_days).date()
            owner = subject(self.project.manager)
            conditions = [{"text": vote.condition, "owner": owner, "due": due.isoformat(), "on_lapse": vote.on_lapse}]
        body = {"choice": vote.choice, "reason": vote.reason, "conditions": conditions}
        if vote.acting_for is not None:
            body["delegation"] = str(self.delegations[vote.acting_for])
        return await self._ask(vote.voter, f"/reviews/{review}/votes", body, day, if_match=version)

    async def _meet(self, act: Meet) -> None:
        gate, review = self.reviews[-1]
        shown_by = _document(self.project, Gate(act.day, gate, "", ()), act.kind)
        body = {"condition": 1, "evidence": [shown_by], "remark": act.remark}
        await self._ask(self.project.manager, f"/reviews/{review}/condition-closures", body, act.day)
        # A condition that lapsed before has held the project by then: projects hears of both in their order.
        await self.stage.shows(
            "projects",
            f"/projects/{self.own}",
            lambda shown: all(each["review"] != str(review) for each in shown["open_conditions"]),
        )
        self.version = await self.stage.clients[LEAD].version_of("projects", f"/projects/{self.own}")

    async def _delegate(self, act: Delegate) -> None:
        first = moment(act.day).date()
        body = {
            "delegate": subject(act.delegate),
            "node": str(self.own),
            "kinds": ["gate"],
            "limit": None,
            "first_day": first.isoformat(),
            "last_day": (first + timedelta(days=act.days)).isoformat(),
            "reason": act.reason,
        }
        granted = await self._ask(act.delegator, "/delegations", body, act.day)
        self.delegations[act.delegator] = granted.stream

    async def _breach(self, act: Breach) -> None:
        began = moment(act.day - 1).date()
        body = {"phase": act.phase, "began_on": began.isoformat(), "remark": act.remark}
        await self._run("work-reports", body, "sol", act.day)
        # Whoever reviews the gate has to know of it before the review is submitted.
        await self.stage.shows("approvals", f"/project-reviews/{self.own}", lambda shown: bool(shown["breaches"]))


async def _meet(stage: _Stage, portfolio: UUID) -> None:
    """The gate meeting: invited to, prepared, held, minuted and closed."""
    told = story.MEETING

    async def ask(who: str, path: str, body: Mapping[str, Any], day: float, *, if_match: int | None = None) -> Answer:
        await stage.turns.take(MEETING, day)
        return await stage.say(who, "approvals", path, body, day, if_match=if_match)

    begins = moment(told.begins)
    invitation = {
        "portfolio": str(portfolio),
        "title": told.title,
        "starts_at": begins.isoformat(),
        "ends_at": (begins + timedelta(hours=2)).isoformat(),
        "place": told.place,
        "chair": subject(told.chair),
        "invitees": [subject(name) for name, _ in told.attendance if name != told.chair],
    }
    scheduled = await ask(LEAD, "/meetings", invitation, told.scheduled)
    meeting = f"/meetings/{scheduled.stream}"
    # By then each project has drafted its own.
    await stage.turns.take(MEETING, told.agenda)
    reviews = [str(stage.reviews[item.project, item.gate]) for item in told.items]
    agenda = [{"review": review, "minutes": item.minutes} for review, item in zip(reviews, told.items, strict=True)]
    await ask(LEAD, f"{meeting}/agendas", {"items": agenda}, told.agenda, if_match=scheduled.version)
    await ask(told.chair, f"{meeting}/openings", {}, told.begins)
    for name, attendance in told.attendance:
        await ask(
            LEAD, f"{meeting}/attendances", {"attendee": subject(name), "attendance": attendance}, told.begins + 0.01
        )
    answer = scheduled
    for review, item in zip(reviews, told.items, strict=True):
        disposed = {"review": review, "disposition": item.disposition, "remark": item.remark}
        await ask(LEAD, f"{meeting}/dispositions", disposed, told.begins + 0.07)
        answer = await ask(LEAD, f"{meeting}/minutes", {"review": review, "text": item.remark}, told.begins + 0.07)
    await ask(told.chair, f"{meeting}/closures", {}, told.begins + 0.08, if_match=answer.version)
    await stage.turns.pass_on(MEETING, inf)


def _document(project: Project, act: Gate, kind: str, *, edition: int = 1) -> dict[str, str]:
    title = f"{project.reference} {act.gate} {kind.replace('-', ' ')}"
    return {
        "title": title,
        "uri": f"https://documents.example.org/{project.reference}/{act.gate}/{kind}",
        "sha256": sha256(f"{title}, day {act.day}, edition {edition}".encode()).hexdigest(),
        "kind": kind,
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
