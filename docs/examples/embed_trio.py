"""A trio application that runs a recipe, with functions of its own as steps.

Try: python embed_trio.py FOLDER
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trio

import trio_recipes

RECIPE = Path(__file__).with_name("embed-report.yaml")


def list_files(folder: str) -> list[str]:
    """A plain function: it is called in a thread."""
    return sorted(str(file) for file in Path(folder).resolve().glob("*.*"))


async def sum_up(files: list[str], counts: list[int]) -> str:
    """A trio function: it is awaited, and cancelled when its step is stopped."""
    await trio.sleep(0.01)
    return f"{len(files)} files, {sum(int(count) for count in counts)} lines"


async def main(folder: str, seconds: float = 60) -> str:
    """Run the recipe; give up, gracefully, after some seconds."""
    functions: Mapping[str, Callable[..., Any]] = {"list_files": list_files, "sum_up": sum_up}
    async with trio_recipes.open_runtime(functions=functions) as runtime:
        session = await runtime.start(RECIPE, {"folder": folder})
        with trio.move_on_after(seconds) as limit:
            await session.wait()
        if limit.cancelled_caught:  # the wait was cancelled, and not the session
            session.cancel("it takes too long", grace=5)
        return str((await session.wait()).unwrap()["report"])


if __name__ == "__main__":
    print(trio.run(main, sys.argv[1] if sys.argv[1:] else "."))
