"""A model server to try things with, without a key: ``python -m trio_recipes.testing.model_server``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final

import trio

from trio_recipes.testing.model_server.script import Answer, Asked, hangs_up, refuses, repeats, stalls
from trio_recipes.testing.model_server.server import MODELS, Outcome, Visit, serving


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes."""
    options = _parser().parse_args(argv)
    try:
        trio.run(_serve, options)
    except OSError as error:
        print(f"can't listen at port {options.port}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trio_recipes.testing.model_server",
        description="Speaks the APIs of OpenAI and Anthropic on this machine. There is no model behind it: it repeats "
        "the prompt, word by word, and tells when clients come and leave.",
    )
    parser.add_argument("--port", type=int, default=8123, help="where it listens (8123; 0 for any free port)")
    parser.add_argument("--every", type=float, default=0.1, metavar="SECONDS", help="between two words (0.1)")
    parser.add_argument("--json", action="store_true", help="tell in JSON lines; times are of the monotonic clock")
    parser.add_argument("--key", help="the key that clients must show (any, or none)")
    parser.add_argument("--model", action="append", metavar="NAME", help="a model that it lists; may be repeated")
    trouble = parser.add_mutually_exclusive_group()
    trouble.add_argument("--stall-after", type=int, metavar="WORDS", help="fall silent there, until the client leaves")
    trouble.add_argument("--hang-up-after", type=int, metavar="WORDS", help="close the connection there")
    trouble.add_argument("--refuse", type=int, metavar="STATUS", help="answer with this HTTP status instead")
    parser.add_argument("--retry-after", type=float, metavar="SECONDS", help="with --refuse: the wait it asks for")
    parser.add_argument("--first", type=int, metavar="N", help="make this trouble for the first N requests only")
    return parser


def _script(options: argparse.Namespace) -> Callable[[Asked], Answer]:
    usual, trouble = repeats(options.every), _trouble(options)

    def answer(asked: Asked) -> Answer:
        is_troubled = options.first is None or asked.number <= options.first
        return trouble(asked) if is_troubled else usual(asked)

    return answer


def _trouble(options: argparse.Namespace) -> Callable[[Asked], Answer]:
    def words(asked: Asked, most: int) -> list[str]:
        return [f"{word} " for word in asked.prompt.split()[:most]]

    if options.refuse is not None:
        return lambda asked: refuses(options.refuse, retry_after=options.retry_after)
    if options.stall_after is not None:
        return lambda asked: stalls(*words(asked, options.stall_after), every=options.every)
    if options.hang_up_after is not None:
        return lambda asked: hangs_up(*words(asked, options.hang_up_after), every=options.every)
    return repeats(options.every)


async def _serve(options: argparse.Namespace) -> None:
    models, say = tuple(options.model or MODELS), _as_json if options.json else _as_text
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with serving(_script(options), port=options.port, models=models, key=options.key, told=say) as server:
            _print(json.dumps({"base_url": server.url}) if options.json else f"base_url: {server.url}")
            async for _ in signals:
                return


def _as_json(visit: Visit) -> None:
    times = {"began": visit.began, "first": visit.first, "ended": visit.ended}
    _print(json.dumps({"request": visit.asked.number, "outcome": visit.outcome, **times}))


def _as_text(visit: Visit) -> None:
    _print(f"request {visit.asked.number} ({visit.asked.dialect}): {_state(visit)}")


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _state(visit: Visit) -> str:
    if visit.ended is None:
        return "is being answered" if visit.first else f"model {visit.asked.model!r}"
    return f"{_ENDS[visit.outcome]} after {visit.ended - visit.began:.3f} s"


_ENDS: Final = {
    Outcome.FINISHED: "answered",
    Outcome.HUNG_UP: "hung up",
    Outcome.LEFT: "the client left",
    Outcome.REFUSED: "refused",
}


if __name__ == "__main__":
    sys.exit(main())
