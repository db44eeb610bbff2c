"""Benchmarks: each a question, answered against a bare loop in the same run."""
