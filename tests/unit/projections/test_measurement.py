from datetime import date
from decimal import Decimal
from uuid import UUID

from govevents.projections import InputOffset, KpiMeasured
from govkernel.domain import ProjectId
from projections.domain.measurement import MEASUREMENT, Measure, stream_of

CAUSE = f"{UUID(int=2)}@4"
OFFSETS = (InputOffset("gov.approvals.events.v1", 0, 17),)


def measure(value: Decimal | None, because: str | None = None) -> Measure:
    return Measure(
        ProjectId(UUID(int=1)),
        CAUSE,
        "conditions_open",
        1,
        date(2026, 3, 20),
        value,
        "conditions",
        because,
        OFFSETS,
        ("conditions@1",),
    )


def test_a_figure_is_kept_as_it_was_measured() -> None:
    (event,) = MEASUREMENT.decide(measure(Decimal(2)), MEASUREMENT.initial)
    assert event == KpiMeasured(
        ProjectId(UUID(int=1)),
        CAUSE,
        "conditions_open",
        1,
        date(2026, 3, 20),
        Decimal(2),
        "conditions",
        None,
        OFFSETS,
        ("conditions@1",),
    )


def test_the_first_figure_stands_whatever_a_second_look_finds() -> None:
    state = MEASUREMENT.fold(MEASUREMENT.decide(measure(None, "no forecast"), MEASUREMENT.initial))
    assert MEASUREMENT.decide(measure(Decimal(3)), state) == ()


def test_a_cause_has_one_measurement_of_each_kpi() -> None:
    assert stream_of(CAUSE, "conditions_open") == stream_of(CAUSE, "conditions_open")
    assert len({stream_of(cause, kpi) for cause in (CAUSE, f"{UUID(int=2)}@5") for kpi in ("a", "b")}) == 4
