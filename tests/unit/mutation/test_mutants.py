"""What a change of a decider can be, and that it is made where it is said to be."""

import ast
from typing import Any, Final

from tests.mutation.mutants import mutants_of, mutated

SOURCE: Final = '''
"""A module, whose declarations are left alone."""
LIMIT = 3

def decide(number, choice):
    """Its text, too."""
    assert number >= 0, "a number"
    match choice:
        case "yes" | "no" if number > LIMIT:
            raise ValueError("too many" if number > 4 else "many")
    return (number + 1, *([Choice.YES] if choice and number else []))
'''
MEMBERS: Final = {"Choice": ["YES", "NO"]}


def changed(what: str) -> Any:
    """The function with the change of that name made."""
    (mutant,) = [each for each in mutants_of("module", SOURCE, MEMBERS) if each.what.endswith(what)]
    assert mutant.function == "decide"
    scope: dict[str, Any] = {"Choice": type("Choice", (), {"YES": "YES", "NO": "NO"})}
    exec(compile(mutated(SOURCE, mutant, MEMBERS), "module", "exec"), scope)
    return scope["decide"]


def test_every_kind_of_change_is_there_once_and_what_says_what_cannot_happen_is_left_alone() -> None:
    found = [each.what.partition("  ->  ")[2] for each in mutants_of("module", SOURCE, MEMBERS)]
    assert sorted(found) == sorted(
        [
            "case 'yes' | 'no' without its guard",
            "case 'yes' | 'no' never its guard",
            "return ()",
            "(number + 1,)",
            "'no'",
            "'yes'",
            "number >= LIMIT",
            "number <= LIMIT",
            "pass",
            "number - 1",
            "[Choice.YES]",
            "[]",
            "2",
            "choice or number",
            "number",
            "choice",
            "Choice.NO",
        ]
    )


def test_a_change_is_made_and_nothing_else() -> None:
    assert changed("number - 1")(2, "yes") == (1, "YES")
    assert changed("Choice.NO")(2, "yes") == (3, "NO")
    assert changed("return ()")(2, "yes") == ()
    assert changed("never its guard")(9, "yes") == (10, "YES")


def test_a_mutant_is_the_same_each_time() -> None:
    for mutant in mutants_of("module", SOURCE, MEMBERS):
        first, second = (ast.dump(mutated(SOURCE, mutant, MEMBERS)) for _ in range(2))
        assert first == second != ast.dump(ast.parse(SOURCE))
