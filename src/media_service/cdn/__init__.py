"""Purging what a CDN or a cache keeps of public media.

Public answers carry a key of their media (`keys.py`). An event that changes what anyone may read
purges that key. `drivers.py` has a driver for each kind of CDN.
"""
