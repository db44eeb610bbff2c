import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from agewell.shared.protocol.built_in import built_in_schemas
from benchmarks import memory
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.cost import Cost, in_turns, ratios


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


def test_runs_take_turns_in_alternating_order_after_a_warm_up():
    order = []

    def run(name):
        order.append(name)
        return Cost(wall_s=len(order), processor_s=1)

    costs = in_turns({"one": lambda: run("one"), "two": lambda: run("two")}, rounds=3)
    assert order == ["one", "two", "two", "one", "one", "two", "two", "one"]
    assert [each.wall_s for each in costs["one"]] == [4, 5, 8]
    assert [each.wall_s for each in costs["two"]] == [3, 6, 7]


def test_a_ratio_is_made_of_each_pair():
    ours = [Cost(wall_s=1, processor_s=2), Cost(wall_s=2, processor_s=4)]
    theirs = [Cost(wall_s=3, processor_s=2), Cost(wall_s=2, processor_s=2)]
    found = ratios(ours, theirs)
    assert found["by wall"].values == (3, 1)
    assert found["by processor"].values == (1, 0.5)


def test_mixed_jobs_give_parameters_only_to_operations_that_exist():
    operations = built_in_schemas()
    assert set(memory.PARAMETERS) <= set(operations)
    assert {step["op"] for steps in memory.STEPS for step in steps} <= set(operations)
    for name, schema in operations.items():
        missing = set(schema.parameters.get("required", ())) - set(memory.PARAMETERS.get(name, {}))
        assert not missing, f"{name} needs {missing}"
