"""Poisson blending: the region, the equation, its solvers."""
