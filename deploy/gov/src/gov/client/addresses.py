"""Where the services are: said by the environment, or by the local system's state folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gov.runtime.state import State, state_folder
from gov.runtime.system import SERVICES as RUN_LOCALLY

SERVICES: Final = tuple(service.name for service in RUN_LOCALLY)
WEB: Final = (*SERVICES, "issuer")


class Misconfigured(ValueError):
    """An address, a sign-in or an option can't be used; the message says which, and what could."""


class NotRunning(Exception):
    """No address of a part of the system is known; the message says how to start it, or to give its address."""

    def __init__(self, part: str, variable: str) -> None:
        super().__init__(
            f"{part}: no address is known; start the local system with `gov up`, "
            f"or set {variable} to the address of one that runs elsewhere"
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where each service and the demo issuer answer (http or https), and Kafka's bootstrap servers."""

    web: Mapping[str, str]
    kafka: str | None = None

    def of(self, service: str) -> str:
        """A service's address. Raises NotRunning where none is known."""
        if service not in self.web:
            raise NotRunning(service, _variable(service))
        return self.web[service]


def find_addresses(environment: Mapping[str, str] = os.environ, folder: Path | None = None) -> Addresses:
    """Where the environment says (GOV_<SERVICE>_URL), else where the state folder's system is or was last.

    Raises Misconfigured for an address that is no http or https URL.
    """
    folder = folder or state_folder(environment)
    record = (State(folder).read_runtime() or {}) if folder.exists() else {}
    local: dict[str, str] = record.get("addresses", {})
    web = {name: local[name] for name in WEB if name in local}
    for name in WEB:
        given = environment.get(_variable(name), "").strip()
        if given:
            web[name] = _checked(name, given)
    return Addresses(web, environment.get("GOV_KAFKA_BOOTSTRAP_SERVERS", "").strip() or local.get("kafka"))


def _variable(service: str) -> str:
    return f"GOV_{service.upper()}_URL"


def _checked(name: str, given: str) -> str:
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable or parts.query or parts.fragment:
        raise Misconfigured(f"{_variable(name)}: {given!r} is no address; give one such as https://gov.example/{name}")
    return given.rstrip("/")
