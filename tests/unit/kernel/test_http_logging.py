"""What a log line holds, and what it never does."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from govkernel import logging as logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    logs.bind_anew()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_says_service_correlation_and_stream(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="risks", log_format="json", level="info")
    logs.bind_anew(correlation="c", stream="s")
    logs.bind(causation="e@1")
    logs.logger("here").info("done", amount=3)
    logging.getLogger("library").warning("slow %s", "query")
    own, foreign = lines(capsys)
    for line in (own, foreign):
        assert {"service": "risks", "correlation": "c", "stream": "s", "causation": "e@1"}.items() <= line.items()
    assert (own["event"], own["amount"], foreign["event"]) == ("done", 3, "slow query")


@pytest.mark.parametrize(
    "said",
    [
        {"password": "hunter2"},
        {"Authorization": "Bearer hunter2"},
        {"client_secret": "hunter2"},
        {"headers": {"cookie": "hunter2"}},
        {"reason": "no answer from postgresql://risks:hunter2@127.0.0.1/risks"},
        {"header": "Bearer hunter2.hunter2.hunter2"},
        {"said": "token eyJhbGciOiJFUzI1NiJ9.eyJodW50ZXIyIjoxfQ.hunter2"},
        {"urls": ["postgresql://a:hunter2@b/c"]},
    ],
)
def test_a_secret_is_withheld_by_its_name_or_its_looks(
    said: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(service="risks", log_format="json", level="info")
    logs.logger("here").info("said", **said)
    shown = capsys.readouterr().err
    assert "hunter2" not in shown
    assert "[withheld]" in shown


@pytest.mark.parametrize(
    "facts",
    [
        {"path": "/funds", "status": 200, "milliseconds": 1.2},
        {"path": "/funds", "token": "hunter2"},
        {"path": "/postgresql://a:hunter2@b/c"},
        {"path": "/Bearer hunter2"},
        {"path": "/eyJhbGciOiJFUzI1NiJ9.eyJodW50ZXIyIjoxfQ.hunter2"},
        {"path": 'half \ud800, "quoted"'},
    ],
)
def test_what_is_said_often_is_said_as_by_any_logger(
    facts: dict[str, str | float], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(service="risks", log_format="json", level="info")
    logs.bind_anew(correlation="c", stream="s")
    logs.OftenSaid("here", "request").say(**facts)
    logs.logger("here").info("request", **facts)
    often, other = lines(capsys)
    moments = [datetime.fromisoformat(str(line.pop("timestamp"))) for line in (often, other)]
    assert often == other
    assert moments == sorted(moments)
    assert "hunter2" not in str(often)


def test_what_is_said_often_heeds_format_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="risks", log_format="json", level="warning")
    logs.OftenSaid("here", "request").say(path="/funds")
    assert capsys.readouterr().err == ""
    logs.configure(service="risks", log_format="text", level="info")
    logs.OftenSaid("here", "request").say(path="/funds")
    shown = capsys.readouterr().err
    assert "/funds" in shown
    assert "{" not in shown


class Opaque:
    def __repr__(self) -> str:
        return "something opaque"


@pytest.mark.parametrize(
    ("value", "shown"), [(Opaque(), "something opaque"), ("half \ud800", "half \ud800"), (2**70, 2**70), (None, None)]
)
def test_a_line_is_said_whatever_is_in_it(value: object, shown: object, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="risks", log_format="json", level="info")
    logs.logger("here").info("said", value=value)
    (line,) = lines(capsys)
    assert line["value"] == shown


@given(st.text(st.sampled_from("beaEyYjJR.:/@ xB-"), max_size=30) | st.text(max_size=10))
def test_no_text_that_looks_like_a_secret_is_overlooked(text: str) -> None:
    withheld = logs.SECRET_TEXT.sub(lambda found: (found["before"] or found["scheme"] or "") + logs.WITHHELD, text)
    assert logs.withhold_secrets(None, "info", {"said": text}) == {"said": withheld}


def test_an_exceptions_text_is_looked_through_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="risks", log_format="text", level="info")
    try:
        raise RuntimeError("postgresql://risks:hunter2@127.0.0.1/risks")
    except RuntimeError:
        logs.logger("here").exception("failed")
    shown = capsys.readouterr().err
    assert "RuntimeError" in shown
    assert "hunter2" not in shown


def test_what_is_below_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="risks", log_format="json", level="warning")
    logs.logger("here").info("chatter")
    logging.getLogger("library").info("chatter")
    assert lines(capsys) == []


def test_what_a_library_goes_on_saying_is_heard_once_in_half_a_minute() -> None:
    now = [0.0]
    said_before = logs.SaidBefore("aiokafka", monotonic=lambda: now[0])

    def heard(name: str, line: int) -> bool:
        return said_before.filter(logging.LogRecord(name, logging.ERROR, "conn.py", line, "away", None, None))

    assert [heard("aiokafka.client", 7), heard("aiokafka.client", 7), heard("aiokafka.client", 8)] == [
        True,
        False,
        True,
    ]
    assert [heard("govkernel.relay", 7), heard("govkernel.relay", 7)] == [True, True]
    now[0] = 31
    assert heard("aiokafka.client", 7)
