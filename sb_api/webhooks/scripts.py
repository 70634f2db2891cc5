"""What is done to the outbox in one step, as Lua scripts of Redis.

ARGV[1] is what keys begin with, ARGV[2] how long they are kept (seconds); all lie in one slot. Of each endpoint there
are its messages by id (`message`), when each was made and when it is due (`made`, `due`: ms since 1970), how often it
was tried (`tries`), what came of them (`counts`), and those that were given up (`aside`).
"""

AHEAD = 10**12  # ms by which all but accounts, of which there may be thousands, are due earlier

_BEGIN = (
    f"local ahead = {AHEAD}"
    + """
local prefix, keep = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function key(what, endpoint) return prefix .. what .. ':' .. endpoint end
local function put_off(endpoint, id, wait)
  local due = redis.call('ZSCORE', key('due', endpoint), id)
  if due then
    redis.call('ZADD', key('due', endpoint), (tonumber(due) < now - ahead / 2 and now - ahead or now) + wait, id)
  end
end
local function count(endpoint, what) redis.call('HINCRBY', key('counts', endpoint), what, 1) end
local function forget(endpoint, id)
  redis.call('HDEL', key('message', endpoint), id)
  redis.call('HDEL', key('tries', endpoint), id)
  redis.call('ZREM', key('made', endpoint), id)
  redis.call('ZREM', key('due', endpoint), id)
end
local function enqueue(endpoint, id, message, due)
  redis.call('HSET', key('message', endpoint), id, message)
  redis.call('ZADD', key('made', endpoint), now, id)
  redis.call('ZADD', key('due', endpoint), due, id)
end
local function last(endpoint)
  for _, what in ipairs({'message', 'tries', 'made', 'due', 'counts'}) do
    redis.call('EXPIRE', key(what, endpoint), keep)
  end
end
"""
)

# ARGV: how many may wait for an endpoint; the id of the message; the message; the name of what it is told of once, ''
# for none, for how long (seconds) and how many such names are kept; the name of an alarm, '' for none, and an
# `Edge`; endpoints. Returns for how many it is queued, -1 when it was told already. Where too many wait, one
# of what is told of once is dropped, and for any other the oldest is.
ADD = f"""{_BEGIN}
local most, id, once, told, alarms = tonumber(ARGV[3]), ARGV[4], ARGV[6], prefix .. 'told', prefix .. 'alarms'
if once ~= '' then
  redis.call('ZREMRANGEBYSCORE', told, '-inf', now - 1000 * tonumber(ARGV[7]))
  if redis.call('ZSCORE', told, once) then return -1 end
end
if ARGV[9] ~= '' then
  local changes
  if ARGV[10] == 'on' then
    changes = redis.call('HSETNX', alarms, ARGV[9], now)
  else
    changes = redis.call('HDEL', alarms, ARGV[9])
  end
  if changes == 0 and ARGV[10] ~= 'off for sure' then return -1 end
  redis.call('EXPIRE', alarms, keep)
end
local queued = 0
for i = 11, #ARGV do
  local endpoint = ARGV[i]
  local full = redis.call('ZCARD', key('made', endpoint)) >= most
  if full then count(endpoint, 'dropped') end
  if not (full and once ~= '') then
    for _, oldest in ipairs(full and redis.call('ZRANGE', key('made', endpoint), 0, 0) or {{}}) do
      forget(endpoint, oldest)
    end
    enqueue(endpoint, id, ARGV[5], once == '' and now - ahead or now)
    queued = queued + 1
  end
  last(endpoint)
end
if once ~= '' and queued > 0 then
  redis.call('ZADD', told, now, once)
  redis.call('ZREMRANGEBYRANK', told, 0, -tonumber(ARGV[8]) - 1)
  redis.call('EXPIRE', told, ARGV[7])
end
return queued
"""

# ARGV: endpoint, milliseconds for which nobody else gets it. Returns of the message that is due for longest, one of no
# account before all that are of one, its id, itself, and how often it was tried, this time included; nothing when none
# is due.
CLAIM = f"""{_BEGIN}
local endpoint = ARGV[3]
local due = redis.call('ZRANGEBYSCORE', key('due', endpoint), '-inf', now - ahead, 'LIMIT', 0, 1)
if #due == 0 then
  due = redis.call('ZRANGEBYSCORE', key('due', endpoint), now - ahead / 2, now, 'LIMIT', 0, 1)
end
for _, id in ipairs(due) do
  put_off(endpoint, id, tonumber(ARGV[4]))
  local tries = redis.call('HINCRBY', key('tries', endpoint), id, 1)
  last(endpoint)
  return {{id, redis.call('HGET', key('message', endpoint), id) or '', tries}}
end
return {{}}
"""

# ARGV: endpoint, id. The message was taken.
DELIVERED = f"""{_BEGIN}
local endpoint, id = ARGV[3], ARGV[4]
count(endpoint, 'sent')
redis.call('HSET', key('counts', endpoint), 'sent_at', time[1])
forget(endpoint, id)
last(endpoint)
return 0
"""

# ARGV: endpoint, id, milliseconds until it is tried again, reason. If it waits no more, somebody else has seen to it.
FAILED = f"""{_BEGIN}
local endpoint, id = ARGV[3], ARGV[4]
count(endpoint, 'failed')
redis.call('HSET', key('counts', endpoint), 'failed_at', time[1], 'reason', ARGV[6])
put_off(endpoint, id, tonumber(ARGV[5]))
last(endpoint)
return 0
"""

# ARGV: endpoint, id, what is told of it, how many of those are kept, for how long (seconds). The message is given up.
SET_ASIDE = f"""{_BEGIN}
local endpoint, id = ARGV[3], ARGV[4]
if redis.call('ZSCORE', key('due', endpoint), id) then
  count(endpoint, 'set_aside')
  redis.call('LPUSH', key('aside', endpoint), ARGV[5])
  redis.call('LTRIM', key('aside', endpoint), 0, tonumber(ARGV[6]) - 1)
  redis.call('EXPIRE', key('aside', endpoint), ARGV[7])
  forget(endpoint, id)
end
last(endpoint)
return 0
"""

# ARGV: endpoint, id, the message, how many may wait, what is told of it among those given up. It is sent again, and no
# longer given up: 1; -1 when too many wait, so that it stays where it is; 0 when somebody else was quicker.
RETRY = f"""{_BEGIN}
local endpoint, id, message, most, told = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]
if redis.call('ZCARD', key('made', endpoint)) >= most then return -1 end
if redis.call('LREM', key('aside', endpoint), 1, told) == 0 then return 0 end
enqueue(endpoint, id, message, now - ahead)
last(endpoint)
return 1
"""
