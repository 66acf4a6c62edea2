"""The operations that need a video track and end the video steps. Each operation is a module with
the same name.

`render(task)` returns the output files, the main one last.
"""
