"""A module's mutants on trial: its tests are collected once, and each mutant is tried in a process forked from there."""

import ast
import importlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from tests.mutation.mutants import Mutant

EXAMPLES: Final = 60
"""How many random lives a mutant is tried in."""
LONGEST_S: Final = 300
"""A mutant that runs on for so long has been noticed."""
NOT_NOTICED: Final = 0
NOTICED: Final = 1
NOT_PLANTED: Final = 2
Told = Callable[[Mutant, bool], None]


class Trials:
    """Instead of running the tests, runs them for each mutant until one fails, and tells whether one has."""

    def __init__(self, module: str, trials: Sequence[tuple[Mutant, ast.Module]], jobs: int, told: Told) -> None:
        self._module = module
        self._trials = trials
        self._jobs = jobs
        self._told = told
        self._running: dict[int, Mutant | None] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Let random lives be few."""
        for item in items:
            lives: Any = getattr(item, "cls", None)
            if isinstance(getattr(lives, "settings", None), settings):
                lives.settings = settings(lives.settings, max_examples=EXAMPLES)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try each mutant, once all tests have passed without one."""
        assert session.items and not session.testsfailed, f"{self._module} has no tests that can be collected"
        session.config.pluginmanager.unregister(name="terminalreporter")
        self._begin(session, None, None)
        self._end()
        for mutant, tree in self._trials:
            if len(self._running) == self._jobs:
                self._end()
            self._begin(session, mutant, tree)
        while self._running:
            self._end()
        return True

    def _begin(self, session: pytest.Session, mutant: Mutant | None, tree: ast.Module | None) -> None:
        child = os.fork()
        if child:
            self._running[child] = mutant
            return
        ended = NOT_PLANTED
        try:
            if mutant is not None and tree is not None:
                plant(self._module, mutant.function, tree)
            signal.alarm(LONGEST_S)
            ended = NOTICED
            ended = NOTICED if _some_fails(session) else NOT_NOTICED
        finally:
            os._exit(ended)

    def _end(self) -> None:
        child, status = os.wait()
        ended, mutant = os.waitstatus_to_exitcode(status), self._running.pop(child)
        assert ended != NOT_PLANTED, f"{mutant} can't be planted"
        noticed = ended != NOT_NOTICED
        if mutant is not None:
            self._told(mutant, noticed)
        else:
            assert not noticed, f"the tests of {self._module} must pass before anything is changed"


def plant(module: str, function: str, tree: ast.Module) -> None:
    """Let a function do what it does in another source of its module, wherever it was imported to."""
    codes = dict(_codes(compile(tree, f"<mutant of {module}>", "exec")))
    found: Any = importlib.import_module(module)
    for name in function.split("."):
        found = found.__dict__[name]
    found.__code__ = codes[function]


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each.co_qualname, each
            yield from _codes(each)


def _some_fails(session: pytest.Session) -> bool:
    following = [*session.items[1:], None]
    for item, nextitem in zip(session.items, following, strict=True):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        if session.testsfailed:
            return True
    return False


def try_all(
    module: str, tests: Sequence[Path], trials: Sequence[tuple[Mutant, ast.Module]], jobs: int, told: Told
) -> None:
    """Try the mutants of a module, so many at a time. Raises AssertionError where its tests fail without one."""
    settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")
    # Hypothesis is imported already, and what pytest would say of that would be an error.
    quiet = ("-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", "-p", "no:xdist")
    options = ["-qq", "--tb=no", "--timeout=0", "--no-summary", *quiet]
    code = pytest.main([*options, *map(str, tests)], plugins=[Trials(module, trials, jobs, told)])
    assert code == pytest.ExitCode.OK, f"trying {module}: {code!r}"
