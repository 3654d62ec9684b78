"""One line about each key of the language: what editors show beside it."""

from __future__ import annotations

_CLEANUP = {
    "finally": "Steps that run however the work ended, also after a cancellation; {{_outcome}} says how.",
    "cleanup_timeout": "Seconds that the steps of 'finally' may take in all; 30 unless given.",
}

_BLOCK = _CLEANUP | {
    "schedule": "'order': one step after the other (default). 'graph': each as soon as its 'depends_on' are done.",
    "max_parallel_steps": "With 'schedule: graph': how many steps run at once.",
}

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "document": _BLOCK
    | {
        "name": "The recipe's name: letters, digits, '-' and '_'.",
        "description": "What the recipe is for, in a sentence or two.",
        "version": "The recipe's version: MAJOR.MINOR.PATCH, in quotes.",
        "author": "Who wrote it.",
        "created": "The date it was written, as 2025-03-31.",
        "updated": "The date of the last change, as 2025-03-31.",
        "tags": "Words to find it by.",
        "context": "Variables and their first values; the caller's win over them.",
        "recursion": "Limits for recipes that call recipes.",
        "rate_limiting": "How fast agents are asked, over the whole tree of recipes.",
        "orchestrator": "Settings that are passed on to agents.",
        "secrets": "Names of variables whose values are never stored, and masked wherever they would show.",
        "limits": "Budgets of the whole tree of recipes; reaching one stops it gracefully.",
        "steps": "What the recipe does. A recipe has either 'steps' or 'stages'.",
        "stages": "Groups of steps, each with a gate behind it if you like.",
    },
    "stage": _BLOCK
    | {
        "name": "The stage's name, unique in the recipe: letters, digits, '-', '_' and spaces.",
        "steps": "What the stage does.",
        "approval": "A gate behind the stage, where a person decides whether to go on.",
    },
    "approval": {
        "required": "Whether to wait for a decision.",
        "prompt": "The question to the person; may refer to variables.",
        "timeout": "Seconds to wait until 'default' decides; 0 waits for ever.",
        "default": "The decision when nobody answers in time; 'deny' unless given.",
        "by": "'human' refuses decisions that come through a tool.",
    },
    "recursion": {
        "max_depth": "How many recipes may call each other in a row, the first included; 5 unless given.",
        "max_total_steps": "How many agent steps may run in the whole tree; 100 unless given.",
    },
    "rate_limiting": {
        "max_concurrent_llm": "How many agents are asked at once.",
        "min_delay_ms": "Milliseconds between an answer and the next question.",
        "backoff": "How to slow down when a provider says that it is too fast.",
    },
    "backoff": {
        "enabled": "Whether to slow down at all; true unless given.",
        "initial_delay_ms": "Milliseconds of the first delay; 1000 unless given.",
        "max_delay_ms": "Milliseconds that no delay exceeds; 60000 unless given.",
        "multiplier": "By how much each delay is longer than the one before; 2 unless given.",
        "reset_after_success": "After how many good answers the speed recovers; 3 unless given.",
    },
    "orchestrator": {
        "config": "Passed on as it is.",
        "min_delay_between_calls_ms": "Milliseconds between calls of one agent.",
    },
    "limits": {
        "deadline": "Running time, such as 90s, 45m or 1h30m, or a number of seconds.",
        "cost_usd": "What agents may cost, in US dollars.",
        "tokens": "How many tokens agents may use.",
    },
    "retry": {
        "max_attempts": "Attempts in all; 3 if 'retry' is given without it.",
        "backoff": "'exponential' doubles the wait after each failure, 'linear' keeps it.",
        "initial_delay": "Seconds before the second attempt; 5 unless given.",
        "max_delay": "Seconds that no wait exceeds; 300 unless given.",
    },
    "preference": {
        "provider": "The provider's name.",
        "model": "A model of that provider; may have wildcards.",
        "class": "A kind of model instead of a provider.",
    },
    "step": _CLEANUP
    | {
        "id": "The step's name, unique in the recipe: letters, digits, '-' and '_'.",
        "type": "What does the work; 'agent' unless given.",
        "output": "The variable that receives the result.",
        "condition": "The step is skipped where this is false, such as {{count}} > 3.",
        "timeout": "Seconds that one attempt may take.",
        "retry": "How to repeat a failed attempt.",
        "on_error": "After the last attempt: stop ('fail'), go on without a result, or skip the steps that follow.",
        "depends_on": "Ids of earlier steps; 'schedule: graph' waits for them.",
        "parse_json": "Whether to look for JSON inside of the result.",
        "on_interrupt": "What a resume does with a step that had begun and not ended; 'rerun' unless given.",
        "on_resume": "Whether a resume keeps the result ('reuse') or gets a new one ('rerun').",
        "foreach": "The step runs once for each item of this list, such as {{files}}.",
        "as": "The variable that holds the item; 'item' unless given.",
        "collect": "The variable that receives the list of all results.",
        "max_iterations": "A longer list is an error; 100 unless given.",
        "parallel": "How many iterations run at once: true for all, or a number.",
        "checkpoint_iterations": "Accepted for older recipes; every loop can be resumed.",
        "while_condition": "The step repeats as long as this is true, such as {{week}} < 5.",
        "max_while_iterations": "How many times at most; 100 unless given.",
        "break_when": "The loop ends after the iteration in which this is true.",
        "update_context": "Variables to set after each iteration.",
        "steps": "The body of the loop.",
        "while_steps": "Another spelling of 'steps'.",
    },
    "agent": {
        "agent": "Who is asked, such as bundle:name.",
        "prompt": "The question; may refer to variables.",
        "mode": "A word that precedes the prompt as MODE: …",
        "agent_config": "Merged over the agent's definition, for this step.",
        "provider": "The provider to ask.",
        "model": "The model to ask; may have wildcards, then the highest match wins.",
        "provider_preferences": "Providers or kinds of models; the first that is available wins.",
        "model_role": "A role for which a model is configured.",
        "spawn_mode": "'subprocess': the agent gets a process of its own.",
    },
    "bash": {
        "command": "What /bin/bash runs. Values from outside are safe in 'env', not in here.",
        "cwd": "The folder to run in, relative to the project.",
        "env": "Environment variables; their values may refer to variables.",
        "env_from_context": "Variables that the command gets as environment variables.",
        "output_exit_code": "The variable that receives the exit code.",
        "kill_grace": "Seconds between asking a stopped command to end and killing it; 2 unless given.",
        "stop_signal": "The signal that asks it to end; TERM unless given.",
        "background": "Whether processes that it leaves running live as long as the session, or end with the step.",
    },
    "recipe": {
        "recipe": "The recipe's file, relative to this one.",
        "context": "The variables that the recipe gets; it sees no others.",
        "recursion": "Limits for this call.",
    },
    "function": {
        "function": "A registered name, or package.module:callable.",
        "args": "Arguments by name; texts may refer to variables.",
    },
}
"""By the mapping that a key stands in; for steps, by the kind of step, or ``step`` for those of every kind."""
