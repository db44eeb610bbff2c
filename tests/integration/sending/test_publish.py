"""Times of jobs that are no times are refused before anything is sent."""

import pytest

from agewell.producer.sending.publish import publish
from agewell.producer.session import make_session
from agewell.shared.errors import ParameterError


@pytest.mark.parametrize("name", ["due_s", "deadline_s"])
@pytest.mark.parametrize("given", ["5", "5m", -1, float("nan"), float("inf"), 1e12, [5]])
def test_a_time_that_is_none_is_refused_by_name(settings, client, name, given):
    with pytest.raises(ParameterError, match=f"{name} is .*; allowed: seconds, up to a hundred"):
        publish(make_session(settings), [], 5, **{"deadline_s": None, name: given})
