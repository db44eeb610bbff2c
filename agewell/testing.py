"""A running agewell for your own tests. See `agewell.producer.testing` for how to use it."""

from agewell.producer.testing import RunningStack, StackError, running_stack

__all__ = ["RunningStack", "StackError", "running_stack"]
