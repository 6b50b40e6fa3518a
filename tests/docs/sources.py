"""Reads our own Python, so that documents can say what the code says."""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Final

from pydicom.datadict import keyword_dict

from tests.docs.tables import ROOT

PLACE: Final = "…"
"""Stands for what a sentence is filled in with."""

NEAR: Final = 3
"""Lines before its use in which a sentence that has a name is written."""

_FILLED = re.compile(r"%\.?\d*[sdrfX]")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Said:
    """One call that says something to a peer or a person.

    Attributes
    ----------
    module, function
        Where it is.
    subjects
        What its first argument may be: names of constants, and strings and numbers as text.
    text
        A sentence with ``PLACE`` where something is filled in; empty when there is none.
    """

    module: str
    function: str
    subjects: tuple[str, ...]
    text: str


@cache
def tree(module: ModuleType) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(inspect.getsource(module))


def calls(module: ModuleType, *names: str) -> Iterator[Said]:
    """Every call of one of these names, once for each sentence that it may say.

    The sentence comes after what it is about; where there is but one argument, it is that.
    """
    for function in functions(module):
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or _name(call.func) not in names or not call.args:
                continue
            local = _assigned(function, call.lineno)
            more = [*call.args[1:], *(k.value for k in call.keywords if k.arg == "comment")]
            more = more or call.args
            texts = [text for node in more for text in _texts(node, local)]
            subjects = tuple(dict.fromkeys(_subjects(call.args[0], local)))
            for text in texts or [""]:
                yield Said(module.__name__, function.name, subjects, text)


def functions(module: ModuleType) -> Iterator[Function]:
    """All functions and methods of a module."""
    for node in ast.walk(tree(module)):
        if isinstance(node, Function):
            yield node


def keywords(module: ModuleType, *names: str) -> list[str]:
    """The DICOM keywords that these functions of a module name, in order; all without a name."""
    known = set(keyword_dict)
    found: dict[str, None] = {}
    for node in functions(module) if names else [tree(module)]:
        if names and getattr(node, "name", "") not in names:
            continue
        for part in ast.walk(node):
            word = part.attr if isinstance(part, ast.Attribute) else getattr(part, "value", None)
            if isinstance(word, str) and word in known and word:
                found[word] = None
    return list(found)


def constants(module: ModuleType) -> dict[str, tuple[Any, str]]:
    """Public constants of a module with value and docstring; some stand together over one."""
    found: dict[str, tuple[Any, str]] = {}
    waiting: list[str] = []
    line = 0
    for node in tree(module).body:
        name = _assigned_name(node)
        if node.lineno > line + 1:
            waiting = []
        line = node.end_lineno or node.lineno
        if name is not None and name.isupper() and not name.startswith("_"):
            waiting.append(name)
        elif (text := _docstring(node)) is not None:
            found |= {name: (getattr(module, name), text) for name in waiting}
            waiting = []
        else:
            waiting = []
    return found


def described(cls: type) -> dict[str, tuple[Any, str]]:
    """A dataclass' fields with default and description, from either way of describing them."""
    defaults = {name: f.default for name, f in cls.__dataclass_fields__.items()}  # type: ignore[attr-defined]
    texts: dict[str, str] = {}
    doc = inspect.getdoc(cls) or ""
    listed = doc.partition("Attributes\n----------\n")[2]
    for names, text in re.findall(r"^(\w[\w, ]*)\n((?:    .+\n?)+)", listed, re.MULTILINE):
        texts |= dict.fromkeys(names.split(", "), " ".join(text.replace("``", "`").split()))
    (body,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(body, ast.ClassDef)
    for node, after in zip(body.body, body.body[1:], strict=False):
        name, text = _assigned_name(node), _docstring(after)
        if name is not None and text is not None:
            texts[name] = text
    return {name: (default, texts.get(name, "")) for name, default in defaults.items()}


@cache
def everything_said() -> frozenset[str]:
    """All strings of the rooms that answer peers and write the log, but for docstrings."""
    found: set[str] = set()
    for room in ("dicom_listener", "monitor", "segmentation"):
        for path in sorted((ROOT / room).glob("*.py")):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            told = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            for node in nodes:
                if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in told:
                    found |= {_FILLED.sub(PLACE, text) for text in _texts(node, {})}
    return frozenset(found)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _assigned_name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return None


def _docstring(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).replace("``", "`").split())
    return None


def _assigned(function: Function, line: int) -> dict[str, list[ast.expr]]:
    """What each local name may be at a line."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or not 0 < line - node.lineno <= NEAR:
            continue
        pairs = [(target, node.value) for target in node.targets]
        (target, value), *_ = pairs
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for name, value in pairs:
            found.setdefault(_name(name), []).append(value)
    return found


def _subjects(node: ast.expr, local: dict[str, list[ast.expr]]) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.Name) and node.id in local:
        for value in local[node.id]:
            yield from _subjects(value, {})
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.IfExp):
        yield from _subjects(node.body, local)
        yield from _subjects(node.orelse, local)


def _texts(node: ast.expr, local: dict[str, list[ast.expr]]) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (str(v.value) if isinstance(v, ast.Constant) else PLACE for v in node.values)
        yield "".join(parts)
    elif isinstance(node, ast.Name | ast.Attribute):
        for value in local.get(_name(node), ()):
            yield from _texts(value, {})
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, local)
        yield from _texts(node.orelse, local)
