"""What the service is measured beside: apps that a Python user would write with other libraries, and nchan.

The apps answer ``GET /sub/ID``, ``POST /push`` (to all) and ``POST /push/ID``; nchan's paths stand in its file.
"""
