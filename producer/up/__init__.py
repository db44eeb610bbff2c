"""Everything that `agewell up` needs to run the stack as child processes."""
