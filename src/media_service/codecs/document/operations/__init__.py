"""The operations on documents, one module each, named like the operation.

`TASK` names the function that runs in a child process, on a PDF; `render` calls it.
"""
