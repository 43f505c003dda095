"""Destinations that can be run on one's own machine, their silent losses included."""
