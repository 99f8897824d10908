"""A seeded campaign of SIGKILLs against the graph on profile `tiny`; `make chaos` runs it."""
