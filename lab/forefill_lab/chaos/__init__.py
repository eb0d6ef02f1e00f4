"""Faults made on purpose: what breaks, for how long, and what users see of it. `python -m forefill_lab.chaos`."""
