"""Measures the service beside what a Python user would pick instead. ``python -m bench --help``.

Not part of the service: it starts servers as processes and talks HTTP to them.
"""
