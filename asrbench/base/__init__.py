"""What every room may use: errors, files, seeds, memory, processes, ranks, progress reports."""
