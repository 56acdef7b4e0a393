"""Executors: where the runs of a study are trained. Today that is this machine."""
