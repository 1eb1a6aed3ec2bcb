"""Tests of real processes from outside: what docs/protocol.md promises, seen by clients that are not ours."""
