"""Redis itself: connections, keys, its clock, and running Lua scripts."""
