"""`agewell.producer.testing`, under the name that users import."""

from agewell.producer.testing import RunningStack, StackError, running_stack

__all__ = ["RunningStack", "StackError", "running_stack"]
