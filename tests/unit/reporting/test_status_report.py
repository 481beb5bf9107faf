from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from govevents.reporting import (
    Confidence,
    Dimension,
    FigureTaken,
    Rating,
    Scale,
    Signatory,
    StatusReportDrafted,
    StatusReportSignedOff,
)
from govkernel.domain import Link, PortfolioId, ProjectId, Specification, SubjectId
from reporting.domain.status_report import (
    LINK,
    REPORT_OF,
    STATUS_REPORT,
    AlreadySigned,
    Command,
    DimensionRatedTwice,
    DraftReport,
    EditionSigned,
    EditionSuperseded,
    FigureAlreadyTaken,
    ManagerSignsFirst,
    NotTheManager,
    NotTheSponsor,
    PeriodReversed,
    RatingNotOnScale,
    ReportNotKnown,
    SignedOff,
    SignOff,
    TakeFigure,
    stream_of,
)

report = Specification(STATUS_REPORT)

PROJECT, PORTFOLIO = ProjectId(UUID(int=1)), PortfolioId(UUID(int=2))
MANAGER, SPONSOR, OTHER = SubjectId(UUID(int=3)), SubjectId(UUID(int=4)), SubjectId(UUID(int=5))
START, END = date(2026, 1, 1), date(2026, 1, 31)
GREEN = Confidence(Dimension.OVERALL, Rating.GREEN, "All is well.")

DRAFT = DraftReport(PROJECT, PORTFOLIO, START, END, Scale.FIVE_POINT, (GREEN,), "Fine.", ("More money",), MANAGER)
FIRST = StatusReportDrafted(
    PROJECT, PORTFOLIO, 1, START, END, Scale.FIVE_POINT, (GREEN,), "Fine.", ("More money",), MANAGER
)
SECOND = replace(FIRST, edition=2, narrative="Not so fine.")
TAKE = TakeFigure(1, f"{UUID(int=7)}@3", "conditions_overdue", 1, Decimal(2), "conditions", None)
TAKEN = FigureTaken(PROJECT, 1, f"{UUID(int=7)}@3", "conditions_overdue", 1, Decimal(2), "conditions", None)
SIGN_AS_MANAGER = SignOff(1, Signatory.MANAGER, MANAGER, MANAGER, SPONSOR, "")
SIGN_AS_SPONSOR = SignOff(1, Signatory.SPONSOR, SPONSOR, MANAGER, SPONSOR, "")
BY_MANAGER = StatusReportSignedOff(PROJECT, 1, Signatory.MANAGER, MANAGER, "")
BY_SPONSOR = StatusReportSignedOff(PROJECT, 1, Signatory.SPONSOR, SPONSOR, "")


def test_a_report_is_drafted_as_its_first_edition() -> None:
    report.given().when(DRAFT).then(FIRST)


def test_drafting_the_same_again_adds_nothing_also_when_it_is_signed() -> None:
    report.given(FIRST).when(DRAFT).then_nothing()
    report.given(FIRST, BY_MANAGER, BY_SPONSOR).when(DRAFT).then_nothing()


def test_a_correction_is_a_new_edition_and_nobody_has_signed_that() -> None:
    correction = replace(DRAFT, narrative="Not so fine.")
    report.given(FIRST).when(correction).then(SECOND)
    report.given(FIRST, BY_MANAGER, BY_SPONSOR).when(correction).then(SECOND)
    report.given(FIRST, BY_MANAGER, SECOND).when(replace(SIGN_AS_SPONSOR, edition=2)).then_refused(ManagerSignsFirst)


def test_a_period_does_not_end_before_it_starts() -> None:
    report.given().when(replace(DRAFT, period_end=date(2025, 12, 31))).then_refused(PeriodReversed)


def test_a_dimension_is_rated_once() -> None:
    refusal = report.given().when(replace(DRAFT, confidences=(GREEN, GREEN))).then_refused(DimensionRatedTwice)
    assert refusal.facts == {"dimension": "overall"}


@pytest.mark.parametrize("scale", list(Scale))
@pytest.mark.parametrize("rating", list(Rating))
def test_a_rating_exists_on_the_scale_of_the_report(scale: Scale, rating: Rating) -> None:
    confidences = (replace(GREEN, rating=rating),)
    decided = report.given().when(replace(DRAFT, scale=scale, confidences=confidences))
    if scale is Scale.THREE_POINT and rating in {Rating.AMBER_GREEN, Rating.AMBER_RED}:
        assert decided.then_refused(RatingNotOnScale).facts["rating"] == rating.value
    else:
        decided.then(replace(FIRST, scale=scale, confidences=confidences))


@pytest.mark.parametrize("command", [TAKE, SIGN_AS_MANAGER, SIGN_AS_SPONSOR])
def test_nothing_but_drafting_is_decided_for_an_unknown_report(command: Command) -> None:
    report.given().when(command).then_refused(ReportNotKnown)


def test_a_report_takes_the_figures_that_were_measured_for_its_newest_edition() -> None:
    report.given(FIRST).when(TAKE).then(TAKEN)
    # The second edition is the stream's third version, after the first and its figure.
    report.given(FIRST, TAKEN, SECOND).when(replace(TAKE, drafted_version=3)).then(replace(TAKEN, edition=2))


def test_an_undefined_figure_is_taken_with_its_reason() -> None:
    report.given(FIRST).when(replace(TAKE, value=None, undefined_because="No gate yet.")).then(
        replace(TAKEN, value=None, undefined_because="No gate yet.")
    )


def test_a_figure_that_was_measured_for_an_earlier_edition_is_not_taken() -> None:
    refusal = report.given(FIRST, SECOND).when(TAKE).then_refused(EditionSuperseded)
    assert refusal.facts == {"edition": "2"}


def test_an_edition_rests_on_one_measurement_of_a_kpi() -> None:
    report.given(FIRST, TAKEN).when(TAKE).then_nothing()
    report.given(FIRST, TAKEN, BY_MANAGER).when(TAKE).then_nothing()
    refusal = (
        report.given(FIRST, TAKEN)
        .when(replace(TAKE, measurement=f"{UUID(int=8)}@1", value=Decimal(0)))
        .then_refused(FigureAlreadyTaken)
    )
    assert refusal.facts == {"kpi": "conditions_overdue", "measurement": TAKEN.measurement}


def test_what_was_signed_takes_no_further_figure() -> None:
    report.given(FIRST, BY_MANAGER).when(TAKE).then_refused(EditionSigned)
    report.given(FIRST, BY_MANAGER, BY_SPONSOR).when(TAKE).then_refused(EditionSigned)


def test_the_manager_signs_and_then_the_sponsor() -> None:
    report.given(FIRST).when(SIGN_AS_MANAGER).then(BY_MANAGER)
    decided = report.given(FIRST, TAKEN, BY_MANAGER).when(SIGN_AS_SPONSOR)
    decided.then(BY_SPONSOR)
    state = decided.then_state()
    assert isinstance(state, SignedOff)
    assert (state.manager, state.sponsor) == (MANAGER, SPONSOR)


def test_the_sponsor_does_not_sign_first() -> None:
    report.given(FIRST).when(SIGN_AS_SPONSOR).then_refused(ManagerSignsFirst)


@pytest.mark.parametrize("manager", [OTHER, None])
def test_only_the_manager_signs_as_the_manager(manager: SubjectId | None) -> None:
    report.given(FIRST).when(replace(SIGN_AS_MANAGER, manager=manager)).then_refused(NotTheManager)


@pytest.mark.parametrize("sponsor", [OTHER, None])
def test_only_the_sponsor_signs_as_the_sponsor(sponsor: SubjectId | None) -> None:
    report.given(FIRST, BY_MANAGER).when(replace(SIGN_AS_SPONSOR, sponsor=sponsor)).then_refused(NotTheSponsor)


def test_signing_again_adds_nothing() -> None:
    report.given(FIRST, BY_MANAGER).when(SIGN_AS_MANAGER).then_nothing()
    report.given(FIRST, BY_MANAGER, BY_SPONSOR).when(SIGN_AS_MANAGER).then_nothing()
    report.given(FIRST, BY_MANAGER, BY_SPONSOR).when(SIGN_AS_SPONSOR).then_nothing()


def test_a_new_manager_or_sponsor_does_not_sign_over_the_old_one() -> None:
    new_manager = replace(SIGN_AS_MANAGER, signer=OTHER, manager=OTHER)
    new_sponsor = replace(SIGN_AS_SPONSOR, signer=OTHER, sponsor=OTHER)
    report.given(FIRST, BY_MANAGER).when(new_manager).then_refused(AlreadySigned)
    report.given(FIRST, BY_MANAGER, BY_SPONSOR).when(new_sponsor).then_refused(AlreadySigned)


@pytest.mark.parametrize("edition", [1, 3])
def test_only_the_newest_edition_is_signed(edition: int) -> None:
    refusal = (
        report.given(FIRST, SECOND).when(replace(SIGN_AS_MANAGER, edition=edition)).then_refused(EditionSuperseded)
    )
    assert refusal.facts == {"edition": "2", "given": str(edition)}


def test_a_project_has_one_report_for_a_period() -> None:
    assert stream_of(PROJECT, START, END) == stream_of(PROJECT, START, END)
    assert stream_of(PROJECT, START, END) != stream_of(PROJECT, START, date(2026, 2, 1))


def test_a_report_is_found_by_its_own_id_and_by_its_project() -> None:
    assert STATUS_REPORT.links(STATUS_REPORT.initial) == frozenset()
    assert STATUS_REPORT.links(STATUS_REPORT.fold((FIRST, TAKEN, SECOND))) == {
        Link(LINK, stream_of(PROJECT, START, END)),
        Link(REPORT_OF, PROJECT),
    }
