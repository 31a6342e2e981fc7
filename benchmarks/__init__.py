"""Figures of running servers: `make bench`, `make soak`."""
