"""Containers: records, life cycle, and the monitor that outlives the command line."""
