"""Benchmarks. Each answers one question by comparing with a bare loop or a peer in the same run."""
