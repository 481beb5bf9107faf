"""Logs: one line an event, as JSON or text, with correlation, causation and stream, and never a secret."""

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
import structlog

SECRET_NAME: Final = re.compile(r"authorization|password|passwd|secret|token|cookie|credential|private", re.IGNORECASE)
SECRET_TEXT: Final = re.compile(
    r"(?P<before>://[^:/@\s]+:)[^@\s]+(?=@)"  # a password in a URL
    r"|(?P<scheme>\bBearer\s+)[\w.~+/=-]+"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+",  # a token by its looks
    re.IGNORECASE,
)
LEVELS: Final = {"warn": "warning", "exception": "error"}
"""Where the method's name is not the level's."""
WITHHELD: Final = "[withheld]"
SAID_AGAIN_AFTER_S: Final = 30.0


_bound: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))


def bind_anew(**facts: str) -> None:
    """Let these facts, and none that were bound before, stand in each line of what follows in this task."""
    _bound.set(facts)


def bind(**facts: str) -> None:
    """Let these facts, too, stand in each line of what follows in this task."""
    _bound.set({**_bound.get(), **facts})


def withhold_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take passwords and tokens out of a line, by their names and by their looks."""
    if _is_harmless(event):
        return event
    return {name: _withheld(name, value) for name, value in event.items()}


def _is_harmless(event: Mapping[str, Any]) -> bool:
    """Whether a line needs no closer look, which takes longer than all else that is done for it: most do not."""
    texts = []
    for name, value in event.items():
        kind = type(value)
        if kind is str:
            if _is_secret(name):
                return False
            texts.append(value)
        elif kind is not int and kind is not float and value is not None:
            return False
    return not _may_look_secret("\n".join(texts))


def _may_look_secret(text: str) -> bool:
    low = text.lower()
    return "://" in low or "bearer" in low or "eyj" in low


def _may_hold_secret(line: bytes) -> bool:
    """As `_may_look_secret`, of a whole line as JSON, which escapes nothing that a secret is known by."""
    low = line.lower()
    return b"://" in low or b"bearer" in low or b"eyj" in low


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def _withheld(name: str, value: Any) -> Any:
    if isinstance(value, str | bytes) and _is_secret(name):
        return WITHHELD
    if isinstance(value, str):
        if _may_look_secret(value):
            return SECRET_TEXT.sub(lambda found: (found["before"] or found["scheme"] or "") + WITHHELD, value)
        return value
    if isinstance(value, dict):
        return {key: _withheld(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_withheld("", inner) for inner in value]
    return value


_encoder = msgspec.json.Encoder(enc_hook=repr)
_renderer_of_anything = structlog.processors.JSONRenderer()


def render_json(logger: Any, method: str, event: MutableMapping[str, Any]) -> bytes:
    """A line as JSON, whatever is in it."""
    try:
        return _encoder.encode(event)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return str(_renderer_of_anything(logger, method, event)).encode()


SayDirectly = Callable[[str, str, Mapping[str, str | float]], bool]
"""Says a line of a logger's name, an event and facts; False where it has to go the usual way."""


class OftenSaid:
    """Says one kind of line, at level info, so often that the steps to it are felt: where it can, without them."""

    def __init__(self, name: str, event: str) -> None:
        self._name = name
        self._event = event
        # Bound once: to assemble a logger for each line takes a third of what a line costs.
        self._logger = logger(name).bind()
        self._say_directly: SayDirectly = getattr(self._logger, "say_directly", lambda *_: False)

    def say(self, **facts: str | float) -> None:
        """Say it with these facts, and with those that are bound, as any logger would."""
        if not self._say_directly(self._name, self._event, facts):
            self._logger.info(self._event, **facts)


@lru_cache(maxsize=1024)
def _are_harmless(names: tuple[str, ...]) -> bool:
    return not any(_is_secret(name) for name in names)


def render_json_text(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """As `render_json`, for the standard library's lines."""
    return render_json(logger, method, event).decode()


class SaidBefore(logging.Filter):
    """Leaves out what a library goes on saying: the same place of its code is heard once in 30 s.

    While Kafka is away, each of its clients says so ten times a second, and buries what we say of it.
    """

    def __init__(self, library: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(library)
        self._monotonic = monotonic
        self._said_at: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be heard."""
        if not super().filter(record):
            return True
        place, now = (record.pathname, record.lineno), self._monotonic()
        if now - self._said_at.get(place, float("-inf")) < SAID_AGAIN_AFTER_S:
            return False
        self._said_at[place] = now
        return True


def configure(*, service: str, log_format: Literal["json", "text"], level: str) -> None:
    """Send this process's lines, and those of the libraries it uses, to standard error."""

    def complete(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # One function, for to call a processor for each of these steps took longer than the steps do.
        event = {**event, **_bound.get(), **event}
        event["level"] = LEVELS.get(method, method)
        event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(logger, method, event)
        if "logger_name" in event:
            # As the standard library's lines have it; structlog takes no value of that name.
            event["logger"] = event.pop("logger_name")
        event["service"] = service
        return withhold_secrets(logger, method, event)

    def say_directly(name: str, event: str, facts: Mapping[str, str | float]) -> bool:
        """Say a line, unless it has to be looked through; what it holds is what `complete` would make of it."""
        line = {
            "event": event,
            **_bound.get(),
            **facts,
            "level": "info",
            "timestamp": datetime.now(UTC),
            "logger": name,
            "service": service,
        }
        if not _are_harmless(tuple(line)):
            return False
        try:
            encoded = _encoder.encode(line)
        except UnicodeEncodeError:
            return False
        if _may_hold_secret(encoded):
            return False
        direct.msg(encoded)
        return True

    as_json = log_format == "json"
    direct = structlog.BytesLogger(sys.stderr.buffer)
    filtering = structlog.make_filtering_bound_logger(level)
    speaks_directly = as_json and logging.getLevelName(level.upper()) <= logging.INFO
    as_text = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    # Our own lines don't pass through the standard library's logging, which was two thirds of what a line cost.
    structlog.configure(
        processors=[complete, render_json if as_json else as_text],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer)
        if as_json
        else structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=type("Direct", (filtering,), {"say_directly": staticmethod(say_directly)})
        if speaks_directly
        else filtering,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), complete],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                render_json_text if as_json else as_text,
            ],
        )
    )
    handler.addFilter(SaidBefore("aiokafka"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # The libraries say each connection and request at info, which the access log has already said.
    for chatty in ("httpx2", "httpcore2", "aiokafka", "alembic", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


def logger(name: str) -> Any:
    """A logger; what is bound stands in each of its lines."""
    return structlog.get_logger(logger_name=name)
