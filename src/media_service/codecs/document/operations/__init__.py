"""The operations on documents. Each operation is a module with the same name.

`TASK` names the function that runs in a child process, on a PDF; `render` calls it.
"""
