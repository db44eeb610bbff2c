"""kombu's own functional tests of its Redis transport, run against our channels."""
