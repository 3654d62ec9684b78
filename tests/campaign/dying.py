"""The command line, in a process that dies at a moment: ``DIE=seconds:0.004`` in its environment says when."""

import os
import sys

from trio_recipes.frontends.cli.main import main as command_line
from trio_recipes.testing.moments import moment_from


def main() -> int:
    """Do what ``sys.argv`` says, for as long as it lasts."""
    moment_from(os.environ.get("DIE", "never")).arm()
    return command_line(sys.argv[1:])
