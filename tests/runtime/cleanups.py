"""Recipes with ``finally``, and what a test asks of a run of them."""

from tests.runtime.harness import World, recipe
from trio_recipes.events import WorkEnded
from trio_recipes.language.model import Recipe

TWO = """
steps:
- {id: a, type: bash, command: A}
- {id: b, type: bash, command: B}
finally:
- {id: f, type: bash, command: "{{_outcome}}"}
- {id: g, type: bash, command: G}
"""
NESTED = """
steps:
- {id: call, type: recipe, recipe: sub%s}
- {id: b, type: bash, command: B}
finally:
- {id: f, type: bash, command: "{{_outcome}}"}
"""
SUB = recipe(
    "steps:\n- {id: a, type: bash, command: A}\nfinally: [{id: f, type: bash, command: '{{_outcome}}'}]", "sub"
)
LOOP = """
context: {items: [x, y]}
steps:
- id: loop
  foreach: "{{items}}"
  parallel: %s
  on_error: %s
  finally: [{id: f, type: bash, command: "{{_outcome}}"}]
  steps:
  - {id: a, type: bash, command: A}
  - {id: b, type: bash, command: B}
"""
STAGES = """
stages:
- name: one
  steps: [{id: a, type: bash, command: A}]
  finally: [{id: f, type: bash, command: "{{_outcome}}"}]
  approval: {required: true, prompt: go on?}
- {name: two, steps: [{id: b, type: bash, command: B}], finally: [{id: f, type: bash, command: F}]}
finally: [{id: f, type: bash, command: "{{_outcome}}"}]
"""


def nested(options: str = "") -> tuple[Recipe, dict[str, Recipe]]:
    return recipe(NESTED % options), {"sub": SUB}


def told(world: World) -> list[tuple[str, str]]:
    """What each ``finally`` of the last run was told, in the order of their beginning."""
    return [(event.path, str(event.outcome)) for event in world.of(WorkEnded) if event.path]


def began(world: World) -> list[str]:
    return [path for _, path in world.leaves.begun]
