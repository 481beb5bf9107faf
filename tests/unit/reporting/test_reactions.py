from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from govevents.document import Origin, Recorded, encode
from govevents.projections import InputOffset, KpiMeasured
from govevents.registry import CATALOGUE
from govkernel.domain import Link, ProjectId
from govkernel.domain.reaction import Reaction
from reporting.application.reactions import needs, react
from reporting.domain.status_report import LINK, STATUS_REPORT, TakeFigure

PROJECT = ProjectId(UUID(int=1))
REPORT, MEASUREMENT = UUID(int=2), UUID(int=3)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

MEASURED = KpiMeasured(
    PROJECT,
    f"{REPORT}@4",
    "conditions_overdue",
    1,
    date(2026, 1, 1),
    Decimal(2),
    "conditions",
    None,
    (InputOffset("gov.approvals.events.v1", 0, 17),),
    ("conditions@1",),
)


def recorded(event: object) -> Recorded[object]:
    return CATALOGUE.decode(
        encode(
            event,
            service="projections",
            aggregate="measurement",
            stream=MEASUREMENT,
            version=1,
            previous_hash=None,
            time=NOON,
            recorded_at=NOON,
            actor="service:projections",
            command=UUID(int=4),
            correlation="c",
            causation=None,
            origin=Origin.LIVE,
        ).body
    )


def test_a_report_takes_the_figure_that_was_measured_because_of_its_draft() -> None:
    cause = recorded(MEASURED)
    assert needs(cause) == (Link(LINK, REPORT),)
    assert react(cause, {Link(LINK, REPORT): (REPORT,)}) == (
        Reaction(
            STATUS_REPORT,
            REPORT,
            TakeFigure(4, f"{MEASUREMENT}@1", "conditions_overdue", 1, Decimal(2), "conditions", None),
        ),
    )


def test_a_figure_that_was_measured_for_a_review_is_nobodys_here() -> None:
    assert react(recorded(MEASURED), {Link(LINK, REPORT): ()}) == ()
    assert react(recorded(MEASURED), {}) == ()
