"""Every finding that the code can give, read from its source without running it.

What counts are the calls of `finding`. Where a code is not written out there, it is followed to where it is: to the
constant of that name, the literal that is looped over or looked up, the arguments of the function's callers, the fields
of a class's instances. A code that cannot be followed is an error: it is to be written so that it can be read.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNKNOWN = "…"
"""Stands for what is known only at run time."""
OPEN = frozenset({f"lint.{UNKNOWN}"})
"""Codes of which the source says only how they begin."""
INTERNAL = frozenset({"x509.reason"})
"""Codes that nobody is told: only the sentences of these findings are used."""

_DEEPEST = 6
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnclearCodeError(Exception):
    """A code cannot be read from the source; the message says where."""


@dataclass(frozen=True, order=True)
class Given:
    """A finding as one place gives it."""

    code: str
    severity: str
    sentence: str
    room: str
    """The folder whose code names it, such as `services/intake`."""


@dataclass(frozen=True)
class Scope:
    """A function, or the top level of a module."""

    path: Path
    module: ast.Module
    function: _Function | None = None

    @property
    def top(self) -> "Scope":
        """The top level of the same module."""
        return Scope(self.path, self.module)

    @property
    def room(self) -> str:
        """The module's folder; of one directly in `shared` its own name."""
        return "/".join(self.path.with_suffix("").parts[:2])


@dataclass(frozen=True)
class Text:
    """What an expression can be, and where that is written."""

    text: str
    room: str


_Place = tuple[ast.expr, Scope]
"""An expression, and where it is to be understood."""
_Meaning = dict[str, _Place]
"""What some names, or fields such as `kind.code`, stand for together."""
_Binding = dict[tuple[Scope, str], _Place]
"""The same, for the names of several scopes."""


@dataclass(frozen=True)
class _Reading:
    """In which circumstances an expression is read."""

    scope: Scope
    binding: _Binding
    is_sentence: bool = False
    """Codes are followed to their end; of a sentence only the words matter, and not what callers fill in."""
    is_placeholder: bool = False
    """Between the braces of an f-string of a sentence."""
    depth: int = 0


def read_findings(root: Path = ROOT, folders: Iterable[str] = ("services", "shared")) -> list[Given]:
    """Every finding that the code under these folders can give, sorted.

    Raises:
        UnclearCodeError: a code cannot be followed to where it is written.
    """
    program = Program()
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            tree = ast.parse(path.read_text())
            program.add(Scope(path.relative_to(root), tree))
    return sorted(given for given in set(program.given()) if given.code not in INTERNAL)


@dataclass(frozen=True)
class Program:
    """The source, indexed as far as names have to be followed."""

    calls: dict[str, list[tuple[ast.Call, Scope]]] = field(default_factory=lambda: defaultdict(list))
    classes: dict[str, tuple[ast.ClassDef, Scope]] = field(default_factory=dict)
    modules: dict[str, Scope] = field(default_factory=dict)

    def add(self, module: Scope) -> None:
        """Take up a source file."""
        self.modules[".".join(module.path.with_suffix("").parts)] = module
        self._index(module.module, module)

    def _index(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.ClassDef(name=name):
                self.classes[name] = node, scope
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                scope = Scope(scope.path, scope.module, node)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                self.calls[name].append((node, scope))
        for child in ast.iter_child_nodes(node):
            self._index(child, scope)

    def given(self) -> Iterator[Given]:
        """Every finding that `finding` is asked for; one whose code is another finding's is counted there."""
        for call, scope in self.calls["finding"]:
            if not call.args:
                raise UnclearCodeError(f"{scope.path}:{call.lineno}: write the code as the first argument")
            code = call.args[0]
            if isinstance(code, ast.Attribute) and code.attr == "code" and not self._alternatives(code, scope):
                continue
            for each in self._given(call, scope):
                if UNKNOWN in each.code and each.code not in OPEN:
                    place = f"{scope.path}:{call.lineno}"
                    raise UnclearCodeError(f"{place}: the code {ast.unparse(code)} cannot be followed")
                yield each

    def _given(self, call: ast.Call, scope: Scope) -> Iterator[Given]:
        code, sentence = call.args[:2]
        severity = next((word.value for word in call.keywords if word.arg == "severity"), ast.Constant("error"))
        for binding in self._bindings(code, scope):
            reading = _Reading(scope, binding)
            readings = product(
                self._texts(code, reading),
                self._texts(severity, reading),
                self._texts(sentence, replace(reading, is_sentence=True)),
            )
            yield from (Given(name.text, degree.text, words.text, name.room) for name, degree, words in readings)

    def _texts(self, node: ast.expr | None, reading: "_Reading") -> list[Text]:
        """Each text that this can be, with `UNKNOWN` for what cannot be told."""
        found: Iterable[Text] = ()
        match node:
            case ast.Constant(value=value):
                found = [Text(str(value), reading.scope.room)]
            case ast.Attribute(value=ast.Name(id="Severity"), attr=name):
                found = [Text(name.lower(), reading.scope.room)]
            case ast.FormattedValue(value=value):
                found = self._texts(value, replace(reading, is_placeholder=reading.is_sentence))
            case ast.JoinedStr(values=parts):
                found = self._joined(parts, reading)
            case ast.BinOp(left=left, op=ast.Add(), right=right) if not _is_number(left) and not _is_number(right):
                found = self._joined((left, right), reading)
            case ast.IfExp(body=body, orelse=other):
                found = [*self._texts(body, reading), *self._texts(other, reading)]
            case ast.Name() | ast.Attribute():
                found = self._followed(node, reading)
            case ast.Call(func=ast.Name(id=name)) if not reading.is_placeholder:
                found = self._returned(name, reading)
        return list(dict.fromkeys(found)) or [Text(UNKNOWN, reading.scope.room)]

    def _joined(self, parts: Iterable[ast.expr], reading: "_Reading") -> Iterator[Text]:
        for row in product(*(self._texts(part, reading) for part in parts)):
            yield Text("".join(each.text for each in row), reading.scope.room)

    def _followed(self, node: ast.Name | ast.Attribute, reading: "_Reading") -> Iterator[Text]:
        if reading.depth == _DEEPEST:
            return
        key = ast.unparse(node)
        if (reading.scope, key) in reading.binding:
            value, scope = reading.binding[reading.scope, key]
            yield from self._texts(value, replace(reading, scope=scope, is_placeholder=False, depth=reading.depth + 1))
            return
        for each in self._alternatives(node, reading.scope):
            value, scope = each[key]
            if not reading.is_placeholder or (isinstance(node, ast.Name) and _is_near(value, scope, reading.scope)):
                yield from self._texts(value, replace(reading, scope=scope, depth=reading.depth + 1))

    def _returned(self, name: str, reading: "_Reading") -> Iterator[Text]:
        """What a function of the same module returns, `None` left out."""
        for function in reading.scope.module.body:
            if isinstance(function, _Function) and function.name == name and reading.depth < _DEEPEST:
                scope = replace(reading.scope, function=function)
                for node in ast.walk(function):
                    if isinstance(node, ast.Return) and not _is_none(node.value):
                        yield from self._texts(node.value, replace(reading, scope=scope, depth=reading.depth + 1))

    def _bindings(self, node: ast.expr, scope: Scope, depth: int = 0) -> list[_Binding]:
        """What the names in this can stand for, to the end; each is one reading of all that stands beside it."""
        bindings: list[_Binding] = [{}]
        for part in ast.walk(node):
            if depth < _DEEPEST and isinstance(part, ast.Name | ast.Attribute):
                more = [
                    each
                    for found in self._alternatives(part, scope)
                    for each in self._deeper(part, found, scope, depth)
                ]
                together = [known | each for known in bindings for each in more if _agree(known, each)]
                bindings = _each_once(together) or bindings
        return bindings

    def _deeper(self, node: ast.expr, found: _Meaning, scope: Scope, depth: int) -> list[_Binding]:
        here = {(scope, key): place for key, place in found.items()}
        value, there = found[ast.unparse(node)]
        return [here | more for more in self._bindings(value, there, depth + 1)]

    def _alternatives(self, node: ast.Name | ast.Attribute, scope: Scope) -> list[_Meaning]:
        """All that this name or field can stand for."""
        found: list[_Meaning] = []
        function = scope.function
        match node:
            case ast.Attribute(value=ast.Name(id=name)) if function is not None:
                found = self._instances(_parameters(function).get(name), name)
            case ast.Name(id=name):
                found = _assigned(function, name, scope, before=node.lineno) if function is not None else []
                if not found and function is not None and name in _parameters(function):
                    found = self._arguments(function, scope)
                elif not found:
                    found = _assigned(scope.module, name, scope.top, before=None) or self._imported(name, scope)
        key = ast.unparse(node)
        return [each for each in found if key in each]

    def _imported(self, name: str, scope: Scope) -> list[_Meaning]:
        """A constant of the module that this one has it from."""
        for node in scope.module.body:
            if isinstance(node, ast.ImportFrom) and any(each.name == name and not each.asname for each in node.names):
                there = self.modules.get(node.module or "")
                return _assigned(there.module, name, there, before=None) if there else []
        return []

    def _arguments(self, function: _Function, scope: Scope) -> list[_Meaning]:
        """What each caller of this function hands over."""
        given = function.args
        names = [each.arg for each in (*given.posonlyargs, *given.args) if each.arg not in ("self", "cls")]
        defaults = dict(zip(reversed([each.arg for each in given.args]), reversed(given.defaults), strict=False))
        defaults |= {each.arg: value for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value}
        kept = {name: (value, scope.top) for name, value in defaults.items()}
        private = function.name.startswith("_")
        callers = [each for each in self.calls[function.name] if not private or each[1].path == scope.path]
        return [kept | _handed_over(call, names, there) for call, there in callers]

    def _instances(self, annotation: ast.expr | None, name: str) -> list[_Meaning]:
        """The fields of each instance that is made of the class with which this parameter is annotated."""
        if not isinstance(annotation, ast.Name) or annotation.id not in self.classes:
            return []
        kinds = [annotation.id, *(kind for kind in self.classes if annotation.id in self._ancestors(kind))]
        body = self.classes[annotation.id][0].body
        fields = [ast.unparse(each.target) for each in body if isinstance(each, ast.AnnAssign) and not each.value]
        made = [_handed_over(call, fields, there) for kind in kinds for call, there in self.calls[kind]]
        constants = [_constants(*self.classes[kind]) for kind in kinds]
        return [{f"{name}.{key}": place for key, place in each.items()} for each in (*made, *constants)]

    def _ancestors(self, kind: str) -> set[str]:
        found: set[str] = set()
        waiting = [kind]
        while waiting:
            bases = self.classes[waiting.pop()][0].bases
            names = {base.id for base in bases if isinstance(base, ast.Name) and base.id in self.classes} - found
            found |= names
            waiting += names
        return found


def _agree(one: _Binding, other: _Binding) -> bool:
    """Whether what both speak of means the same in both: a name stands for one thing at a time."""
    return all(one.get(key, place)[0] is place[0] for key, place in other.items())


def _each_once(bindings: list[_Binding]) -> list[_Binding]:
    return [dict(each) for each in dict.fromkeys(tuple(binding.items()) for binding in bindings)]


def _parameters(function: _Function) -> dict[str, ast.expr | None]:
    """The parameters with their annotations."""
    given = function.args
    return {each.arg: each.annotation for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}


def _handed_over(call: ast.Call, names: list[str], scope: Scope) -> _Meaning:
    by_place = {name: (value, scope) for name, value in zip(names, call.args, strict=False)}
    return by_place | {word.arg: (word.value, scope) for word in call.keywords if word.arg is not None}


def _constants(kind: ast.ClassDef, scope: Scope) -> _Meaning:
    """What the body of a class assigns."""
    found: _Meaning = {}
    for node in kind.body:
        for each in _binders(node):
            for value in each.values(scope):
                found |= _matched(each.target, value, scope)
    return found


@dataclass(frozen=True)
class _Binder:
    """An assignment or a loop."""

    node: ast.stmt | ast.expr
    target: ast.expr
    values: Callable[[Scope], list[ast.expr]]
    """What the target is bound to, one after the other."""

    def is_seen_from(self, line: int) -> bool:
        """Whether it comes before this line; the names of a comprehension end with it."""
        ends = (self.node.end_lineno or 0) if isinstance(self.node, ast.expr) else line
        return self.node.lineno <= line <= ends or isinstance(self.node, ast.NamedExpr)


def _assigned(root: ast.Module | _Function, name: str, scope: Scope, *, before: int | None) -> list[_Meaning]:
    """What the last assignment or loop before this line binds the name to, and what it binds together with it."""
    binders = [each for each in _binders_in(root) if name in _names(each.target)]
    seen = [each for each in binders if before is None or each.is_seen_from(before)]
    if not seen:
        return []
    last = max(seen, key=lambda each: each.node.lineno)
    return [_matched(last.target, value, scope) for value in last.values(scope)]


@cache
def _binders_in(root: ast.Module | _Function) -> list[_Binder]:
    """All of a function, or those at the top of a module."""
    nodes = ast.walk(root) if isinstance(root, _Function) else root.body
    return [each for node in nodes for each in _binders(node)]


def _binders(node: ast.AST) -> Iterator[_Binder]:
    match node:
        case ast.Assign(targets=[ast.Tuple() as target], value=value):
            yield _Binder(node, target, partial(_rows, value))
        case (
            ast.Assign(targets=[target], value=ast.expr() as value)
            | ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.NamedExpr(target=target, value=value)
        ):
            yield _Binder(node, target, lambda _: [value])
        case ast.For(target=target, iter=values):
            yield _Binder(node, target, partial(_elements, values))
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            for each in node.generators:
                yield _Binder(node, each.target, partial(_elements, each.iter))


def _matched(target: ast.expr, value: ast.expr, scope: Scope) -> _Meaning:
    """The names of the target with what stands in their places."""
    match target, value:
        case ast.Name(id=name), _:
            return {name: (value, scope)}
        case ast.Tuple(elts=targets), ast.Tuple(elts=values):
            pairs = zip(targets, values, strict=False)
            return {name: place for each, part in pairs for name, place in _matched(each, part, scope).items()}
        case _:
            return {}


def _names(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _rows(value: ast.expr, scope: Scope) -> list[ast.expr]:
    """What is unpacked: the tuple itself, or each that can be looked up."""
    looked_up = _literal(value.value, scope) if isinstance(value, ast.Subscript) else value
    return looked_up.values if isinstance(looked_up, ast.Dict) else [looked_up]


def _elements(values: ast.expr, scope: Scope) -> list[ast.expr]:
    """What is looped over, where that is written out."""
    match values:
        case ast.Call(func=ast.Attribute(value=inner, attr="items" | "values" as what), args=[]):
            literal = _literal(inner, scope)
            if not isinstance(literal, ast.Dict):
                return []
            pairs = [(key, value) for key, value in zip(literal.keys, literal.values, strict=True) if key]
            return [ast.Tuple([key, value]) if what == "items" else value for key, value in pairs]
    match _literal(values, scope):
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return elements
        case _:
            return []


def _literal(node: ast.expr, scope: Scope) -> ast.expr:
    """The literal that this name stands for, taken out of what is wrapped around it."""
    match node:
        case ast.Name(id=name):
            places = _assigned(scope.function, name, scope, before=None) if scope.function else []
            places = places or _assigned(scope.module, name, scope.top, before=None)
            return _literal(*places[0][name]) if places else node
        case ast.Call(args=[inner], keywords=[]):
            return _literal(inner, scope)
        case _:
            return node


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _is_near(value: ast.expr, scope: Scope, here: Scope) -> bool:
    """Whether what a name stands for is told beside it, or is a constant of the module."""
    return scope == here or isinstance(value, ast.Constant)
