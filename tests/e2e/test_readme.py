"""What the README tells a newcomer to type works as it says, from the first command to Ctrl-C."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.system import CHECKOUT, GOV, environment_of, event_count, fetch

from gov.demo import story
from gov.issuer.people import accounts
from gov.runtime.process import identity_of, is_alive
from gov.runtime.state import State
from gov.runtime.system import LocalSystem

START = "make demo"
STARTED_WITHIN_S = 300
REFERENCE = story.WAITING[0]

DATA = "convert_from(document, 'UTF8')::jsonb"
MARKED = f"""
    SELECT {DATA} #>> '{{data,breaches,0,phase}}' AS phase FROM events
    WHERE type = 'approvals.ReviewConcluded' AND {DATA} #> '{{data,breaches}}' <> '[]'
"""
LAPSED = "SELECT stream::text || '@' || version AS id, time FROM events WHERE type = 'approvals.ConditionLapsed'"
HELD = f"SELECT time FROM events WHERE type = 'projects.ProjectHeld' AND {DATA} ->> 'causationid' = $1"

pytestmark = pytest.mark.timeout(600)


@dataclass
class Demo:
    """`make demo` as it runs in one terminal, and what the README's other blocks printed in another."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    local: LocalSystem
    log: Path
    said: dict[str, str]

    @property
    def shown(self) -> str:
        return self.log.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blocks() -> list[str]:
    """Every block of the README that is to be typed."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    return [block.strip() for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


@pytest.fixture(scope="module")
def demo(blocks: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("demo") / "home"
    environment = environment_of(home)
    assert blocks[0] == START
    log = home.with_name("terminal.log")
    with log.open("w") as terminal:
        process = subprocess.Popen(
            ["bash", "-c", START],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Demo(process, environment, LocalSystem(State(home)), log, {})
    try:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while "Ctrl-C stops it" not in running.shown or "eve" not in running.shown:
            assert process.poll() is None, running.shown
            assert time.monotonic() < deadline, running.shown
            time.sleep(0.2)
        running.said = typed(blocks[1:], environment)
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        running.local.forget()


def typed(blocks: list[str], environment: dict[str, str]) -> dict[str, str]:
    """Type blocks one after the other into one shell, and return what each printed by its first line."""
    mark = "=== the next block ==="
    script = f"\necho '{mark}'\n".join(blocks)
    done = subprocess.run(
        ["bash"],
        input=script,
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stderr == ""
    printed = done.stdout.split(f"{mark}\n")
    return {block.splitlines()[0]: output for block, output in zip(blocks, printed, strict=True)}


def said_by(demo: Demo, words: str) -> str:
    """What the block printed whose first line has these words."""
    (output,) = [output for line, output in demo.said.items() if words in line]
    return output


def documents(text: str) -> list[Any]:
    """The JSON documents among printed lines."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_the_demonstration_ends_with_addresses_and_sign_ins(demo: Demo) -> None:
    for address in demo.local.status().addresses.values():
        assert address in demo.shown
    for account in accounts().values():
        assert account.name in demo.shown
    assert f"{len(story.PROJECTS)} projects" in demo.shown


def test_the_gate_waits_for_votes(demo: Demo) -> None:
    (review,) = documents(said_by(demo, "gov env"))
    assert (review["gate"], review["state"], review["votes_needed"]) == ("G2", "open", 2)
    assert len(review["electorate"]) == 3
    assert {elector["choice"] for elector in review["electorate"]} == {None}


def test_the_third_person_decides_and_a_change_of_mind_comes_too_late(demo: Demo) -> None:
    first, second, third, late = documents(said_by(demo, "vote()"))
    for answer in (first, second):
        assert [event["type"] for event in answer["events"]] == ["approvals.VoteCast"]
    assert [event["type"] for event in third["events"]] == ["approvals.VoteCast", "approvals.ReviewConcluded"]
    assert (late["status"], late["type"]) == (409, "urn:gatehouse:problem:review-not-open")


def test_two_seconds_later_the_phase_is_authorised_the_register_has_the_decision_and_the_past_has_not(
    demo: Demo,
) -> None:
    output = said_by(demo, "sleep 2")
    project, decided, before = documents(output)
    assert project["reference"] == REFERENCE
    assert "authorised" in {phase["progress"] for phase in project["phases"] if phase["gate"] == "G2"}
    assert [(row["gate"], row["outcome"]) for row in decided["rows"]].count(("G2", "go")) == 1
    assert [row["gate"] for row in before["rows"]] == ["G1"]
    assert decided["provisional"] is False


def test_the_kpi_counts_the_decision_and_leads_to_it(demo: Demo) -> None:
    _, register, past = documents(said_by(demo, "sleep 2"))
    (decision,) = [row["decision"] for row in register["rows"] if row["gate"] == "G2"]
    now, before = approval_times(demo), approval_times(demo, "--as-of", past["as_of"])
    assert (now["total"]["count"], before["total"]["count"]) == (before["total"]["count"] + 1, len(before["rows"]) - 1)
    assert decision in concluded(now)
    assert concluded(before) == concluded(now) - {decision}
    # Three votes, and what they led to, after the draft and the submission.
    assert f"{decision}@6" in said_by(demo, "sleep 2")


def approval_times(demo: Demo, *options: str) -> Any:
    told = subprocess.run(
        [GOV, "kpi", "explain", "approval_time", "--node", story.PORTFOLIO, "--json", *options],
        cwd=CHECKOUT,
        env=demo.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(told.stdout)


def concluded(explained: Any) -> set[str]:
    """The reviews whose conclusion an explanation names."""
    events = [row["events"]["concluded"] for row in explained["rows"] if "concluded" in row["events"]]
    return {event.partition("@")[0] for event in events}


def test_behind_it_everything_runs_is_live_and_chains(demo: Demo) -> None:
    output = said_by(demo, "gov status")
    for service in ("postgres", "kafka", *(service.name for service in demo.local.services)):
        assert re.search(rf"{service} +ready", output), output
    assert "the same rows" in output
    assert "decision_register" in output
    assert "approvals.ReviewConcluded" in output
    assert "does not chain" not in output


async def test_the_story_shows_what_can_happen_to_a_decision(demo: Demo) -> None:
    said = {row["type"] for row in await fetch(demo.local, "approvals", "SELECT DISTINCT type FROM events")}
    shown = {"DelegationGranted", "VoterRecused", "QuestionAnswered", "EvidenceChanged", "BreachNoted", "MeetingClosed"}
    assert {f"approvals.{name}" for name in shown} <= said
    (breached,) = await fetch(demo.local, "approvals", MARKED)
    assert breached["phase"] == "alpha"
    (lapse,) = await fetch(demo.local, "approvals", LAPSED)
    (held,) = await fetch(demo.local, "projects", HELD, lapse["id"])
    # Under the demo clock: when its day was over, whenever somebody said that it is so late.
    assert held["time"] == lapse["time"]


async def test_playing_it_again_changes_nothing(demo: Demo) -> None:
    before = await ledgers(demo)
    assert sum(before.values()) > 0
    remembered = told_of_playing(demo)
    demo.local.state.demo_file.unlink()
    repeated = told_of_playing(demo)
    assert await ledgers(demo) == before
    assert remembered.pop("commands") == 0
    assert repeated.pop("commands") > 0
    assert remembered == repeated
    assert told_of_playing(demo) == {**repeated, "commands": 0}


def told_of_playing(demo: Demo) -> dict[str, Any]:
    """What a further `gov demo` says was played in."""
    told = subprocess.run(
        [GOV, "demo", "--detach", "--json"],
        cwd=CHECKOUT,
        env=demo.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    played: dict[str, Any] = json.loads(told.stdout)["played"]
    return played


async def ledgers(demo: Demo) -> dict[str, int]:
    """How many events each service's ledger has."""
    return {service.name: await event_count(demo.local, service.name) for service in demo.local.services}


def test_ctrl_c_stops_everything(demo: Demo) -> None:
    status = demo.local.status()
    assert status.supervisor_pid is not None
    running = [identity_of(status.supervisor_pid), *(child.process for child in status.children)]
    alive = [identity for identity in running if identity is not None]
    assert len(alive) > len(demo.local.services)
    began = time.monotonic()
    os.killpg(demo.process.pid, signal.SIGINT)
    demo.process.wait(60)
    assert time.monotonic() - began < 30
    assert [identity for identity in alive if is_alive(identity)] == []
    assert "Traceback" not in demo.shown


def test_the_readme_names_files_that_there_are() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r"--mapping (\S+)", text)
    assert named
    assert [name for name in named if not Path(CHECKOUT, name).exists()] == []
