"""An asyncio application that runs recipes, several at once.

Try: python embed_asyncio.py FOLDER FOLDER…
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trio_recipes.integrations.asyncio import Runtime, open_runtime

RECIPE = Path(__file__).with_name("embed-report.yaml")


def list_files(folder: str) -> list[str]:
    """A plain function: it is called in a thread."""
    return sorted(str(file) for file in Path(folder).resolve().glob("*.*"))


async def sum_up(files: list[str], counts: list[int]) -> str:
    """An asyncio function: it runs in this loop, and is cancelled when its step is stopped."""
    await asyncio.sleep(0.01)
    return f"{len(files)} files, {sum(int(count) for count in counts)} lines"


async def report(runtime: Runtime, folder: str) -> None:
    """Run the recipe; the end of the time limit stops its session, with all it had started."""
    try:
        async with asyncio.timeout(60):
            context = await runtime.run(RECIPE, {"folder": folder})
    except TimeoutError:
        print(f"{folder}: it took too long")
    else:
        print(f"{folder}: {context['report']}")


async def main(*folders: str) -> None:
    """Report on each folder. If one fails, or on Ctrl+C, the sessions of all of them are stopped."""
    functions: Mapping[str, Callable[..., Any]] = {"list_files": list_files, "sum_up": sum_up}
    async with open_runtime(functions=functions) as runtime, asyncio.TaskGroup() as group:
        for folder in folders:
            group.create_task(report(runtime, folder))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["."]))
