"""SQL of jobs. The table is authoritative. A notification only signals when to query it.

Every change of a job that has an owner sends `JobChanged`.
"""
