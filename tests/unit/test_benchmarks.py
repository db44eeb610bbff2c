import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, main


def test_the_help_lists_every_benchmark(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for name, text in BENCHMARKS.items():
        assert f"  {name} " in said
        assert text in said


def test_an_unknown_benchmark_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["nosuch"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "no benchmark 'nosuch'" in said
    assert ", ".join(BENCHMARKS) in said


def test_every_module_that_is_a_program_is_listed():
    found = find_spec("benchmarks")
    assert found is not None and found.origin is not None
    programs = {
        path.stem
        for path in Path(found.origin).parent.glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "main"
            for node in ast.parse(path.read_text()).body
        )
    }
    assert programs - {"__main__"} == set(BENCHMARKS)
