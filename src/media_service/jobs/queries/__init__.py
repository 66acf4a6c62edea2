"""SQL of jobs. The table is authoritative. An event only signals when to query it.

Every change of a job that has an owner emits `JobChanged`.
"""
