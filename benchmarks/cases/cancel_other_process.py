from benchmarks.case import Group
from contextlib import asynccontextmanager
@asynccontextmanager
async def _o(b):
    yield []
GROUP=Group("cancel_other_process","",_o)
