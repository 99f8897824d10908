"""Fuzzing of everything that reads bytes from outside: `make fuzz MINUTES=20`, or `python -m fuzz --help`.

doors.py lists the parsers, seeds.py what they start from, mutations.py what is done to it, campaign.py runs and records.
"""
