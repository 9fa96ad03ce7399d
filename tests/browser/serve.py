"""Serves the app as gui.py does, but with the fake engine, unless the first argument is `real`.

With ANSWERS_LATE=7 in the environment each answer comes up to two seconds late, at random, so that the answers overtake
each other as they do on a busy machine: what depends on their order then shows. The number changes the order.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kohya_gui.__main__ import main  # noqa: E402
from kohya_gui.guard import Guard  # noqa: E402
from kohya_gui.runs.supervisor import ENGINE  # noqa: E402

FAKE = (sys.executable, str(ROOT / "tests" / "kohya_gui" / "fake_engine.py"))
LONGEST_S = 2.0
ASKED = ("/run/", "/live/", "/queue/", "/upload")


def make_late(seed: str) -> None:
    draws = random.Random(seed)  # noqa: S311
    serve = Guard.__call__

    def wait() -> Any:
        return asyncio.sleep(draws.choice((0, 0, draws.uniform(0, LONGEST_S))))

    async def late(self: Guard, scope: Any, receive: Any, send: Any) -> None:
        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                await wait()
            await send(message)

        if not any(part in scope.get("path", "") for part in ASKED):
            return await serve(self, scope, receive, send)
        await wait()
        return await serve(self, scope, receive, answer)

    Guard.__call__ = late  # type: ignore[method-assign]


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if os.environ.get("ANSWERS_LATE"):
        make_late(os.environ["ANSWERS_LATE"])
    sys.exit(main(arguments, engine=ENGINE if kind == "real" else FAKE))
