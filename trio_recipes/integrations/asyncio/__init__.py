"""Sessions in an asyncio application: trio as the guest of its loop, cancellation in both directions."""

from trio_recipes.integrations.asyncio.adapters import ForTrio as ForTrio
from trio_recipes.integrations.asyncio.bridge import guest_run as guest_run
from trio_recipes.integrations.asyncio.bridge import in_asyncio as in_asyncio
from trio_recipes.integrations.asyncio.bridge import in_trio as in_trio
from trio_recipes.integrations.asyncio.drained import drained as drained
from trio_recipes.integrations.asyncio.opening import open_runtime as open_runtime
from trio_recipes.integrations.asyncio.opening import run_recipe as run_recipe
from trio_recipes.integrations.asyncio.runtime import Runtime as Runtime
from trio_recipes.integrations.asyncio.session import Session as Session
from trio_recipes.sessions.session import CancelReply as CancelReply
