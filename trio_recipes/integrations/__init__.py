"""Doors from other worlds: each module here needs something that is imported only when that module is."""
