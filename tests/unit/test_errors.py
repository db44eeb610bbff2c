import dataclasses
import inspect
import json
import pickle

import pytest

from agewell.shared import errors

LEAVES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.AgewellError) and dataclasses.fields(cls)
]


def example(cls):
    kinds = {str: "value", "str": "value", int: 5, "int": 5, float: 0.5, "float": 0.5}
    values = [kinds.get(field.type, [{"message": "first"}]) for field in dataclasses.fields(cls)]
    return cls(*values)


@pytest.mark.parametrize("cls", LEAVES)
def test_every_error_survives_json_and_pickle(cls):
    error = example(cls)
    again = cls(*json.loads(json.dumps(error.args)))
    assert str(again) == str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("cls", LEAVES)
def test_every_error_is_in_the_tree_of_the_module(cls):
    assert cls.__name__ in errors.__doc__


@pytest.mark.parametrize("cls", LEAVES)
def test_every_error_is_somebodys_fault(cls):
    branches = (
        errors.CallerError,
        errors.PassingError,
        errors.InternalError,
        errors.AllItemsFailedError,
    )
    assert sum(issubclass(cls, branch) for branch in branches) == 1
