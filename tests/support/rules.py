"""The house's rules that no linter sees. Each is a function from the root of a checkout to what is wrong there.

A complaint begins with the file, and says how to put it right.
"""

import ast
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FILES_OF_A_SERVICE: Final = (
    "README.md",
    "pyproject.toml",
    "src/{service}/__init__.py",
    "src/{service}/__main__.py",
    "src/{service}/domain/__init__.py",
    "src/{service}/application/__init__.py",
    "src/{service}/application/reactions.py",
    "src/{service}/adapters/__init__.py",
    "src/{service}/adapters/queries.py",
    "src/{service}/entrypoints/__init__.py",
    "src/{service}/entrypoints/api.py",
    "src/{service}/entrypoints/processes.py",
    "src/{service}/entrypoints/policy.toml",
)
STRAY_NAMES: Final = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "lib", "tools"})
IMPURE_MODULES: Final = frozenset(
    [
        "asyncio",
        "concurrent",
        "glob",
        "http",
        "importlib",
        "inspect",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "platform",
        "random",
        "secrets",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "warnings",
    ]
)
IMPURE_CALLS: Final = frozenset({"now", "utcnow", "today", "uuid1", "uuid4", "getnode", "getenv"})
IMPURE_BUILTINS: Final = frozenset({"open", "input", "print", "exec", "eval", "__import__", "globals", "breakpoint"})
FOREIGN_ADDRESSES: Final = (
    (re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work)/"), "a path of one machine"),
    (re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host"), "an address of a package registry"),
    (
        re.compile(
            r"https?://[\w.-]*(?:pypi|pythonhosted|artifactory|nexus|registry|mirror|maven)[\w.-]*", re.IGNORECASE
        ),
        "an address of a package registry",
    ),
)
GENERATED_FOLDERS: Final = frozenset(
    {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".gatehouse"}
)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def _services(root: Path) -> list[Path]:
    return sorted(path for path in (root / "services").glob("*") if path.is_dir())


def _sources(root: Path) -> Iterator[Path]:
    for pattern in ("services/*/src", "shared/src", "contracts/src", "deploy/*/src"):
        for folder in sorted(root.glob(pattern)):
            yield from sorted(folder.rglob("*.py"))


def _domains(root: Path) -> Iterator[tuple[str, Path]]:
    """Every module of a domain, with the name of its service; the kernel's domain counts as one."""
    for service in _services(root):
        for path in sorted((service / "src" / service.name / "domain").rglob("*.py")):
            yield service.name, path
    for path in sorted((root / "shared/src/govkernel/domain").rglob("*.py")):
        yield "govkernel", path


def _tracked(root: Path) -> Iterator[Path]:
    if (root / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
        paths = [root / name for name in listed.decode().split("\0") if name]
    else:
        paths = [path for path in root.rglob("*") if not GENERATED_FOLDERS & set(path.parts)]
    yield from (path for path in sorted(paths) if path.is_file() and not path.is_symlink())


def every_service_has_the_same_files(root: Path) -> list[str]:
    """The same file name means the same thing in every service, so every service has them all.

    A module that serves many things may be a package of the same name, with one module for each of them.
    """
    return [
        f"services/{service.name}/{wanted}: is missing; every service has it"
        for service in _services(root)
        for wanted in (name.format(service=service.name) for name in FILES_OF_A_SERVICE)
        if not (service / wanted).exists() and not (service / wanted).with_suffix("").is_dir()
    ]


def a_domain_knows_no_clock_no_chance_and_no_surroundings(root: Path) -> list[str]:
    """Who, when and what arrive with the command, or deciding the same twice would not give the same."""
    found: list[str] = []
    for _, path in _domains(root):
        for node in ast.walk(_tree(path)):
            named = ""
            if isinstance(node, ast.Import):
                named = next((each.name for each in node.names if each.name.split(".")[0] in IMPURE_MODULES), "")
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                if module.split(".")[0] in IMPURE_MODULES:
                    named = module
                elif module == "uuid":
                    named = next((each.name for each in node.names if each.name in IMPURE_CALLS), "")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                named = f"{node.func.attr}()" if node.func.attr in IMPURE_CALLS else ""
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                named = f"{node.func.id}()" if node.func.id in IMPURE_BUILTINS else ""
            if named:
                assert isinstance(node, ast.stmt | ast.expr)
                found.append(f"{path.relative_to(root)}:{node.lineno}: {named}; let it arrive with the command")
    return found


def a_domain_imports_only_its_own_language(root: Path) -> list[str]:
    """The standard library, the kernel's domain, its own events and its own modules, and nothing else."""
    found: list[str] = []
    for service, path in _domains(root):
        own = {f"{service}.domain", "govkernel.domain", f"govevents.{service}"}
        if service == "govkernel":
            own = {"govkernel.domain", "govevents.values"}
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Import):
                modules = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
                if modules == ["govevents"]:
                    modules = [f"govevents.{each.name}" for each in node.names]
            else:
                continue
            found.extend(
                f"{path.relative_to(root)}:{node.lineno}: imports {module}; a domain imports the standard library, "
                f"{', '.join(sorted(own))}"
                for module in modules
                # _typeshed is what type checkers call the standard library's own annotations.
                if module.split(".")[0] not in sys.stdlib_module_names | {"_typeshed"}
                and not any(module == each or module.startswith(f"{each}.") for each in own)
            )
    return found


def nothing_that_is_recorded_is_a_float(root: Path) -> list[str]:
    """A ledger that rounds is no ledger: neither contracts nor domains know floats."""
    paths = [*sorted((root / "contracts/src").rglob("*.py")), *(path for _, path in _domains(root))]
    return [
        f"{path.relative_to(root)}:{node.lineno}: a float; use Decimal"
        for path in paths
        for node in ast.walk(_tree(path))
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]


def every_event_has_a_golden_sample(root: Path) -> list[str]:
    """An event's every version is shown by a document that all later readers must read."""
    found: list[str] = []
    for path in sorted((root / "contracts/src/govevents").glob("*.py")):
        for node in _tree(path).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "event"):
                    continue
                service = ast.literal_eval(decorator.args[0])
                version = next(ast.literal_eval(each.value) for each in decorator.keywords if each.arg == "version")
                found.extend(
                    f"contracts/{folder}/{service}.{node.name}.v{version}.json: is missing; run `make schemas`"
                    for folder in ("samples", "schemas")
                    if not (root / "contracts" / folder / f"{service}.{node.name}.v{version}.json").exists()
                )
    return found


def no_module_is_a_drawer(root: Path) -> list[str]:
    """A module is named after what it is about, not after having nowhere else to go."""
    return [
        f"{path.relative_to(root)}: name it after what it is about, or move each part to where it belongs"
        for path in _tracked(root)
        if path.suffix == ".py" and (path.stem in STRAY_NAMES or path.parent.name in STRAY_NAMES)
    ]


def _speaks_of(subject: ast.expr, names: frozenset[str]) -> bool:
    parts = subject.elts if isinstance(subject, ast.Tuple) else [subject]
    return any(isinstance(part, ast.Name) and part.id in names for part in parts)


def every_match_on_commands_and_events_ends_in_assert_never(root: Path) -> list[str]:
    """A command or event that decide or evolve did not think of must fail the type check, not pass by."""
    found: list[str] = []
    for _, path in _domains(root):
        functions = [
            node
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.FunctionDef) and node.name.lstrip("_").split("_")[0] in {"decide", "evolve"}
        ]
        for node in (inner for function in functions for inner in ast.walk(function)):
            if not (isinstance(node, ast.Match) and _speaks_of(node.subject, frozenset({"command", "event"}))):
                continue
            last = node.cases[-1]
            irrefutable = last.guard is None and isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
            if not irrefutable or not any(
                isinstance(call, ast.Call) and ast.unparse(call.func) == "assert_never"
                for statement in last.body
                for call in ast.walk(statement)
            ):
                found.append(f"{path.relative_to(root)}:{node.lineno}: end this match with `case _: assert_never(...)`")
    return found


def _names_in(expression: ast.expr | None) -> list[str]:
    return [] if expression is None else [node.id for node in ast.walk(expression) if isinstance(node, ast.Name)]


def _aliases(tree: ast.Module) -> dict[str, list[str]]:
    """What each name of a union, `Command: TypeAlias = A | B` or `Command = A | B`, stands for."""
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = _names_in(node.value)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _names_in(node.value)
    return found


def _refusals(trees: dict[Path, ast.Module]) -> dict[str, tuple[Path, int]]:
    """Every class that descends from Refusal, by name; ancestors are followed over the modules given."""
    classes = {
        node.name: (path, node) for path, tree in trees.items() for node in tree.body if isinstance(node, ast.ClassDef)
    }
    refusals = {"Refusal", "NotKnownYet"}
    while True:
        more = {
            name
            for name, (_, node) in classes.items()
            if name not in refusals and any(base in refusals for each in node.bases for base in _names_in(each))
        }
        if not more:
            break
        refusals |= more
    return {name: (path, node.lineno) for name, (path, node) in classes.items() if name in refusals}


def an_aggregate_is_told_in_one_order(root: Path) -> list[str]:
    """States, commands, refusals, decide, evolve, and the aggregate at the end: a reader finds each at once."""
    found: list[str] = []
    for service, path in _domains(root):
        if service == "govkernel":
            continue
        tree = _tree(path)
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "decide" not in functions:
            continue
        where = path.relative_to(root)
        if "evolve" not in functions:
            found.append(f"{where}: decides, but has no evolve")
            continue
        aliases = _aliases(tree)
        lines = {node.name: node.lineno for node in tree.body if isinstance(node, ast.ClassDef)}
        arguments = functions["decide"].args.args
        spoken = [
            [
                name
                for each in _names_in(argument.annotation)
                for name in (each, *aliases.get(each, ()))
                if name in lines
            ]
            for argument in arguments[:2]
        ]
        commands, states = spoken
        refusals = list(_refusals({path: tree}))
        aggregates = [
            node.lineno
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func).partition("[")[0] == "Aggregate"
        ]
        order = [
            ("its states", [lines[name] for name in states]),
            ("its commands", [lines[name] for name in commands if name not in states]),
            ("its refusals", [lines[name] for name in refusals]),
            ("decide", [functions["decide"].lineno]),
            ("evolve", [functions["evolve"].lineno]),
            ("the aggregate", aggregates),
        ]
        if not aggregates:
            found.append(f"{where}: has no `NAME: Final = Aggregate(...)` at its end")
        present = [(what, places) for what, places in order if places]
        found.extend(
            f"{where}:{min(places)}: {what} must come after {before}"
            for (before, earlier), (what, places) in itertools.pairwise(present)
            if min(places) < max(earlier)
        )
    return found


def every_refusal_is_declared_at_the_edge(root: Path) -> list[str]:
    """The domain names a refusal, the edge gives it a status: one that the edge doesn't know is not documented."""
    found: list[str] = []
    for service in _services(root):
        source = service / "src" / service.name
        edge = source / "entrypoints"
        trees = {
            path: _tree(path) for layer in ("domain", "application") for path in sorted((source / layer).rglob("*.py"))
        }
        known = {
            node.id if isinstance(node, ast.Name) else node.attr
            for path in (edge / "api.py", *sorted((edge / "api").glob("*.py")))
            if path.exists()
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Name | ast.Attribute)
        }
        found.extend(
            f"{path.relative_to(root)}:{line}: {name} has no place in entrypoints/api; declare it with its status"
            for name, (path, line) in _refusals(trees).items()
            if name not in known
        )
    return found


def a_read_model_has_a_file_of_its_own(root: Path) -> list[str]:
    """One pure fold per read model, one file each."""
    found: list[str] = []
    for service in _services(root):
        for path in sorted((service / "src" / service.name).rglob("*.py")):
            places = [
                node.lineno
                for node in ast.walk(_tree(path))
                if isinstance(node, ast.Call) and ast.unparse(node.func).partition("[")[0] == "ReadModel"
            ]
            if len(places) > 1:
                found.append(f"{path.relative_to(root)}:{places[1]}: a second read model; give it a file of its own")
    return found


def nothing_names_a_machine_or_a_registry(root: Path) -> list[str]:
    """What is here works anywhere: no path of one machine, and no address that packages come from."""
    found: list[str] = []
    for path in _tracked(root):
        # The rule and its own tests have to name what they refuse.
        if path.name in {"rules.py", "test_rules.py"} and "tests" in path.parts:
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found.extend(
            f"{path.relative_to(root)}:{number}: {what}; leave it to the machine's own settings"
            for number, line in enumerate(text.splitlines(), start=1)
            for pattern, what in FOREIGN_ADDRESSES
            if pattern.search(line)
        )
    return found


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def what_others_call_says_what_it_is_for(root: Path) -> list[str]:
    """Public modules, classes and functions have docstrings; those of one's own don't need any."""
    found: list[str] = []
    for path in _sources(root):
        if path.name == "__init__.py" and not path.read_text("utf-8").strip():
            continue
        tree = _tree(path)
        if not ast.get_docstring(tree):
            found.append(f"{path.relative_to(root)}: say in a docstring what this module is")
        found.extend(
            f"{path.relative_to(root)}:{node.lineno}: say in a docstring what {node.name} is for"
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and _is_public(node.name)
            and not ast.get_docstring(node)
        )
    return found


RULES: Final = (
    every_service_has_the_same_files,
    a_domain_knows_no_clock_no_chance_and_no_surroundings,
    a_domain_imports_only_its_own_language,
    nothing_that_is_recorded_is_a_float,
    every_event_has_a_golden_sample,
    no_module_is_a_drawer,
    every_match_on_commands_and_events_ends_in_assert_never,
    an_aggregate_is_told_in_one_order,
    every_refusal_is_declared_at_the_edge,
    a_read_model_has_a_file_of_its_own,
    nothing_names_a_machine_or_a_registry,
    what_others_call_says_what_it_is_for,
)
