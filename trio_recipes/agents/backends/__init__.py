"""The backends of this version, one a file: ``echo`` and ``command``."""
