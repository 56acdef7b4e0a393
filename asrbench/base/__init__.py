"""Tools for every other room: errors, files, seeds, memory, processes, ranks, progress reports."""
