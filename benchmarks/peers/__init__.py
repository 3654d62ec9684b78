"""The same work done by other projects, each under an interpreter of its own that has that project (`nox -s peers`).

These modules run there: they import nothing but that project, the standard library and each other.
"""
