"""What can be believed of error rates: intervals, differences, tests. docs/statistics.md explains.

Arrays in, frozen dataclasses out; errors and symbols are counts, rates and differences fractions.
The letters at the end of a name are its axes: U utterances, G blocks of them, S seeds (training
runs of one system), K systems, B replicates of the bootstrap, R runs, L slots of an alignment.
"""
