"""The version, in the one place that the build and the package both read without importing anything."""

__version__ = "0.1.0"
