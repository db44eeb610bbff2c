"""Independent readers and solvers, to judge agewell's results."""
