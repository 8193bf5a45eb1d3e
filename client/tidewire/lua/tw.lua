#!lua name=@LIB@
-- The only code that writes the log. Rules by number: docs/protocol.md.
--
-- Keys are built here from the base `tw:{p}:` (ARGV[1]); KEYS[1] is the clock and routes the call: everything else of a
-- partition shares its hash tag. An id is two numbers, ms and n; as text `ms-n`. The chain is text:
-- `epoch:fork:lost;epoch:fork:lost;…`, oldest first, `lost` empty or an id.

local CHAIN_MAX = 64
local TRIM_EVERY = 64 -- appends between two trims by age; the sweeper trims what is idle
local CALL_MAX = 1000 -- batches of one append; what is written at its end goes through unpack, whose stack is bounded

local process = nil -- this server process, asked once: a restart or a promotion loads the library anew
local appends = 0

local function process_id()
  if process == nil then process = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') end
  return process
end

local function parse_id(text)
  local ms, n = string.match(text, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(n)
end

local function id_text(ms, n) return string.format('%d-%d', ms, n) end

local function after(a, b) -- is id text a later than id text b?
  local a_ms, a_n = parse_id(a)
  local b_ms, b_n = parse_id(b)
  return a_ms > b_ms or (a_ms == b_ms and a_n > b_n)
end

local function earlier(a, b) if after(a, b) then return b end return a end

-- 7 base-36 characters of sha1(process, time, the caller's nonce): math.random repeats after each start
local function mint(time, nonce)
  local hex = redis.sha1hex(process_id() .. time[1] .. time[2] .. nonce)
  local number, digits = tonumber(string.sub(hex, 1, 12), 16), ''
  for _ = 1, 7 do
    local digit = number % 36
    digits = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. digits
    number = (number - digit) / 36
  end
  return digits
end

local function parse_chain(text)
  local chain = {}
  for epoch, fork, lost in string.gmatch(text, '([^:;]+):([^:;]+):([^:;]*)') do
    chain[#chain + 1] = { epoch = epoch, fork = fork, lost = lost ~= '' and lost or nil }
  end
  return chain
end

local function fork(clock, time, nonce, lost)
  clock.epoch = mint(time, nonce)
  local chain = clock.chain .. ';' .. clock.epoch .. ':' .. id_text(clock.ms, clock.n) .. ':' .. (lost or '')
  local _, forks = string.gsub(chain, ';', '')
  if forks >= CHAIN_MAX then chain = string.match(chain, ';(.*)') end
  clock.chain = chain
  redis.call('HSET', clock.key, 'epoch', clock.epoch, 'run', process_id(), 'ms', clock.ms, 'n', clock.n, 'chain', chain)
end

-- Rule 1: the prologue of every call.
local function read_clock(base, nonce)
  local key = base .. 'clock'
  local fields = redis.call('HMGET', key, 'epoch', 'run', 'ms', 'n', 'chain', 'forgot')
  local time = redis.call('TIME')
  local clock = {
    key = key, epoch = fields[1], ms = tonumber(fields[3] or 0), n = tonumber(fields[4] or 0), chain = fields[5] or '',
    forgot = fields[6] or '0-0', now = time[1] * 1000 + math.floor(time[2] / 1000),
  }
  if not clock.epoch then
    clock.epoch = mint(time, nonce)
    clock.chain = clock.epoch .. ':0-0:'
    redis.call('DEL', base .. 'tail')
    redis.call('HSET', key, 'epoch', clock.epoch, 'run', process_id(), 'ms', 0, 'n', 0, 'chain', clock.chain)
  elseif fields[2] ~= process_id() then
    fork(clock, time, nonce, nil)
  end
  return clock, time
end

-- Rule 2: what a caller has seen acknowledged, against this lineage; evidence of lost writes opens a new epoch.
local function hear_evidence(clock, time, nonce, seen_id, seen_chain)
  local own, place = parse_chain(clock.chain), {}
  for index, entry in ipairs(own) do place[entry.epoch] = index end
  local fork_id = nil
  local theirs = parse_chain(seen_chain)
  for index = #theirs, 1, -1 do
    local k = place[theirs[index].epoch]
    if k then
      for later = k + 1, #own do fork_id = fork_id and earlier(fork_id, own[later].fork) or own[later].fork end
      if not fork_id or not after(seen_id, fork_id) then return end
      for later = k + 1, #own do
        if own[later].lost and not after(own[later].lost, fork_id) then return end
      end
      return fork(clock, time, nonce, fork_id)
    end
    fork_id = fork_id and earlier(fork_id, theirs[index].fork) or theirs[index].fork
  end
end

local function clock_reply(clock)
  return { clock.epoch, id_text(clock.ms, clock.n), clock.chain, id_text(clock.now, 0) }
end

-- ARGV: base, nonce, seen id ('' = none), seen chain
local function clock_call(keys, argv)
  local clock, time = read_clock(argv[1], argv[2])
  if argv[3] ~= '' then hear_evidence(clock, time, argv[2], argv[3], argv[4]) end
  return clock_reply(clock)
end

-- Rule 5: has this very call been taken before? Returns the reply it deserves, or nil. What is remembered of a call is
-- `sequence id refusals` or `hash id refusals`; refusals are `place!reason,…`, so that a retry is told the same.
local function answered_before(base, publisher, sequence, once, once_hash, epoch)
  if publisher ~= '' then
    local highest, id, refused = string.match(redis.call('GET', base .. 'pub:' .. publisher) or '', '^(%d+) (%S+) ?(.*)$')
    if highest and tonumber(sequence) <= tonumber(highest) then
      return { 'duplicate', epoch, id, tonumber(sequence) == tonumber(highest) and refused or '' }
    end
  end
  if once ~= '' then
    local hash, id, refused = string.match(redis.call('GET', base .. 'once:' .. once) or '', '^(%S+) (%S+) ?(.*)$')
    if hash then return { hash == once_hash and 'duplicate' or 'conflict', epoch, id, refused } end
  end
  return nil
end

-- What a call knows of a metric: its directory entry and last readings are read once, and written once at its end.
-- Returns nil if the directory is full.
local function open_metric(base, clock, limits, touched, metric)
  local known = touched.metrics[metric]
  if known then return known end
  local tail_key = base .. 'tail'
  local opened = { name = metric, log = base .. 'log:' .. metric, last = base .. 'last:' .. metric, series = {}, order = {} }
  opened.previous = redis.call('HGET', tail_key, metric)
  if not opened.previous then
    if redis.call('HLEN', tail_key) + touched.births >= limits.metrics then return nil end
    redis.call('DEL', opened.log, opened.last) -- the directory is the truth: leftovers of an older life go at birth
    opened.previous = clock.forgot
    opened.born = true
  end
  touched.metrics[metric] = opened
  return opened
end

-- Appends one batch; returns its id, or the reason of its refusal after '!'.
local function append_batch(base, clock, limits, touched, metric, body, key, last, count)
  local opened = open_metric(base, clock, limits, touched, metric)
  if not opened then return '!metrics' end
  local series = opened.series[key]
  if not series then
    local found = redis.pcall('HGET', opened.last, key)
    if type(found) == 'table' then return '!poison' end
    series = { count = 0 }
    if found then
      series.count = tonumber(string.match(found, '^%S+ (%d+)') or 0)
    else
      opened.known = opened.known or redis.call('HLEN', opened.last)
      if opened.known >= limits.series then return '!series' end
      series.born = true
    end
  end
  local ms, n = clock.now, 0
  if ms <= clock.ms then ms, n = clock.ms, clock.n + 1 end
  local id = id_text(ms, n)
  local added
  if opened.used and limits.trim == '~' then -- whole nodes are trimmed: once in a call is enough
    added = redis.pcall('XADD', opened.log, id, 'p', opened.previous, 'd', body)
  else
    added = redis.pcall('XADD', opened.log, 'MAXLEN', limits.trim, limits.batches, id, 'p', opened.previous, 'd', body)
  end
  if type(added) == 'table' then return '!poison' end -- a foreign entry above our clock, or a foreign type
  -- nothing below can fail: what is in the log gets into the directory
  clock.ms, clock.n = ms, n
  if not opened.used then
    opened.used = true
    touched.order[#touched.order + 1] = opened
    if opened.born then touched.births = touched.births + 1 end
  end
  if not opened.series[key] then
    opened.series[key] = series
    opened.order[#opened.order + 1] = key
    if series.born then opened.known = opened.known + 1 end
  end
  opened.previous = id
  series.id, series.last, series.count = id, last, series.count + tonumber(count)
  return id
end

local function write_touched(base, clock, limits, touched)
  local tails = {}
  for _, opened in ipairs(touched.order) do
    local fields = {}
    for _, key in ipairs(opened.order) do
      local series = opened.series[key]
      fields[#fields + 1] = key
      fields[#fields + 1] = series.id .. ' ' .. string.format('%d', series.count) .. '\n' .. series.last
    end
    redis.call('HSET', opened.last, unpack(fields))
    if appends % TRIM_EVERY == 0 then
      redis.call('XTRIM', opened.log, 'MINID', '~', string.format('%d', clock.now - limits.age))
    end
    tails[#tails + 1] = opened.name
    tails[#tails + 1] = opened.previous
  end
  if #tails > 0 then redis.call('HSET', base .. 'tail', unpack(tails)) end
end

-- ARGV: 1 base, 2 nonce, 3 epoch, 4 publisher, 5 sequence, 6 once key, 7 once hash, 8 once ttl ms, 9 lease token,
-- 10 batches to keep, 11 '~' or '=', 12 age ms, 13 series limit, 14 metrics limit, 15 inbox stream, 16 inbox group,
-- 17 number of inbox ids, ids …, then 5 for each batch: metric, body, series key, last reading, count
local function append_call(keys, argv)
  local base, epoch = argv[1], argv[3]
  local clock = read_clock(base, argv[2])
  if clock.epoch ~= epoch then return { 'epoch', unpack(clock_reply(clock)) } end
  if argv[9] ~= '' and redis.call('GET', base .. 'lease') ~= argv[9] then return { 'lease', epoch, '0-0' } end
  local inbox_ids = tonumber(argv[17])
  if (#argv - 17 - inbox_ids) / 5 > CALL_MAX then return redis.error_reply('ERR more than 1000 batches in one append') end
  local before = answered_before(base, argv[4], argv[5], argv[6], argv[7], epoch)
  if before then return before end
  local limits = {
    batches = argv[10], trim = argv[11], age = tonumber(argv[12]), series = tonumber(argv[13]), metrics = tonumber(argv[14]),
  }
  local position = id_text(clock.ms, clock.n)
  local reply, frame, appended, refused = { 'ok', epoch, '' }, { '' }, 0, {}
  local touched = { metrics = {}, order = {}, births = 0 }
  appends = appends + 1
  for first = 18 + inbox_ids, #argv, 5 do
    local metric, body = argv[first], argv[first + 1]
    local id = append_batch(base, clock, limits, touched, metric, body, argv[first + 2], argv[first + 3], argv[first + 4])
    reply[#reply + 1] = id
    if string.byte(id) ~= 33 then -- '!'
      appended = appended + 1
      frame[#frame + 1] = string.format('%s %d %d\n', id, #metric, #body)
      frame[#frame + 1] = metric
      frame[#frame + 1] = body
    else
      refused[#refused + 1] = (#reply - 4) .. id
    end
  end
  write_touched(base, clock, limits, touched)
  local last = id_text(clock.ms, clock.n)
  reply[3] = last
  local answer = ' ' .. last .. (#refused > 0 and ' ' .. table.concat(refused, ',') or '')
  if argv[4] ~= '' then redis.call('SET', base .. 'pub:' .. argv[4], argv[5] .. answer, 'PX', 2592000000) end
  if argv[6] ~= '' then redis.call('SET', base .. 'once:' .. argv[6], argv[7] .. answer, 'PX', argv[8]) end
  if inbox_ids > 0 then
    redis.call('XACK', argv[15], argv[16], unpack(argv, 18, 17 + inbox_ids))
    redis.call('XDEL', argv[15], unpack(argv, 18, 17 + inbox_ids))
  end
  if appended > 0 then
    redis.call('HSET', clock.key, 'ms', string.format('%d', clock.ms), 'n', string.format('%d', clock.n))
    frame[1] = string.format('1 %s %s %d\n', epoch, position, appended)
    redis.call('PUBLISH', base .. 'live', table.concat(frame))
  end
  return reply
end

-- One holder appends what arrives on the inbox channel. The marker splits the channel between the old and the new one.
-- ARGV: base, token, ttl ms, marker channel. Returns 0 not ours, 1 still ours, 2 ours from the marker on.
local function lease_call(keys, argv)
  local key = argv[1] .. 'lease'
  local holder = redis.call('GET', key)
  if holder and holder ~= argv[2] then return 0 end
  redis.call('SET', key, argv[2], 'PX', argv[3])
  if holder then return 1 end
  redis.call('PUBLISH', argv[4], argv[2])
  return 2
end

-- Rule 17: trims idle metrics by age and forgets those silent for long; a later birth starts at `forgot`.
-- ARGV: base, nonce, age ms, silence ms, metrics …. Returns how many were forgotten.
local function sweep_call(keys, argv)
  local base = argv[1]
  local clock = read_clock(base, argv[2])
  local oldest, silent = clock.now - argv[3], clock.now - argv[4]
  local forgotten = 0
  for index = 5, #argv do
    local metric = argv[index]
    local last = redis.call('HGET', base .. 'tail', metric)
    if last and parse_id(last) < silent then
      redis.call('HDEL', base .. 'tail', metric)
      redis.call('DEL', base .. 'log:' .. metric, base .. 'last:' .. metric)
      if after(last, clock.forgot) then clock.forgot = last end
      forgotten = forgotten + 1
    elseif last then
      redis.pcall('XTRIM', base .. 'log:' .. metric, 'MINID', '~', string.format('%d', oldest))
    end
  end
  if forgotten > 0 then redis.call('HSET', clock.key, 'forgot', clock.forgot) end
  return forgotten
end

redis.register_function { function_name = '@LIB@_clock', callback = clock_call, flags = { 'allow-oom' } }
redis.register_function { function_name = '@LIB@_append', callback = append_call }
redis.register_function { function_name = '@LIB@_lease', callback = lease_call }
redis.register_function { function_name = '@LIB@_sweep', callback = sweep_call, flags = { 'allow-oom' } }
