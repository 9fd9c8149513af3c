import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PythonFiles = Callable[..., list[Path]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def parameters(function: Function) -> int:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len([arg for arg in named if arg.arg not in ("self", "cls")]) + bool(given.vararg) + bool(given.kwarg)


def test_no_file_is_longer_than_400_lines(python_files: PythonFiles, root: Path) -> None:
    long = {
        str(path.relative_to(root)): lines
        for path in python_files("src", "tests", "tools", "bench")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 400
    }
    assert long == {}


def test_no_function_is_longer_than_60_lines(python_files: PythonFiles, root: Path) -> None:
    long = {
        f"{path.relative_to(root)}:{function.lineno} {function.name}": lines
        for path in python_files("src", "tests", "tools", "bench")
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > 60
    }
    assert long == {}


def test_no_function_takes_more_than_8_parameters(python_files: PythonFiles, root: Path) -> None:
    wide = {
        f"{path.relative_to(root)}:{function.lineno} {function.name}": count
        for path in python_files("src", "tests", "tools", "bench")
        for function in functions(path)
        if (count := parameters(function)) > 8
    }
    assert wide == {}


def test_the_doorstep_of_every_room_holds_a_docstring_only(root: Path) -> None:
    package = root / "src" / "maskwright"
    rooms = [path for path in package.rglob("__init__.py") if path.parent != package]
    assert len(rooms) >= 14
    for room in rooms:
        module = ast.parse(room.read_text(encoding="utf-8"))
        assert ast.get_docstring(module), f"{room} says nothing"
        assert len(module.body) == 1, f"{room} holds code"


def test_every_folder_of_the_package_is_a_room_that_says_what_it_is(root: Path) -> None:
    folders = {path.parent for path in (root / "src" / "maskwright").rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("word", ["print", "breakpoint", "eval", "exec", "input"])
def test_src_never_calls(word: str, python_files: PythonFiles, root: Path) -> None:
    calls = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in python_files("src")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == word
    ]
    assert calls == []


def test_src_never_imports_pickle_and_never_swallows_every_error(python_files: PythonFiles, root: Path) -> None:
    faults = []
    for path in python_files("src"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            faults += [
                f"{where} imports {name}" for name in modules if name.split(".")[0] in ("pickle", "shelve", "dill")
            ]
            if isinstance(node, ast.ExceptHandler):
                silent = all(isinstance(step, ast.Pass) for step in node.body)
                broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
                if node.type is None or (broad and silent):
                    faults.append(f"{where} swallows every error")
    assert faults == []


def test_torch_load_is_always_weights_only(python_files: PythonFiles, root: Path) -> None:
    for path in python_files("src"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given.get("weights_only") == "True", f"{path.relative_to(root)}:{node.lineno}"
