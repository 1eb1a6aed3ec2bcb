"""The apps a Python user would write with other libraries: ``GET /sub/ID``, ``POST /push``, ``POST /push/ID``."""
