"""Asking a model over HTTP: where it is, one pool of connections a runtime, streams of events, and what goes wrong."""
