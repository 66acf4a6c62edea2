"""ZIP archives of several media.

The layout of an archive is fixed when it is created: its size is known before the first byte, and a
download continues at any byte.
"""
