"""Independent readers, to judge what agewell makes of a file."""
