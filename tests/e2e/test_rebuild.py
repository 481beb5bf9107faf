"""Every read model is built anew while people go on asking: it comes out the same, and nobody notices."""

import asyncio
import time
from typing import Any

import httpx2
from tests.e2e.conftest import Office
from tests.support.system import RunningSystem, subject

QUESTIONS: dict[str, dict[str, str]] = {
    "/portfolio-overview": {},
    "/gate-pipeline": {},
    "/decisions": {},
    "/inbox": {"subject": subject("bo")},
    "/approval-latency": {},
    "/kpis/portfolio": {},
    "/kpis/approval_time": {},
}


async def test_a_rebuild_of_everything_gives_the_same_rows_and_readers_notice_nothing(
    system: RunningSystem, office: Office
) -> None:
    office.review(office.project("REBUILD-1"))
    office.decide(office.review(office.project("REBUILD-2")))
    await system.wait_read("projections")
    before = {build["name"]: build["build"] for build in live(system)}
    assert len(before) > 10
    stop = asyncio.Event()
    readers = [asyncio.create_task(read_on(system, path, office.portfolio, stop)) for path in QUESTIONS]
    rebuilt = await asyncio.to_thread(system.gov, "projections", "rebuild", "--all", "--json", timeout_s=150)
    stop.set()
    seen = await asyncio.gather(*readers)
    assert rebuilt.code == 0, rebuilt.err
    items = rebuilt.document["items"]
    assert {item["name"] for item in items} == before.keys()
    assert {item["outcome"] for item in items} == {"the same rows"}
    assert all(build["build"] > before[build["name"]] for build in live(system))
    for path, answers in zip(QUESTIONS, seen, strict=True):
        assert len(answers) > 10, path
        assert {status for status, _ in answers} == {200}, path
        assert all(rows == answers[0][1] for _, rows in answers), path
        assert answers[0][1], path


def live(system: RunningSystem) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = system.gov("projections", "list", "--json").document["items"]
    return items


async def read_on(
    system: RunningSystem, path: str, node: str, stop: asyncio.Event
) -> list[tuple[int, list[dict[str, Any]] | None]]:
    """Ask the same again and again, and keep every answer's status and rows."""
    answers = []
    headers = {"Authorization": f"Bearer {system.token('ana')}"}
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    async with httpx2.AsyncClient(base_url=system.address("projections"), headers=headers, timeout=30) as client:
        while not stop.is_set():
            answered = await client.get(path, params={**QUESTIONS[path], "node": node, "as_of": moment})
            answers.append((answered.status_code, answered.json().get("rows")))
            await asyncio.sleep(0.05)
    return answers
