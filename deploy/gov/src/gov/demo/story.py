"""What happens in the demonstration: people, bodies, policies, and each project's life, in days since it begins."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

BEGINS: Final = datetime(2025, 5, 5, 0, 0, tzinfo=UTC)
PORTFOLIO: Final = "Harbour City Renewal"
CURRENCY: Final = "AUD"
TIME_ZONE: Final = "Australia/Sydney"
PROGRAMMES: Final = ("Waterfront", "Digital City")
BOARD: Final = "Project Board"
COMMITTEE: Final = "Investment Committee"
BOARD_DECIDES_BELOW: Final = "5000000"
ROLES: Final = (
    ("max", "project_manager"),
    ("mia", "project_manager"),
    ("sol", "sponsor"),
    ("bo", "approver"),
    ("cy", "approver"),
    ("dee", "approver"),
    ("kit", "approver"),
    ("ray", "approver"),
    ("vic", "viewer"),
)
GATES: Final = ("G1", "G2", "G3", "G4")
VOTERS: Final = ("bo", "cy", "dee")
ALTERNATES: Final = (("kit", "dee"),)
"""Who takes whose seat on the bodies when its holder does not."""
DELIVERABLES: Final = (("plan", "Project plan"), ("estimate", "Cost estimate"))
"""What the policy of the second gates asks for: the kind of evidence, and its name."""
CRITERIA: Final = (
    ("risks-reviewed", "The risk register was reviewed in the last month.", "must", "risk-register", None),
    ("benefits-owned", "Each benefit has an owner who has agreed to it.", "should", "benefit-profile", "5000000"),
)
"""What the policy of the second gates asks whether it is met: code, text, need, kind of evidence, from which value."""


def moment(day: float) -> datetime:
    """The demo clock at a day of the story; a fraction is a part of that day."""
    return BEGINS + timedelta(days=day)


@dataclass(frozen=True, slots=True)
class Start:
    """Work in a phase begins."""

    day: float
    phase: str


@dataclass(frozen=True, slots=True)
class Complete:
    """Work in a phase is finished."""

    day: float
    phase: str


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote, so many days after the submission; `acting_for` is who has delegated to the voter.

    An alternate simply votes. A condition that isn't met in time is followed by `on_lapse`.
    """

    voter: str
    choice: str
    reason: str
    after_days: float = 1.0
    condition: str | None = None
    condition_due_in_days: int = 30
    on_lapse: str = "reminder"
    acting_for: str | None = None


@dataclass(frozen=True, slots=True)
class Recuse:
    """Somebody keeps out of a review, so many days after the submission."""

    voter: str
    reason: str
    after_days: float


@dataclass(frozen=True, slots=True)
class Ask:
    """A voter asks the submitter, so many days after the submission, who answers half a day later."""

    voter: str
    question: str
    answer: str
    after_days: float


@dataclass(frozen=True, slots=True)
class Replace:
    """The submitter replaces a piece of evidence, so many days after the submission; everyone is asked again."""

    kind: str
    remark: str
    after_days: float


Step = Vote | Recuse | Ask | Replace


@dataclass(frozen=True, slots=True)
class Gate:
    """A review of a gate: submitted on a day, then what follows until it is decided, if it is.

    `evidence` names the kinds of documents that support it.
    """

    day: float
    gate: str
    question: str
    steps: tuple[Step, ...]
    proposed: str = "go"
    evidence: tuple[str, ...] = ("business-case",)


@dataclass(frozen=True, slots=True)
class Meet:
    """The first condition of the last review is met, as a document of this kind shows."""

    day: float
    kind: str
    remark: str


@dataclass(frozen=True, slots=True)
class Delegate:
    """A person lets another speak for their seats in this project's reviews, for so many days."""

    day: float
    delegator: str
    delegate: str
    days: int
    reason: str


@dataclass(frozen=True, slots=True)
class Breach:
    """The sponsor finds that work in a phase has begun before its gate had said so."""

    day: float
    phase: str
    remark: str


@dataclass(frozen=True, slots=True)
class Resume:
    """A project that was held goes on."""

    day: float
    reason: str


@dataclass(frozen=True, slots=True)
class Risk:
    """A risk is seen and assessed; `occurs_on` is the day it happens, None where it doesn't."""

    day: float
    title: str
    cause: str
    event: str
    effect: str
    category: str
    probability: int
    cost_level: int
    time_level: int
    money: str
    kind: str = "threat"
    response: str = "reduce"
    occurs_on: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A status report of a month, drafted on a day, signed by the manager and then by the sponsor."""

    day: float
    overall: str
    schedule: str
    cost: str
    narrative: str


Act = Start | Complete | Gate | Meet | Delegate | Breach | Resume | Risk | Report


@dataclass(frozen=True, slots=True)
class Project:
    """A project: how it is registered, and its acts in the order of their days."""

    reference: str
    name: str
    programme: str
    methodology: str
    manager: str
    value: str
    purpose: str
    registered: float
    acts: tuple[Act, ...]


READY_TO_PLAN: Final = ("business-case", "plan", "estimate", "risk-register", "benefit-profile")
"""The evidence that the second gates ask for."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a meeting looks at: a project's review of a gate, and what becomes of it there."""

    project: str
    gate: str
    minutes: int
    disposition: str
    remark: str


@dataclass(frozen=True, slots=True)
class Meeting:
    """A gate meeting, from its invitation on; it lasts two hours."""

    scheduled: float
    agenda: float
    begins: float
    title: str
    place: str
    chair: str
    attendance: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]


def approved(*, after: float = 1.0) -> tuple[Vote, ...]:
    """Three approvals on following days; the second already decides under a majority of three."""
    return (
        Vote("bo", "approve", "The case holds and the money is there.", after),
        Vote("cy", "approve", "Scope and plan fit each other.", after + 1),
    )


PROJECTS: Final = (
    Project(
        "HC-101",
        "Ferry wharf upgrade",
        "Waterfront",
        "waterfall",
        "max",
        "18400000",
        "Step-free access to all five berths before the summer timetable.",
        0,
        (
            Start(2, "initiation"),
            Risk(
                10,
                "Piles in worse state than surveyed",
                "The survey is from 2012",
                "More piles need replacing",
                "Cost and time rise",
                "ground",
                3,
                4,
                3,
                "1900000",
                occurs_on=260,
            ),
            Complete(40, "initiation"),
            Gate(42, "G1", "May planning of the wharf begin?", approved()),
            Start(48, "planning"),
            Complete(110, "planning"),
            Gate(
                112,
                "G2",
                "May the wharf be designed to this plan?",
                (
                    Vote(
                        "bo",
                        "approve_with_conditions",
                        "Only with a second ground survey.",
                        2,
                        "A second ground survey is on file",
                        45,
                    ),
                    Vote("cy", "approve", "The plan is sound.", 3),
                ),
                evidence=READY_TO_PLAN,
            ),
            Start(120, "design"),
            Meet(150, "ground-survey", "The survey is on file."),
            Report(200, "amber", "amber", "green", "The survey came late; design follows it."),
            Complete(215, "design"),
            Gate(
                218,
                "G3",
                "May the wharf be built?",
                (
                    Ask(
                        "cy",
                        "Who pays if the second survey is wrong as well?",
                        "The surveyor's insurance, up to the price of the piles.",
                        0.2,
                    ),
                    *approved(after=3),
                ),
            ),
            Start(225, "execution"),
            Report(300, "green", "green", "green", "Work on berths one and two is on plan."),
        ),
    ),
    Project(
        "HC-102",
        "Sea wall, northern section",
        "Waterfront",
        "waterfall",
        "mia",
        "41200000",
        "Protection against a one-in-a-hundred-years storm.",
        14,
        (
            Start(16, "initiation"),
            Complete(60, "initiation"),
            Gate(
                63,
                "G1",
                "May planning of the sea wall begin?",
                (
                    Vote("bo", "return", "The options are not compared on whole-life cost.", 2),
                    Vote("cy", "return", "Show maintenance over forty years.", 3),
                ),
            ),
            Complete(95, "initiation"),
            Gate(98, "G1", "May planning of the sea wall begin, with options compared on whole-life cost?", approved()),
            Start(103, "planning"),
            Report(180, "green", "green", "green", "All workstreams green."),
            Complete(240, "planning"),
            Gate(
                243,
                "G2",
                "May the sea wall be designed to this plan?",
                (
                    Vote("dee", "reject", "The flood model is contested by two councils.", 1),
                    Vote("bo", "approve", "Waiting costs more than a revision later.", 2),
                    Vote("cy", "reject", "Settle the model first.", 4),
                ),
                evidence=READY_TO_PLAN,
            ),
            Complete(310, "planning"),
            Gate(
                313,
                "G2",
                "May the sea wall be designed to this plan, with the flood model that both councils have signed?",
                (
                    Vote("bo", "approve", "The model is settled.", 1),
                    Replace("estimate", "The estimate has the higher crest now.", 3),
                    Vote("bo", "approve", "The model is settled, and the crest is worth its price.", 4),
                    Vote("cy", "approve", "Both councils have signed.", 5),
                ),
                evidence=READY_TO_PLAN,
            ),
            Start(322, "design"),
        ),
    ),
    Project(
        "HC-103",
        "Market hall refurbishment",
        "Waterfront",
        "hybrid",
        "mia",
        "4300000",
        "A safe hall that earns its keep.",
        30,
        (
            Start(31, "initiation"),
            Complete(55, "initiation"),
            Gate(57, "G1", "May planning of the market hall begin?", approved()),
            Start(62, "planning"),
            Complete(100, "planning"),
            Gate(102, "G2", "May the hall be refurbished in increments?", approved(), evidence=READY_TO_PLAN[:-1]),
            Start(107, "increments"),
            Risk(
                130,
                "Asbestos behind the panels",
                "The hall is of 1962",
                "Asbestos is found",
                "Work stops for removal",
                "health",
                2,
                3,
                4,
                "350000",
            ),
            Report(210, "amber", "green", "amber", "Steel costs more than planned; contingency covers it."),
            Complete(330, "increments"),
            Delegate(332, "bo", "ray", 21, "On leave for three weeks."),
            Gate(
                333,
                "G3",
                "May the hall go over to its operator?",
                (
                    Vote("ray", "approve", "The operator has signed.", 1, acting_for="bo"),
                    Vote("cy", "approve", "Nothing is left to build.", 2),
                ),
            ),
            Start(340, "transition"),
            Complete(380, "transition"),
        ),
    ),
    Project(
        "HC-104",
        "Old pier demolition",
        "Waterfront",
        "waterfall",
        "max",
        "2100000",
        "The pier is closed and a danger to boats.",
        45,
        (
            Start(46, "initiation"),
            Complete(70, "initiation"),
            Gate(
                72,
                "G1",
                "Shall the demolition be ended in favour of the heritage plan?",
                (
                    Vote("bo", "approve", "The heritage plan serves the same end.", 1),
                    Vote("kit", "approve", "Nothing is lost by ending now.", 2),
                ),
                proposed="kill",
            ),
        ),
    ),
    Project(
        "HC-201",
        "Parking app",
        "Digital City",
        "agile",
        "max",
        "1250000",
        "Find and pay for a parking space in one minute.",
        5,
        (
            Start(6, "discovery"),
            Complete(30, "discovery"),
            Gate(31, "G1", "May the parking app go into alpha?", approved()),
            Start(35, "alpha"),
            Complete(80, "alpha"),
            Gate(81, "G2", "May the parking app go into beta?", approved(), evidence=READY_TO_PLAN[:-1]),
            Start(85, "beta"),
            Report(170, "green", "green", "green", "Four councils on the beta, users stay."),
            Complete(212, "beta"),
            Gate(
                217,
                "G3",
                "May the parking app go live?",
                (
                    Vote("bo", "approve", "The beta has shown what it can do.", 1.82),
                    Vote(
                        "dee",
                        "approve_with_conditions",
                        "Only with an accessibility audit.",
                        1.84,
                        "An accessibility audit is on file",
                        30,
                        "hold",
                    ),
                ),
            ),
            Start(222, "live"),
            Meet(275, "accessibility-audit", "The auditor came five weeks late."),
            Resume(277, "The audit is there, and finds nothing grave."),
        ),
    ),
    Project(
        "HC-202",
        "Permit portal",
        "Digital City",
        "agile",
        "mia",
        "6800000",
        "A building permit without paper.",
        20,
        (
            Start(21, "discovery"),
            Complete(60, "discovery"),
            Gate(
                62,
                "G1",
                "May the permit portal go into alpha?",
                (Recuse("dee", "My brother works for the bidder.", 0.5), *approved()),
            ),
            Start(66, "alpha"),
            Risk(
                90,
                "Identity service not ready",
                "It is another agency's",
                "Sign-in is not there in time",
                "The beta slips",
                "dependency",
                4,
                2,
                4,
                "600000",
                response="share",
                occurs_on=200,
            ),
            Report(150, "green", "green", "green", "On track for beta."),
            Report(181, "green", "green", "green", "On track for beta."),
            Complete(205, "alpha"),
            Gate(
                217,
                "G2",
                "May the permit portal go into beta without the identity service?",
                (
                    Vote("bo", "approve", "Hold until there is a date for the identity service.", 3),
                    Vote("cy", "approve", "Nothing is gained by running ahead.", 4),
                ),
                proposed="hold",
                evidence=READY_TO_PLAN,
            ),
            Resume(290, "The identity service has a date."),
            Gate(295, "G2", "May the permit portal go into beta?", approved(), evidence=READY_TO_PLAN),
            Start(300, "beta"),
        ),
    ),
    Project(
        "HC-203",
        "Street light sensors",
        "Digital City",
        "hybrid",
        "max",
        "3600000",
        "Light where people walk, a third less energy.",
        100,
        (
            Start(101, "initiation"),
            Risk(
                120,
                "Cheaper sensors next year",
                "The market moves fast",
                "Prices fall by a fifth",
                "More streets for the same money",
                "market",
                3,
                2,
                1,
                "400000",
                kind="opportunity",
                response="exploit",
            ),
            Complete(140, "initiation"),
            Gate(142, "G1", "May planning of the sensors begin?", approved()),
            Start(150, "planning"),
            Complete(280, "planning"),
            Gate(
                500,
                "G2",
                "May the sensors be rolled out in increments?",
                (),
                evidence=READY_TO_PLAN[:-1],
            ),
        ),
    ),
    Project(
        "HC-204",
        "Open data platform",
        "Digital City",
        "agile",
        "mia",
        "900000",
        "Every council data set in one place, with its owner.",
        260,
        (
            Start(262, "discovery"),
            Report(330, "amber", "amber", "green", "Two data owners are still to be found."),
            Breach(338, "alpha", "The contractor's team works on the alpha since Monday."),
            Complete(340, "discovery"),
            Gate(342, "G1", "May the open data platform go into alpha, where work has begun already?", approved()),
            Start(346, "alpha"),
        ),
    ),
)

MEETING: Final = Meeting(
    scheduled=205,
    agenda=218.6,
    begins=219,
    title="Gate meeting, December",
    place="Town hall, room 4",
    chair="bo",
    attendance=(("bo", "present"), ("cy", "remote"), ("dee", "present"), ("sol", "apologies")),
    items=(
        Item("HC-201", "G3", 40, "decided", "Goes live on condition of the audit."),
        Item("HC-101", "G3", 50, "left_to_vote", "The answer on the surveyor's insurance is to be read first."),
        Item("HC-202", "G2", 20, "left_to_vote", "Nobody spoke against resting."),
    ),
)
"""The one sitting that looks at several projects."""

WAITING: Final = ("HC-203", "G2")
"""The gate that stands open at the end, for whoever tries the demonstration to decide."""
