"""The command line: ``trio-recipes COMMAND …``. One command a file, loaded when it is named."""
