"""Figures that a limit is set for, measured and held against it: `make bench`."""
