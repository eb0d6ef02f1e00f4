"""What several operators share: who owns each policy, and every grant as it was recorded before it was sent.

A single operator needs none of it. `interface` says what a store does; `memory` and `redis_store` do it.
"""
