"""Joins store and runtime: opening a runtime, sessions and their requests, signals."""
