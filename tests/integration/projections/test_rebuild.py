"""Every read model can be built anew from the topics, and then has the same rows, history and provenance."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from tests.support.telling import ANA, BO, MAX, Teller, aud, day, seat

from govevents.approvals import AgendaItem, AgendaSet, MeetingOpened, MeetingScheduled, Panel
from govevents.catalogue import topic_of
from govevents.document import Document
from govevents.projects import (
    GateBreached,
    MilestoneBasis,
    MilestoneSet,
    PhaseCompleted,
    PhaseReturned,
    PhaseStarted,
    ProjectHeld,
)
from govevents.registry import CATALOGUE
from govevents.reporting import FigureTaken, Rating, Signatory, StatusReportSignedOff
from govevents.risks import IssueKind, IssueRaised, IssueResolved, RiskClosed, Severity
from govevents.values import BodyId, PortfolioId, ProjectId, ReviewId
from govkernel.consumer import Consumer, Handler
from govkernel.kafka import KafkaAddress, KafkaTopics, PartitionReader, TopicLog, partition_of
from govkernel.postgres import create_pool
from govkernel.readmodels import ReadModels
from projections.adapters.queries import READ_MODELS

SOURCES = ("projects", "approvals", "risks", "reporting")
PARTITIONS = 3
DEADLINE_S = 60


def a_life(teller: Teller) -> list[Document]:
    """Something of everything that a read model folds, with changes and corrections."""
    portfolio, _ = teller.portfolio()
    project, _ = teller.project(portfolio.stream, EPT="North")
    owner, of_project = PortfolioId(portfolio.stream), ProjectId(project.stream)
    formed = teller.body(portfolio.stream)
    body = formed.envelope.stream
    teller.seated(formed, BO)
    teller.seated(formed, MAX)
    teller.released(formed, MAX, day(2))
    teller.brought_in(portfolio.stream, project.stream, "G0", date(2026, 3, 1))
    teller.at(project, day(1), PhaseStarted("initiation"))
    teller.at(project, day(1), MilestoneSet("Wharf", MilestoneBasis.PLANNED, date(2026, 9, 1), None))
    teller.at(project, day(2), MilestoneSet("Wharf", MilestoneBasis.ACTUAL, date(2026, 3, 3), None))
    teller.at(project, day(3), PhaseCompleted("initiation"))
    review, _ = teller.submitted(portfolio.stream, project.stream, day(4), body=body)
    teller.concluded(review, portfolio.stream, project.stream, day(5), due=date(2026, 4, 1), body=body)
    teller.condition_met(review, project.stream, day(6))
    again, _ = teller.submitted(
        portfolio.stream, project.stream, day(6), electorate=(seat(BO, ANA), seat(MAX)), awaits=("conditions_open",)
    )
    teller.opened(again, project.stream, day(6.5))
    teller.asked(again, project.stream, day(7))
    teller.voted(again, project.stream, day(7.5))
    teller.evidence_changed(again, project.stream, day(8))
    teller.recused(again, project.stream, day(9), MAX)
    teller.answered(again, project.stream, day(9.5))
    council = Panel(BodyId(body), (seat(BO),), ())
    teller.escalated(again, project.stream, day(10))
    teller.referred(again, project.stream, day(11), council)
    meeting = teller.stream("approvals", day(3))
    starts_at = day(12)
    scheduled = MeetingScheduled(
        owner, None, "Gates of March", starts_at, starts_at + timedelta(hours=1), "Australia/Melbourne", "Hall", ANA, ()
    )
    teller.at(meeting, day(3), scheduled)
    teller.at(meeting, day(4), AgendaSet(owner, (AgendaItem(ReviewId(again.stream), of_project, 20),)))
    teller.at(meeting, starts_at, MeetingOpened(owner, ANA))
    delegation, _ = teller.delegated(portfolio.stream, day(3))
    teller.delegated(project.stream, day(4), limit=aud("5"))
    teller.revoked(delegation, portfolio.stream, day(5))
    teller.at(project, day(6.5), GateBreached(owner, "planning", "G1", date(2026, 3, 8), MAX, "Diggers."))
    teller.at(project, day(7), PhaseReturned("initiation", "G1", ReviewId(review.stream)))
    teller.observed(project, date(2026, 3, 20), phase="Design", forecast="100")
    teller.observed(project, date(2026, 3, 25), forecast="120")
    teller.at(project, day(30), ProjectHeld("Money", None))
    risk, _ = teller.risk(portfolio.stream, project.stream, day(8))
    teller.assessed(risk, project.stream, day(9), 2, 3)
    teller.assessed(risk, project.stream, day(10), 4, 3)
    teller.at(risk, day(11), RiskClosed(of_project, "Gone."))
    issue = teller.stream("risks", day(12))
    raised = IssueRaised(of_project, owner, IssueKind.PROBLEM, "Leak", "Wet.", Severity.HIGH, MAX, None)
    teller.at(issue, day(12), raised)
    teller.at(issue, day(13), IssueResolved(of_project, "Dry."))
    report, _ = teller.report(portfolio.stream, project.stream, day(30), month=3, rating=Rating.GREEN)
    taken = FigureTaken(of_project, 1, f"{uuid4()}@1", "conditions_open", 1, None, "conditions", "away")
    teller.at(report, day(31), taken)
    teller.at(report, day(32), StatusReportSignedOff(of_project, 1, Signatory.MANAGER, MAX, "Mine."))
    return teller.written


async def test_a_rebuild_of_every_read_model_gives_the_same_digests(
    database: str, kafka: str, topic: Callable[..., str]
) -> None:
    own = {source: f"{source}-{uuid4().hex[:12]}" for source in SOURCES}
    for name in own.values():
        topic(service=name, partitions=PARTITIONS)
    models = [replace(model, service=own[model.service]) for model in READ_MODELS]
    address = KafkaAddress(kafka)
    pool = await create_pool(database, largest=20)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=0)
    await producer.start()
    topics = KafkaTopics(address)
    readers: list[PartitionReader] = []

    def follower(handler: Handler) -> Consumer:
        reader = PartitionReader(address, topic_of(handler.service), longest_wait_ms=20)
        readers.append(reader)
        return Consumer(
            pool,
            handler,
            CATALOGUE,
            reader=reader,
            topics=topics,
            replica=uuid4(),
            lease_s=5.0,
            poll_s=0.05,
        )

    read_models = ReadModels(
        pool,
        models,
        catalogue=CATALOGUE,
        log=TopicLog(address),
        follower_of=follower,
        clock=lambda: datetime.now(UTC),
        poll_s=0.05,
    )
    stop = asyncio.Event()
    following = asyncio.create_task(read_models.run(stop))
    written = a_life(Teller(lambda source: own[source]))
    loop = asyncio.get_running_loop()
    try:
        for document in written:
            source = CATALOGUE.decode(document.body).envelope.source.rpartition(":")[2]
            await producer.send_and_wait(
                topic_of(source),
                document.body,
                key=str(document.stream).encode(),
                partition=partition_of(document.stream, PARTITIONS),
            )
        last = {document.stream: document for document in written}
        deadline = loop.time() + DEADLINE_S
        for model in models:
            for document in last.values():
                source = CATALOGUE.decode(document.body).envelope.source.rpartition(":")[2]
                if source == model.service:
                    left_s = deadline - loop.time()
                    assert await read_models.wait_for(document.stream, document.version, [model.name], timeout_s=left_s)
        for model in models:
            before = await read_models.digests(model.name)
            rebuilt = await read_models.rebuild(model.name)
            after = await read_models.digests(model.name)
            assert rebuilt.difference is None
            assert (after.rows, after.history, after.parked) == (before.rows, before.history, before.parked)
            assert after.build == before.build + 1
            count = await pool.fetchval(f"SELECT count(*) FROM read.{model.name}")
            assert count >= 1, f"{model.name} has nothing to compare"
        parked = await pool.fetchval("SELECT count(*) FROM parked")
        assert parked == 0
        back = await read_models.roll_back("conditions")
        assert (await read_models.digests("conditions")).build == back.number
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await following
        await producer.stop()
        for reader in readers:
            await reader.close()
        await topics.close()
        async with asyncio.timeout(20):
            await pool.close()
