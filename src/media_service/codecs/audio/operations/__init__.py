"""The operations that need only an audio track. Each operation is a module with the same name.

`render(task)` returns the output files, the main one last.
"""
