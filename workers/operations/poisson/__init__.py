"""Poisson blending: the region, the equation and its solvers."""
