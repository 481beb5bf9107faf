"""Where tests get their infrastructure from, and what CI makes of a skip."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import TOGETHER
from tests.support.infrastructure import (
    KAFKA_VARIABLE,
    POSTGRES_VARIABLE,
    Infrastructure,
    InfrastructureUnavailable,
    SessionInfrastructure,
    given_by_environment,
)

CHECKOUT = Path(__file__).resolve().parents[3]
POSTGRES, KAFKA = "postgresql://postgres@db/postgres", "kafka:9092"


def test_addresses_in_the_environment_come_first() -> None:
    given = given_by_environment({POSTGRES_VARIABLE: POSTGRES, KAFKA_VARIABLE: KAFKA})
    assert given == Infrastructure(POSTGRES, KAFKA, "environment")


def test_without_addresses_something_else_has_to_be_found() -> None:
    assert given_by_environment({}) is None


@pytest.mark.parametrize(
    ("given", "missing"),
    [({POSTGRES_VARIABLE: POSTGRES}, KAFKA_VARIABLE), ({KAFKA_VARIABLE: KAFKA}, POSTGRES_VARIABLE)],
)
def test_one_address_of_two_is_a_mistake_and_says_which_is_missing(given: dict[str, str], missing: str) -> None:
    with pytest.raises(InfrastructureUnavailable, match=f"{missing} is not set"):
        given_by_environment(given)


def test_every_worker_gets_what_the_first_one_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)
    monkeypatch.delenv(KAFKA_VARIABLE, raising=False)
    first, second = (SessionInfrastructure(tmp_path, os.getpid()) for _ in range(2))
    first.answer({"infrastructure": {"postgres_url": POSTGRES, "kafka_bootstrap": KAFKA, "origin": "packages"}})
    assert second.get() == Infrastructure(POSTGRES, KAFKA, "packages")


def test_tests_that_share_servers_are_there_to_be_run_together() -> None:
    assert [each for each in TOGETHER if not (CHECKOUT / each).exists()] == []


def test_every_worker_hears_why_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)
    monkeypatch.delenv(KAFKA_VARIABLE, raising=False)
    SessionInfrastructure(tmp_path, os.getpid()).answer({"unavailable": "no Java"})
    with pytest.raises(InfrastructureUnavailable, match="no Java"):
        SessionInfrastructure(tmp_path, os.getpid()).get()


def outcome_of(folder: Path, reason: str, *, in_ci: bool) -> str:
    (folder / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport  # noqa: F401\n", "utf-8")
    (folder / "test_it.py").write_text(f"import pytest\n\n\ndef test_it():\n    pytest.skip({reason!r})\n", "utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"PYTHONPATH": str(CHECKOUT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, "-c", os.devnull, folder],
        env={**environment, **({"CI": "true"} if in_ci else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip().splitlines()[-1]


def test_a_skip_is_a_failure_in_ci(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, "no Java here", in_ci=True).startswith("1 failed")


def test_a_skip_of_what_the_platform_cannot_have_is_none(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, "not to be had on this platform: epoll", in_ci=True).startswith("1 skipped")


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, "no Java here", in_ci=False).startswith("1 skipped")
