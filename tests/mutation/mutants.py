"""Small changes of a module's source, each of which its tests should notice: what there are, and how one is made."""

import ast
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Change: TypeAlias = tuple[str, ast.AST]
"""How a change is called, and the node in place of the one that is changed."""

COMPARISONS: Final[Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: Final[Mapping[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
TWINS: Final = {"any": "all", "all": "any", "max": "min", "min": "max"}


@dataclass(frozen=True)
class Mutant:
    """A change: at which node of the module, counted in the order of `ast.walk`, and which of its changes."""

    module: str
    node: int
    change: int
    line: int
    function: str
    what: str


def mutants_of(module: str, source: str, members: Mapping[str, Sequence[str]]) -> list[Mutant]:
    """Every change of a module; `members` are the names of its enumerations' members."""
    tree = ast.parse(source)
    functions = dict(_functions(tree))
    left_alone = set(_left_alone(tree))
    return [
        Mutant(module, number, change, node.lineno, functions[node], f"{_text(node)}  ->  {name}")
        for number, node in enumerate(ast.walk(tree))
        if node in functions and node not in left_alone
        for change, (name, _) in enumerate(_changes(node, members))
        if isinstance(node, ast.expr | ast.stmt | ast.pattern)
    ]


def mutated(source: str, mutant: Mutant, members: Mapping[str, Sequence[str]]) -> ast.Module:
    """The module with a change made."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[mutant.node]
    _, instead = list(_changes(node, members))[mutant.change]
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, instead)
            elif isinstance(value, list) and node in value:
                value[value.index(node)] = instead
    return ast.fix_missing_locations(tree)


def _functions(tree: ast.AST, name: str = "") -> Iterator[tuple[ast.AST, str]]:
    """The nodes inside of functions, with the function's name: what is declared is for types and schemas to check."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef(body=body):
                yield from ((each, f"{name}{node.name}") for statement in body for each in ast.walk(statement))
            case ast.ClassDef():
                yield from _functions(node, f"{name}{node.name}.")
            case _:
                pass


def _left_alone(tree: ast.AST) -> Iterator[ast.AST]:
    """What says what cannot happen, and text: what refusals say in words is no decision."""
    for node in ast.walk(tree):
        match node:
            case ast.Assert() | ast.JoinedStr():
                yield from ast.walk(node)
            case ast.Raise(exc=ast.Call() as call):
                for argument in (*call.args, *call.keywords):
                    yield from ast.walk(argument)
            case ast.Call(func=ast.Name(id="assert_never")):
                yield from ast.walk(node)
            case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never")) | ast.Constant()):
                yield node
            case ast.AnnAssign(annotation=annotation):
                yield from ast.walk(annotation)
            case _:
                pass


def _changes(node: ast.AST, members: Mapping[str, Sequence[str]]) -> Iterator[Change]:
    """What a node can be changed to."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for place, operator in enumerate(ops):
                for other in COMPARISONS[type(operator)]:
                    changed = [*ops[:place], other(), *ops[place + 1 :]]
                    yield _as(ast.Compare(left, changed, comparators))
        case ast.BoolOp(op=operator, values=values):
            yield _as(ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values))
            for place in range(len(values)):
                others = [*values[:place], *values[place + 1 :]]
                yield _as(others[0] if len(others) == 1 else ast.BoolOp(operator, others))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _as(operand)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in ARITHMETIC:
            yield _as(ast.BinOp(left, ARITHMETIC[type(operator)](), right))
        case ast.If(test=test, body=body, orelse=orelse):
            if not isinstance(test, ast.Compare | ast.UnaryOp):
                yield "if not", ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
            yield "if never", ast.If(ast.Constant(False), body, orelse)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield _as(body)
            yield _as(orelse)
        case ast.Constant(value=bool() as value):
            yield _as(ast.Constant(not value))
        case ast.Constant(value=int() as value):
            yield _as(ast.Constant(value + 1))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in TWINS:
            yield _as(ast.Call(ast.Name(TWINS[name], ast.Load()), args, keywords))
        case ast.Call(func=ast.Name(id="sorted"), args=[arg, *_]):
            yield _as(ast.Call(ast.Name("tuple", ast.Load()), [arg], []))
        case ast.Attribute(value=ast.Name(id=enumeration), attr=member, ctx=ast.Load()) if enumeration in members:
            named = members[enumeration]
            if member in named:
                other_member = named[(named.index(member) + 1) % len(named)]
                yield _as(ast.Attribute(ast.Name(enumeration, ast.Load()), other_member, ast.Load()))
        case ast.Return(value=ast.Tuple(elts=[_, *_])):
            yield "return ()", ast.Return(ast.Tuple([], ast.Load()))
        case ast.Return(value=ast.Call() as call) if not isinstance(call.func, ast.Name) or call.func.id[0] == "_":
            yield "return None", ast.Return(ast.Constant(None))
        case ast.Raise() | ast.AugAssign() | ast.Expr(value=ast.Call()) | ast.Continue() | ast.Break():
            yield "pass", ast.Pass()
        case ast.Tuple(elts=elements, ctx=ast.Load()) | ast.Set(elts=elements) if len(elements) > 1:
            for place, element in enumerate(elements):
                if isinstance(element, ast.Starred):
                    others = [*elements[:place], *elements[place + 1 :]]
                    yield _as(ast.Set(others) if isinstance(node, ast.Set) else ast.Tuple(others, ast.Load()))
        case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
            for place, generator in enumerate(node.generators):
                for condition in generator.ifs:
                    fewer_conditions = copy.copy(node)
                    fewer_conditions.generators = list(node.generators)
                    fewer_conditions.generators[place] = ast.comprehension(
                        generator.target, generator.iter, [each for each in generator.ifs if each is not condition], 0
                    )
                    yield _as(fewer_conditions)
        case ast.MatchOr(patterns=patterns):
            for place in range(len(patterns)):
                fewer = [*patterns[:place], *patterns[place + 1 :]]
                yield _as(fewer[0] if len(fewer) == 1 else ast.MatchOr(fewer))
        case ast.Match(subject=subject, cases=cases):
            for place, case in enumerate(cases):
                if case.guard is not None:
                    for name, guard in (("without", None), ("never", ast.Constant(False))):
                        other_case = ast.match_case(case.pattern, guard, case.body)
                        yield (
                            f"case {_text(case.pattern)} {name} its guard",
                            ast.Match(subject, [*cases[:place], other_case, *cases[place + 1 :]]),
                        )
        case _:
            pass


def _as(node: ast.AST) -> Change:
    return _text(node), node


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).splitlines()[0][:160]
