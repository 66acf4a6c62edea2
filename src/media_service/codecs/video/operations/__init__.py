"""The operations that need a video track and end the video steps, one module each, named like the
operation.

`render(task)` returns the output files, the main one last.
"""
