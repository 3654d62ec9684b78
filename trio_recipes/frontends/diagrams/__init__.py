"""A recipe as a diagram: ``outline`` says what is connected to what, ``mermaid`` and ``dot`` write it down."""
