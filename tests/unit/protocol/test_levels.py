import pytest

from agewell.shared.errors import ParameterError
from agewell.shared.protocol.levels import level_from


@pytest.mark.parametrize(
    ("text", "level"),
    [("urgent", 0), ("high", 2), ("normal", 5), ("low", 7), ("bulk", 9), ("0", 0), ("9", 9)],
)
def test_a_level_is_read_from_its_name_or_its_digit(text, level):
    assert level_from(text) == level


@pytest.mark.parametrize("text", ["10", "-1", "5.0", "", "Urgent!", "²", "asap"])
def test_bad_level_is_refused_with_the_allowed_ones(text):
    with pytest.raises(ParameterError, match="0 to 9, or one of urgent, high, normal, low, bulk"):
        level_from(text)
