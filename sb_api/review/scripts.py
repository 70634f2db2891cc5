"""What is done to the queue in one step, as Lua scripts of Redis: nobody sees half of it, and two never get the same.

KEYS are, in this order, those of `store.KEYS`; ARGV[1] is what the keys of entries and claims begin with, ARGV[2] how
long an entry is kept (seconds). All keys lie in one slot.
"""

_BEGIN = """
local judged, index, decided, dropped = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, keep = ARGV[1], tonumber(ARGV[2])
local now = tonumber(redis.call('TIME')[1])
local function entry(handle) return prefix .. 'entry:' .. handle end
local function claim(handle) return prefix .. 'claim:' .. handle end
local function leave(handle)
  redis.call('ZREM', judged, handle)
  redis.call('HDEL', index, handle)
  redis.call('DEL', claim(handle))
end
local function last()
  for i = 1, #KEYS - 1 do redis.call('EXPIRE', KEYS[i], keep) end
end
for _, handle in ipairs(redis.call('ZRANGEBYSCORE', judged, '-inf', now - keep, 'LIMIT', 0, 1000)) do
  leave(handle)
end
redis.call('ZREMRANGEBYSCORE', decided, '-inf', now - keep)
"""

# ARGV[3]: how many may wait; then four for each entry: handle, entry, summary, and what a verdict on it is noted as.
# Returns how many were added. The oldest are dropped for what is too many, and claimed ones only if nothing else is.
ADD = f"""{_BEGIN}
local most, added = tonumber(ARGV[3]), 0
for i = 4, #ARGV, 4 do
  local handle = ARGV[i]
  -- What somebody has claimed stays as they see it: their verdict is on that.
  if redis.call('EXISTS', claim(handle)) == 0 and not redis.call('ZSCORE', decided, ARGV[i + 3]) then
    redis.call('SET', entry(handle), ARGV[i + 1], 'EX', keep)
    redis.call('HSET', index, handle, ARGV[i + 2])
    redis.call('ZADD', judged, now, handle)
    added = added + 1
  end
end
local over = redis.call('ZCARD', judged) - most
if over > 0 then
  redis.call('INCRBY', dropped, over)
  redis.call('EXPIRE', dropped, keep)  -- here alone: what was dropped lately is to end
  for round = 1, 2 do
    for _, handle in ipairs(redis.call('ZRANGE', judged, 0, over + 999)) do
      if over > 0 and (round == 2 or redis.call('EXISTS', claim(handle)) == 0) then
        redis.call('DEL', entry(handle))
        leave(handle)
        over = over - 1
      end
    end
  end
end
last()
return added
"""

# Returns handles and summaries, by turns, and at the end how many were dropped.
LIST = f"""{_BEGIN}
local found = redis.call('HGETALL', index)
found[#found + 1] = redis.call('GET', dropped) or '0'
return found
"""

# ARGV: claimant, milliseconds, how many at most, handles. Returns those that are claimed now; none was before.
CLAIM = f"""{_BEGIN}
local taken = {{}}
for i = 6, #ARGV do
  local handle = ARGV[i]
  if #taken < tonumber(ARGV[5]) and redis.call('ZSCORE', judged, handle)
    and redis.call('SET', claim(handle), ARGV[3], 'NX', 'PX', ARGV[4]) then
    taken[#taken + 1] = handle
  end
end
return taken
"""

# ARGV: claimant, milliseconds, handles. All are claimed, anew if they were the claimant's already, or none is: then
# it returns those that do not wait, a blank, and those that others have.
TAKE = f"""{_BEGIN}
local gone, others = {{}}, {{}}
for i = 5, #ARGV do
  local holder = redis.call('GET', claim(ARGV[i]))
  if not redis.call('ZSCORE', judged, ARGV[i]) then
    gone[#gone + 1] = ARGV[i]
  elseif holder and holder ~= ARGV[3] then
    others[#others + 1] = ARGV[i]
  end
end
if #gone + #others == 0 then
  for i = 5, #ARGV do redis.call('SET', claim(ARGV[i]), ARGV[3], 'PX', ARGV[4]) end
  return {{}}
end
gone[#gone + 1] = ''
for _, handle in ipairs(others) do gone[#gone + 1] = handle end
return gone
"""

# ARGV: claimant, handles. Returns how many were the claimant's.
RELEASE = f"""{_BEGIN}
local released = 0
for i = 4, #ARGV do
  if redis.call('GET', claim(ARGV[i])) == ARGV[3] then
    released = released + redis.call('DEL', claim(ARGV[i]))
  end
end
return released
"""

# ARGV: how long an entry is kept once there is a verdict, how many are noted; then for each its handle and note.
DECIDE = f"""{_BEGIN}
for i = 5, #ARGV, 2 do
  leave(ARGV[i])
  local rest = redis.call('TTL', entry(ARGV[i]))
  if rest > tonumber(ARGV[3]) then redis.call('EXPIRE', entry(ARGV[i]), ARGV[3]) end
  redis.call('ZADD', decided, now, ARGV[i + 1])
end
redis.call('ZREMRANGEBYRANK', decided, 0, -tonumber(ARGV[4]) - 1)
last()
return 0
"""

# ARGV: handle, note of what it says, when it was judged, summary. Returns 1 when it waits again: not with a verdict on
# what it says.
RESTORE = f"""{_BEGIN}
local rest = tonumber(ARGV[5]) + keep - now
if redis.call('ZSCORE', decided, ARGV[4]) or rest <= 0 or redis.call('EXPIRE', entry(ARGV[3]), rest) == 0 then
  return 0
end
redis.call('ZADD', judged, ARGV[5], ARGV[3])
redis.call('HSET', index, ARGV[3], ARGV[6])
last()
return 1
"""

# KEYS: domains by when they were last seen. ARGV: prefix, how long they are kept, how many accounts of a domain, how
# many domains; then for each a domain, an account and what is known of it: '?' is no news, '-' takes back what was.
NOTE_LINKS = """
local prefix, keep, accounts, domains = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = tonumber(redis.call('TIME')[1])
for i = 5, #ARGV, 3 do
  local key, account, news = prefix .. 'domain:' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local known = redis.call('HGET', key, account)
  if (known and news ~= '?') or (not known and redis.call('HLEN', key) < accounts) then
    redis.call('HSET', key, account, news == '-' and '?' or news)
  end
  redis.call('EXPIRE', key, keep)
  redis.call('ZADD', KEYS[1], now, ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - keep)
local over = redis.call('ZCARD', KEYS[1]) - domains
for _, domain in ipairs(over > 0 and redis.call('ZRANGE', KEYS[1], 0, over - 1) or {}) do
  redis.call('DEL', prefix .. 'domain:' .. domain)
  redis.call('ZREM', KEYS[1], domain)
end
redis.call('EXPIRE', KEYS[1], keep)
return 0
"""
