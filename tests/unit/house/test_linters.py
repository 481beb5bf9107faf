"""The linters' rules are in force: each is shown to fail on a violation planted in a small copy of the house."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
PYPROJECT = CHECKOUT / "pyproject.toml"
SETTINGS: dict[str, Any] = tomllib.loads(PYPROJECT.read_text("utf-8"))["tool"]
CONTRACTS: list[dict[str, Any]] = SETTINGS["importlinter"]["contracts"]
SERVICES = ("projects", "approvals", "risks", "reporting", "projections")
LAYERS = ("__main__", "entrypoints", "adapters", "application", "domain")
KERNEL = [
    "processes",
    "http",
    "access",
    "reactions",
    "operations",
    "readmodels",
    "consumer",
    "relay",
    "ledger",
    "postgres",
    "kafka",
    "settings",
    "logging",
    "metrics",
    "tracing",
    "pause",
    "tables",
    "domain",
]

PLANTED: list[tuple[str, str, str]] = [
    ("services", "risks/domain.py", "import projects.domain"),
    ("layers", "risks/domain.py", "import risks.adapters"),
    ("layers", "risks/application.py", "import risks.entrypoints"),
    ("layers", "risks/services.py", ""),
    ("domain", "risks/domain.py", "import pydantic"),
    ("domain", "risks/domain.py", "import random"),
    ("domain", "risks/domain.py", "import govkernel.ledger"),
    ("application", "risks/application.py", "import sqlalchemy"),
    ("application", "risks/application.py", "import govkernel.ledger"),
    ("edges", "risks/adapters.py", "import asyncpg"),
    ("edges", "gov/cli.py", "import aiokafka"),
    ("kafka", "govkernel/relay.py", "import aiokafka"),
    ("kernel", "govkernel/ledger.py", "import govkernel.http"),
    ("kernel", "govkernel/domain.py", "import govkernel.tables"),
    ("kernel", "govkernel/anything.py", ""),
    ("kernel-alone", "govkernel/relay.py", "import risks.domain"),
    ("events-alone", "govevents/event.py", "import govkernel.domain"),
    ("gov", "gov/cli.py", "import approvals.domain"),
]


def run(*command: str, cwd: Path, python_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PYTHONPATH": str(python_path)} if python_path else {})}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def lint_imports(house: Path) -> dict[str, bool]:
    """Which contracts are kept, by their id, in a house of the same shape."""
    entry = "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())"
    done = subprocess.run(
        [sys.executable, "-c", entry, "--config", str(PYPROJECT), "--no-cache"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE))
    assert len(verdicts) == len(CONTRACTS), done.stdout + done.stderr
    return {contract["id"]: verdicts[contract["name"]] == "KEPT" for contract in CONTRACTS}


def write(house: Path, file: str, text: str) -> None:
    path = house / file
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "__init__.py").touch()
    with path.open("a", encoding="utf-8") as opened:
        opened.write(f"{text}\n")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house of the same packages and layers, with nothing in them."""
    for service in SERVICES:
        for layer in LAYERS:
            write(tmp_path, f"{service}/{layer}.py", "")
    for module in KERNEL:
        write(tmp_path, f"govkernel/{module}.py", "")
    write(tmp_path, "govkernel/kafka/reader.py", "import aiokafka")
    write(tmp_path, "govkernel/http.py", "import govkernel.ledger")
    write(tmp_path, "govevents/event.py", "")
    write(tmp_path, "gov/cli.py", "import govkernel.domain")
    return tmp_path


def test_an_empty_house_keeps_every_contract(house: Path) -> None:
    assert all(lint_imports(house).values())


@pytest.mark.parametrize(("contract", "file", "text"), PLANTED)
def test_a_planted_import_breaks_its_contract(house: Path, contract: str, file: str, text: str) -> None:
    write(house, file, text)
    assert not lint_imports(house)[contract]


def test_every_contract_is_shown_to_fail() -> None:
    assert {contract for contract, *_ in PLANTED} == {contract["id"] for contract in CONTRACTS}


def test_the_contracts_speak_of_every_service_there_is() -> None:
    assert {path.name for path in (CHECKOUT / "services").iterdir() if path.is_dir()} == set(SERVICES)


TYPE_ERRORS = {
    "no-untyped-def": "def f(x):\n    return x\n",
    "return-value": "def f() -> int:\n    return 'x'\n",
    "exhaustive-match": (
        "from enum import Enum\n\n\nclass C(Enum):\n    A = 1\n    B = 2\n\n\n"
        "def f(c: C) -> None:\n    match c:\n        case C.A:\n            pass\n"
    ),
    "arg-type": (
        "from typing import assert_never\n\n\ndef f(x: int | str) -> int:\n    match x:\n        case int():\n"
        "            return x\n        case _:\n            assert_never(x)\n"
    ),
    "possibly-undefined": "def f(x: bool) -> int:\n    if x:\n        y = 1\n    return y\n",
    "unreachable": "def f(x: int) -> int:\n    if isinstance(x, str):\n        return 1\n    return x\n",
    "type-arg": "def f(x: list) -> None:\n    del x\n",
}


def test_mypy_refuses_what_it_is_asked_to_refuse(tmp_path: Path) -> None:
    for code, text in TYPE_ERRORS.items():
        (tmp_path / f"{code.replace('-', '_')}.py").write_text(text, encoding="utf-8")
    done = run(
        "mypy", "--config-file", str(PYPROJECT), "--cache-dir", str(tmp_path / "cache"), str(tmp_path), cwd=tmp_path
    )
    for code in TYPE_ERRORS:
        assert re.search(rf"{code.replace('-', '_')}\.py:\d+: error: .*\[{code}\]", done.stdout), done.stdout


STYLE_ERRORS = {
    "T201": "print('x')\n",
    "FIX002": "# TODO: later\n",
    "DTZ005": "from datetime import datetime\n\nX = datetime.now()\n",
    "E722": "try:\n    X = 1\nexcept:\n    X = 2\n",
    "S608": "def f(x: str) -> str:\n    return f'SELECT * FROM t WHERE x = {x}'\n",
    "F401": "import os\n",
    "E501": f"X = '{'x' * 120}'\n",
    "PGH003": "X: int = 'x'  # type: ignore\n",
    "RUF006": "import asyncio\n\n\nasync def f() -> None:\n    asyncio.create_task(asyncio.sleep(1))\n",
    "TID251": "import asyncio\n\n\nasync def f() -> None:\n    await asyncio.wait_for(asyncio.sleep(1), 2)\n",
}


def test_ruff_refuses_what_it_is_asked_to_refuse(tmp_path: Path) -> None:
    folder = tmp_path / "services" / "risks" / "src" / "risks"
    for code, text in STYLE_ERRORS.items():
        write(folder, f"{code.lower()}.py", text)
    done = run("ruff", "check", "--config", str(PYPROJECT), "--output-format", "concise", ".", cwd=tmp_path)
    for code in STYLE_ERRORS:
        assert re.search(rf"{code.lower()}\.py:\d+:\d+: {code} ", done.stdout), (code, done.stdout)
