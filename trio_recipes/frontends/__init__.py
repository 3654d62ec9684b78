"""What people and programs use the package through: the command line; later a live view, a tool, a web page."""
