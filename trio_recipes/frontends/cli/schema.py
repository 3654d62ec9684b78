"""``validate --schema``: the language as a JSON Schema, for editors."""

from __future__ import annotations

import json
from argparse import Action, ArgumentParser, Namespace

from trio_recipes.frontends.cli.outlet import STDOUT


class PrintSchema(Action):
    """An option like ``--help``: it prints, and nothing else of the command line counts."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: object, option: str | None = None) -> None:
        """Print the schema and leave."""
        from trio_recipes.language.jsonschema import json_schema  # noqa: PLC0415  for this option only

        STDOUT.line(json.dumps(json_schema(), indent=2))
        parser.exit()
