"""Statistics of error rates: intervals, differences and tests. docs/statistics.md explains them.

Functions take arrays and return frozen dataclasses. Errors and symbols are counts, rates and
differences are fractions. The letters at the end of an array's name are its axes: U utterances,
G blocks of utterances, S seeds (training runs of one system), K systems, B replicates of the
bootstrap, R runs, L slots of an edit alignment.
"""
