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

# KEYS owner; ARGV owner, lifetime.
KEEP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS owner; ARGV owner.
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
"""

# KEYS owner, records; ARGV owner, lifetime of the records, then four a client: uid, record, channel, message.
WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 3, #ARGV, 4 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[i])
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
for i = 3, #ARGV, 4 do
  if ARGV[i + 3] ~= '' then
    redis.call('PUBLISH', ARGV[i + 2], ARGV[i + 3])
  end
end
return 1
"""
