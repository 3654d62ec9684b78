"""The agent loop of the documentation."""

import json
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "agent_tool.py"
CALLS = [{"operation": "validate", "recipe_path": "file-health.yaml"}, {"operation": "list"}, {"operation": "dance"}]


def test_it_answers_call_by_call() -> None:
    calls = "".join(f"{json.dumps(call)}\n" for call in CALLS)
    ran = subprocess.run([sys.executable, EXAMPLE], input=calls, capture_output=True, text=True, timeout=30, check=True)
    valid, listed, unknown = json.loads(f"[{ran.stdout.replace('}' + chr(10) + '{', '},{')}]")
    assert valid["output"]["status"] == "valid"
    assert listed["output"]["count"] == 0
    assert unknown["error"]["message"].startswith("Unknown operation: dance")
