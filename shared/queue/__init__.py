"""The job queue in Redis: job records, their order, dead letters, and the Lua that changes them."""
