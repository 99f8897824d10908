"""A seeded campaign of SIGKILLs against the graph on profile `tiny`: see campaign.py, which `make chaos` runs."""
