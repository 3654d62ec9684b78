"""An agent loop with the recipes tool. Where a model would call it, you do: one JSON object a line.

Try:  echo '{"operation": "validate", "recipe_path": "file-health.yaml"}' | python agent_tool.py
"""

import json
import sys
from pathlib import Path

import trio

import trio_recipes


async def main() -> None:
    """Answer calls until standard input ends."""
    async with trio_recipes.open_runtime(project=Path(__file__).parent) as runtime:
        tool = trio_recipes.RecipesTool(runtime)
        # What a model needs to know: tool.name, tool.description, tool.input_schema.
        async for line in trio.wrap_file(sys.stdin):
            result = await tool.execute(json.loads(line))
            print(json.dumps(result.as_json(), indent=2), flush=True)


if __name__ == "__main__":
    trio.run(main)
