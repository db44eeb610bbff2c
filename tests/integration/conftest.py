"""What tests of several parts use."""

import pytest

from workers import sweep as sweep_module


@pytest.fixture
def unhurried(monkeypatch):
    """How far a call comes in its time is the machine's matter; what it does there is ours."""
    monkeypatch.setattr(sweep_module, "CALL_S", 60.0)
