"""Speed and memory, each beside a limit measured in the same run: `python -m benchmarks`."""
