"""Imported last by the process that services are forked from: collections in them skip its objects.

Otherwise each of them copies the memory of all imported modules.
"""

import gc

gc.collect()
gc.freeze()
