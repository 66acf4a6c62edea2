"""The operations that need only an audio track, one module each, named like the operation.

`render(task)` returns the output files, the main one last.
"""
