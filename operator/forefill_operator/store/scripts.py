"""The store's atomic steps, as Lua that Valkey and Redis run. Times are milliseconds."""

# KEYS operators; ARGV operator, lifetime. The server's clock judges everybody alike.
BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 4)
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""

# KEYS owner, epoch, whole; ARGV operator, lifetime, life. Returns epoch (0: somebody else's) and whether it is whole.
CLAIM = """
local owner = redis.call('GET', KEYS[1])
if owner and string.sub(owner, 1, #ARGV[1] + 1) ~= ARGV[1] .. ' ' then
  return {0, 0}
end
local epoch = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. epoch, 'PX', ARGV[2])
return {epoch, redis.call('GET', KEYS[3]) == ARGV[3] and 1 or 0}
"""

# KEYS owner, records; ARGV owner, lifetime, lifetime of the records.
KEEP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS owner; ARGV owner.
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
"""

# KEYS owner, records; ARGV owner, n, n of uid and record in turn, m, m uids to forget, channel and message in turn.
# Lua's stack takes some thousand arguments at once.
WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local function apply(command, first, last)
  for i = first, last, 1000 do
    redis.call(command, KEYS[2], unpack(ARGV, i, math.min(i + 999, last)))
  end
end
local kept = 2 + ARGV[2]
apply('HSET', 3, kept)
local forgotten = kept + 1 + ARGV[kept + 1]
apply('HDEL', kept + 2, forgotten)
for i = forgotten + 1, #ARGV, 2 do
  redis.call('PUBLISH', ARGV[i], ARGV[i + 1])
end
return 1
"""
