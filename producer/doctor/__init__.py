"""The checks that `agewell doctor` runs, one module for each part of the stack."""
