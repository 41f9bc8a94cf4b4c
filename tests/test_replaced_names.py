"""What a test replaces by its name is there: a rename does not show up there until the test runs."""

import ast
import pkgutil
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return what is imported anywhere in a file, by the name that it has there."""
    names = dict[str, str]()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=imported, level=0):
                names |= {one.asname or one.name: f"{module}.{one.name}" for one in imported}
            case ast.Import(names=imported):
                names |= {one.asname: one.name for one in imported if one.asname}
    return names


def _replaced(tree: ast.AST) -> Iterator[tuple[int, str]]:
    imported = _imported(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="setattr" | "delattr"),
                args=[ast.Name(id=thing), ast.Constant(value=str(name)), *_],
            ) if imported.get(thing, "").startswith(("jobkit.", "workers.")):
                yield node.lineno, f"{imported[thing]}.{name}"
            case ast.Call(
                func=ast.Attribute(attr="setattr" | "delattr" | "patch"), args=[ast.Constant(value=str(name)), *_]
            ):
                yield node.lineno, name


def test_what_tests_replace_by_name_exists() -> None:
    missing = []
    seen = 0
    for path in sorted(TESTS.rglob("*.py")):
        for line, name in _replaced(ast.parse(path.read_text(encoding="utf-8"))):
            seen += 1
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError) as error:
                missing.append(f"{path.relative_to(TESTS)}:{line}: {name} ({error})")
    assert not missing, "\n".join(missing)
    assert seen > 10, "the names that tests replace are no longer found"
