"""The checks of `agewell doctor`."""
