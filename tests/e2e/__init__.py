"""Tests of real processes from outside: what the contract promises, seen by clients that are not ours."""
