"""Code to talk to Redis: connections, key names, the clock, and the runner of Lua scripts."""
