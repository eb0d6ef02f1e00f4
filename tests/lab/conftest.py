import asyncio

# Otherwise pytest-asyncio's first look at the current event loop makes one that nobody closes.
asyncio.set_event_loop(None)
