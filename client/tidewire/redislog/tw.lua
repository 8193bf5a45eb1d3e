#!lua name=@LIB@
-- The only code that writes the log. Rules by number: docs/protocol.md. One text, since a function library is one.
--
-- Keys are built here from the base `tw:{p}:`; KEYS[1] is the clock and routes the call: everything else of a
-- partition shares its hash tag. An id is two numbers, ms and n; as text `ms-n`. The chain is text:
-- `epoch:fork:lost;epoch:fork:lost;…`, oldest first, `lost` empty or an id.

local CHAIN_MAX = 64
local TRIM_EVERY = 64 -- batches of a metric between two trims, on average; the sweeper trims what is idle
local LEASE_MAX_MS = 86400000
local PUBLISHER_MS = 2592000000 -- a publisher's last sequence is remembered for 30 days
local CALL_MAX = 1000 -- batches of one append; what is written at its end goes through unpack, whose stack is bounded

-- Neither Lua's library nor Redis's is there while this one loads; looked up with each use, they cost a twentieth of an
-- append.
local call, try, may, concat, format, match, ipairs, tonumber, type, unpack

local function bind()
  if call then return end
  call, try, may = redis.call, redis.pcall, redis.acl_check_cmd
  concat, format, match = table.concat, string.format, string.match
  ipairs, tonumber, type, unpack = _G.ipairs, _G.tonumber, _G.type, _G.unpack
end

-- Fails a call before a write, over what its user would be denied after it.
local function require_right(command, key, ...)
  if not may(command, key, ...) then
    error({ err = 'NOPERM this user has no permission to run ' .. command .. ' on ' .. key })
  end
end

local process = nil -- this server process, asked once: a restart or a promotion loads the library anew
local dice = 1 -- decides when to trim: a count over all metrics could fall on the same one for ever

local function process_id()
  if process == nil then process = match(call('INFO', 'server'), 'run_id:(%w+)') end
  return process
end

-- Epoch → the last id that this process has stated in it, as two numbers: a clock below it went back.
local stated_ms, stated_n = {}, {}

local function state(clock)
  stated_ms[clock.epoch], stated_n[clock.epoch] = clock.ms, clock.n
end

local function parse_id(text)
  local ms, n = match(text, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(n)
end

local clustered = nil -- likewise

local function is_clustered()
  if clustered == nil then clustered = string.find(call('INFO', 'cluster'), 'cluster_enabled:1') ~= nil end
  return clustered
end

-- In a slot that is moving, a key that has moved is missing here; written, it would be born twice. One command over all
-- keys of a call fails unless all are here, and so the call fails before its first write.
local function require_all_here(keys)
  local found = try('EXISTS', unpack(keys))
  if type(found) == 'table' then
    if string.find(found.err, 'NOPERM', 1, true) then error(found) end
    error({ err = 'TRYAGAIN the keys of this partition are moving to another server: repeat the call' })
  end
end

-- In a Cluster a message to a shard channel stays with the shard; one to a channel would go to every node.
local function live_command()
  return is_clustered() and 'SPUBLISH' or 'PUBLISH'
end

local number_texts = {} -- of small numbers: printf was a tenth of an append

local function number_text(number)
  local text = number_texts[number]
  if not text then
    text = format('%d', number)
    if number < 4096 then number_texts[number] = text end
  end
  return text
end

local function after(a, b) -- is id text a later than id text b?
  local a_ms, a_n = parse_id(a)
  local b_ms, b_n = parse_id(b)
  return a_ms > b_ms or (a_ms == b_ms and a_n > b_n)
end

local function earlier(a, b) if after(a, b) then return b end return a end

local function later(a, b) if after(a, b) then return a end return b end

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

-- Fails a call over a key that a foreign hand has overwritten; the error names it.
local function refuse_type(message, key)
  if string.find(message, 'WRONGTYPE', 1, true) then
    message = 'WRONGTYPE ' .. key .. ' is no hash: a foreign program has overwritten it; delete it, or restore it from a copy'
  end
  error({ err = message })
end

local function fork(clock, time, nonce, lost)
  clock.epoch = mint(time, nonce)
  local chain = clock.chain .. ';' .. clock.epoch .. ':' .. clock.id .. ':' .. (lost or '')
  local _, forks = string.gsub(chain, ';', '')
  if forks >= CHAIN_MAX then chain = match(chain, ';(.*)') end
  clock.chain = chain
  call('HSET', clock.key, 'epoch', clock.epoch, 'run', process_id(), 'ms', clock.ms, 'n', clock.n, 'chain', chain)
end

-- Rule 18: refuses a caller who takes the log for another: what it wrote would lie where nobody looks. A log of one
-- partition has no layout, so its birth looks whether there is one; who may not look gives birth to none. A partition of
-- several that is not there was emptied with its layout, which may be another now: only a read of the clock that follows a
-- look at it begins it.
local function require_layout(clock, base, stated, stored, begins)
  local foreign = stored and not match(stored, '^%d+ %d+ %d+$') -- what another hand wrote says nothing
  local mistaken = not foreign and stated ~= (stored or '')
  if not clock.epoch and stated == '' then
    mistaken = call('GET', base .. 'layout')
  elseif not clock.epoch then
    mistaken = not begins
  end
  if mistaken then error({ err = 'LAYOUT of this log is another, or it was emptied: ' .. (stored or 'none') }) end
end

-- Rule 1: the prologue of every call. A log whose last id lies below what was stated in its epoch went back: a key was
-- restored from a copy.
local function read_clock(base, nonce, layout, begins)
  local key = base .. 'clock'
  if is_clustered() then require_all_here({ key, base .. 'tail' }) end
  local fields = try('HMGET', key, 'epoch', 'run', 'ms', 'n', 'chain', 'forgot', 'metrics', 'newest', 'layout')
  if fields.err then
    if layout == '' and type(try('GET', base .. 'layout')) == 'string' then
      error({ err = 'LAYOUT of this log is another: several partitions' })
    end
    refuse_type(fields.err, key)
  end
  local time = call('TIME')
  local ms_text, n_text = fields[3] or '0', fields[4] or '0'
  if not tonumber(ms_text) or not tonumber(n_text) then ms_text, n_text = '0', '0' end -- a foreign hand: as if it went back
  local clock = {
    key = key, epoch = fields[1], ms = tonumber(ms_text), n = tonumber(n_text), chain = fields[5],
    forgot = fields[6] or '0-0', metrics = tonumber(fields[7]), newest = fields[8] or '', id = '0-0',
    now = time[1] * 1000 + math.floor(time[2] / 1000),
  }
  require_layout(clock, base, layout, fields[9], begins)
  if not clock.epoch then
    clock.epoch = mint(time, nonce)
    clock.chain = clock.epoch .. ':0-0:'
    clock.metrics = 0
    call('DEL', base .. 'tail')
    call('HSET', key, 'epoch', clock.epoch, 'run', process_id(), 'ms', 0, 'n', 0, 'chain', clock.chain, 'metrics', 0)
    if layout ~= '' then call('HSET', key, 'layout', layout) end
    return clock, time
  end
  clock.id = ms_text .. '-' .. n_text
  clock.chain = clock.chain or clock.epoch .. ':0-0:'
  local ms = stated_ms[clock.epoch]
  if fields[2] ~= process_id() then
    fork(clock, time, nonce, nil)
  elseif ms and (clock.ms < ms or (clock.ms == ms and clock.n < stated_n[clock.epoch])) then
    fork(clock, time, nonce, clock.id)
  end
  state(clock)
  return clock, time
end

-- A directory with fewer metrics than were born and not forgotten has lost some, and one that does not have the newest id
-- went back: they count as forgotten here, and a new epoch says that writes were lost, from the beginning, since nobody
-- knows which. Returns whether it did.
local function directory_lost(clock, base, time, nonce)
  local key = base .. 'tail'
  local there = try('HLEN', key)
  if type(there) == 'table' then refuse_type(there.err, key) end
  clock.directory = there
  if not parse_id(clock.forgot) then clock.forgot = '0-0' end
  if not clock.metrics then -- an older version did not count
    clock.metrics = there
    call('HSET', clock.key, 'metrics', there)
  end
  local behind = false
  local id, metric = match(clock.newest, '^(%S+) (.*)$')
  if id == clock.id then -- an older version did not write it
    behind = after(id, later(call('HGET', key, metric) or clock.forgot, clock.forgot))
  end
  if there >= clock.metrics and not behind then return false end
  clock.forgot, clock.metrics = clock.id, there
  call('HSET', clock.key, 'forgot', clock.forgot, 'metrics', there)
  fork(clock, time, nonce, '0-0')
  state(clock)
  return true
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
      fork_id = fork_id or clock.id -- the current epoch: if more was seen in it, the log itself went back
      if not after(seen_id, fork_id) then return end
      for later = k + 1, #own do
        if own[later].lost and not after(own[later].lost, fork_id) then return end
      end
      return fork(clock, time, nonce, fork_id)
    end
    fork_id = fork_id and earlier(fork_id, theirs[index].fork) or theirs[index].fork
  end
end

local function clock_reply(clock)
  return { clock.epoch, clock.id, clock.chain, format('%d-0', clock.now), clock.forgot }
end

-- ARGV: base, nonce, seen id ('' = none), seen chain, layout, whether it may begin a partition of several
local function clock_call(keys, argv)
  bind()
  local clock, time = read_clock(argv[1], argv[2], argv[5], argv[6] ~= '')
  directory_lost(clock, argv[1], time, argv[2])
  if argv[3] ~= '' then hear_evidence(clock, time, argv[2], argv[3], argv[4]) end
  return clock_reply(clock)
end

-- Rule 5: has this very call been taken before? Returns the reply it deserves, or nil and what is remembered of the
-- publisher. Of a call that is `sequence id refusals` or `hash id refusals`; refusals are `place!reason,…`, so that a retry
-- is told the same.
local function answered_before(base, publisher, sequence, once, once_hash, epoch)
  local remembered = false
  if publisher ~= '' then
    remembered = call('GET', base .. 'pub:' .. publisher)
    local highest, id, refused = match(remembered or '', '^(%d+) (%S+) ?(.*)$')
    if highest and tonumber(sequence) <= tonumber(highest) then
      return { 'duplicate', epoch, id, tonumber(sequence) == tonumber(highest) and refused or '' }
    end
  end
  if once then
    local hash, id, refused = match(call('GET', base .. 'once:' .. once) or '', '^(%S+) (%S+) ?(.*)$')
    if hash then return { hash == once_hash and 'duplicate' or 'conflict', epoch, id, refused } end
  end
  return nil, remembered
end

-- What a door's limits and retention say, one per line: parsed when they change, and not with every call.
local settings_text, settings = nil, nil

local function parse_settings(text)
  if text == settings_text then return settings end
  local lines = {}
  for line in string.gmatch(text .. '\n', '([^\n]*)\n') do lines[#lines + 1] = line end
  settings = {
    base = lines[1], tail = lines[1] .. 'tail', batches = lines[2], trim = lines[3], age = tonumber(lines[4]),
    series = tonumber(lines[5]), metrics = tonumber(lines[6]), inbox = lines[7], group = lines[8], live = lines[9], layout = lines[10],
  }
  settings_text = text
  return settings
end

-- Is it a foreign type, or a foreign entry above our clock, that makes a metric's keys refuse? Anything else may pass.
local function is_poison(message)
  return string.find(message, 'WRONGTYPE', 1, true) ~= nil
    or string.find(message, 'equal or smaller than the target stream top item', 1, true) ~= nil
    or string.find(message, 'exhausted the last possible ID', 1, true) ~= nil -- the highest top item that there is
end

-- What a call touches: directory entries and last readings are read once, and written once at its end. Returns the
-- metrics by name, and their names as 1, 2, …; so each metric has its series by key, and their keys. A table is made
-- with all its fields: one that grows field by field is copied three times on its way to eight. Returns also their
-- directory entries in order, whether some have none, and whether the user may take back whatever is written.
local function read_touched(limits, argv, first)
  local base, metrics = limits.base, {}
  for index = first, #argv, 4 do
    local metric, key = argv[index], argv[index + 2]
    local opened = metrics[metric]
    if not opened then
      opened = {
        log = base .. 'log:' .. metric, last = base .. 'last:' .. metric, series = {},
        previous = false, poison = false, known = false, born = false, appended = 0,
      }
      metrics[metric] = opened
      metrics[#metrics + 1] = metric
    end
    local series = opened.series
    if not series[key] then
      series[key] = {
        found = false, born = false, count = 0, id = false, last = false, time = -math.huge, time_text = false,
        last_id = false,
      }
      series[#series + 1] = key
    end
  end
  local tail = limits.tail
  local tails = try('HMGET', tail, unpack(metrics))
  if tails.err then refuse_type(tails.err, tail) end
  local unknown, undoable = false, true
  for place, metric in ipairs(metrics) do
    local opened = metrics[metric]
    opened.previous = tails[place]
    if opened.previous then
      local found = try('HMGET', opened.last, unpack(opened.series))
      opened.poison = found.err and is_poison(found.err)
      if found.err and not opened.poison then error(found) end
      local all = true
      for at, key in ipairs(opened.series) do
        opened.series[key].found = found[at]
        all = all and found[at]
      end
      undoable = undoable and may('XDEL', opened.log, '0-0') and (all or may('HDEL', opened.last, ''))
    else
      unknown = true
      undoable = undoable and may('DEL', opened.log, opened.last) and may('HDEL', tail, metric)
    end
  end
  return metrics, tails, unknown, undoable
end

-- What is stored of a series: `id count time reading-id\nreading`, of the last batch, of all, and of the newest reading by
-- its own time. An older version wrote neither time nor reading-id: then `id` has both. What a foreign hand wrote is older
-- than anything.
local function open_last(series)
  local count, time = match(series.found, '^%d+%-%d+ (%d+) (%d[%d.]*) %d+%-%d+\n')
  if not count then time, count = match(series.found, '^(%d+)%-%d+ (%d+)\n') end
  series.count, series.time = tonumber(count or 0), tonumber(time) or -math.huge
end

local function last_text(series)
  local id, count = series.id, number_text(series.count)
  if series.last then
    return id .. ' ' .. count .. ' ' .. series.time_text .. ' ' .. series.last_id .. '\n' .. series.last
  end
  local was, newest, reading = match(series.found, '^(%S+) %d+ ?([^\n]*)\n(.*)$') -- nothing newer came
  if newest == '' then newest = match(was, '^%d+') .. ' ' .. was end
  return id .. ' ' .. count .. ' ' .. newest .. '\n' .. reading
end

-- Why a series can take nothing, or nil; asked before its first batch of a call.
local function refusal(clock, limits, births, opened, series)
  if opened.poison then return '!poison' end
  if not opened.previous then
    if clock.directory + births >= limits.metrics then return '!metrics' end
    call('DEL', opened.log, opened.last) -- the directory is the truth: leftovers of an older life go at birth
    opened.previous, opened.born, opened.known = clock.forgot, true, 0
  end
  if series.found then
    open_last(series)
  else
    opened.known = opened.known or call('HLEN', opened.last)
    if opened.known >= limits.series then return '!series' end
    series.born = true
  end
  return nil
end

-- Appends the batches of a call; returns what was refused as `place!reason`. The ids of a call share their millisecond
-- and follow one another, so that a caller knows them from the last one. The clock goes first, as if nothing will be
-- refused: what fails later has burnt its ids.
local function append_batches(clock, limits, metrics, argv, first, frame)
  local refused, births = {}, 0
  local ms, n, newest = clock.now, 0, clock.newest
  if ms <= clock.ms then ms, n = clock.ms, clock.n + 1 end
  local ms_text = format('%d', ms)
  local prefix, last_n = ms_text .. '-', number_text(n + (#argv + 1 - first) / 4 - 1)
  call('HSET', clock.key, 'ms', ms_text, 'n', last_n, 'newest', prefix .. last_n .. ' ' .. argv[#argv - 3])
  for index = first, #argv, 4 do
    local metric, body, last = argv[index], argv[index + 1], argv[index + 3]
    local opened = metrics[metric]
    local series = opened.series[argv[index + 2]]
    local reason = not series.id and refusal(clock, limits, births, opened, series) or nil
    local time, time_text, count, reading = tonumber(last), last, 1, body
    if not time then
      count, time_text, reading = match(last, '^(%d+) (%S+)\n(.*)$')
      time = tonumber(time_text)
    end
    if time == 0 then time, time_text = ms, number_text(ms) end
    local newer = time >= series.time -- of equal times the later id
    local id = prefix .. number_text(n)
    local added = not reason and try('XADD', opened.log, id, 'p', opened.previous, 'd', body)
    if type(added) == 'table' then
      if not is_poison(added.err) then error(added) end
      reason = '!poison'
    end
    if reason then
      refused[#refused + 1] = format('%d%s', (index - first) / 4, reason)
    else
      -- nothing below can fail: what is in the log gets into the frame, which says what to take back
      if opened.born and opened.appended == 0 then births = births + 1 end
      if series.born and not series.id then opened.known = opened.known + 1 end
      opened.previous, opened.appended, series.id = id, opened.appended + 1, id
      series.count = series.count + count
      if newer then series.time, series.time_text, series.last_id, series.last = time, time_text, id, reading end
      local parts = #frame
      frame[parts + 1] = id .. ' ' .. number_text(#metric) .. ' ' .. number_text(#body) .. '\n'
      frame[parts + 2] = metric
      frame[parts + 3] = body
      clock.ms, clock.n, clock.id, n = ms, n, id, n + 1
    end
  end
  if #refused > 0 then
    if #frame > 1 then newest = clock.id .. ' ' .. frame[#frame - 1] end -- and its metric
    call('HSET', clock.key, 'ms', format('%d', clock.ms), 'n', number_text(clock.n), 'newest', newest)
  end
  if births > 0 then call('HSET', clock.key, 'metrics', clock.metrics + births) end
  return refused
end

local function trim(clock, limits, opened)
  dice = dice * 16807 % 2147483647
  local due = dice % TRIM_EVERY < opened.appended
  if due or limits.trim == '=' then call('XTRIM', opened.log, 'MAXLEN', limits.trim, limits.batches) end
  if due then call('XTRIM', opened.log, 'MINID', '~', format('%d', math.max(0, clock.now - limits.age))) end
end

-- Writes the last readings of a metric.
local function write_last(opened)
  local names = opened.series
  if #names == 1 then return call('HSET', opened.last, names[1], last_text(names[names[1]])) end
  local fields = {}
  for _, key in ipairs(names) do
    local series = names[key]
    if series.id then
      local at = #fields
      fields[at + 1] = key
      fields[at + 2] = last_text(series)
    end
  end
  call('HSET', opened.last, unpack(fields))
end

local function write_touched(limits, metrics)
  local tails = {}
  for _, metric in ipairs(metrics) do
    local opened = metrics[metric]
    if opened.appended > 0 then
      write_last(opened)
      local at = #tails
      tails[at + 1] = metric
      tails[at + 2] = opened.previous
    end
  end
  if #tails > 0 then call('HSET', limits.tail, unpack(tails)) end
end

-- Fails a call before its first write, if its user may not make all its writes: asked of those who could not take back
-- what they wrote, since it would be a tenth of an append.
local function require_rights(limits, metrics, publisher, once)
  local base = limits.base
  require_right('HSET', base .. 'clock', 'ms', '')
  require_right('HSET', limits.tail, '', '')
  for _, metric in ipairs(metrics) do
    local opened = metrics[metric]
    if not opened.previous then require_right('DEL', opened.log, opened.last) end
    require_right('XADD', opened.log, '*', 'p', '')
    require_right('XTRIM', opened.log, 'MAXLEN', '0')
    require_right('HSET', opened.last, '', '')
  end
  if publisher ~= '' then require_right('SET', base .. 'pub:' .. publisher, '') end
  if once then require_right('SET', base .. 'once:' .. once, '') end
  require_right(live_command(), limits.live, '')
end

-- Returns who holds the lease: a token, false for nobody, or an error table for a key of a foreign type.
local function lease_holder(key)
  local holder = try('GET', key)
  if type(holder) == 'table' and not string.find(holder.err, 'WRONGTYPE', 1, true) then error(holder) end
  return holder
end

-- Every key that an append may touch; two or more, since one alone never fails.
local function append_keys(limits, argv)
  local base, inbox_ids = limits.base, tonumber(argv[8])
  local once = match(argv[6], '^%S+ %d+ (.*)$')
  local keys = { base .. 'clock', base .. 'tail' }
  if argv[7] ~= '' then keys[#keys + 1] = base .. 'lease' end
  if argv[4] ~= '' then keys[#keys + 1] = base .. 'pub:' .. argv[4] end
  if once then keys[#keys + 1] = base .. 'once:' .. once end
  if inbox_ids > 0 then keys[#keys + 1] = limits.inbox end
  for index = 9 + inbox_ids, #argv, 4 do
    keys[#keys + 1] = base .. 'log:' .. argv[index]
    keys[#keys + 1] = base .. 'last:' .. argv[index]
  end
  return keys
end

-- Everything that an append writes; returns its refusals. What cannot be taken back comes last: the acknowledgement of
-- the inbox, which was tried before, and the live frame.
local function write(clock, limits, metrics, argv, first, frame, once_hash, once_ttl, once)
  local base, position, refusals = limits.base, clock.id, ''
  if first < #argv then
    local refused = append_batches(clock, limits, metrics, argv, first, frame)
    if #refused > 0 then refusals = concat(refused, ',') end
    write_touched(limits, metrics)
  end
  local answer = ' ' .. clock.id .. (refusals ~= '' and ' ' .. refusals or '')
  if argv[4] ~= '' then call('SET', base .. 'pub:' .. argv[4], argv[5] .. answer, 'PX', PUBLISHER_MS) end
  if once then call('SET', base .. 'once:' .. once, once_hash .. answer, 'PX', once_ttl) end
  for _, metric in ipairs(metrics) do
    if metrics[metric].appended > 0 then trim(clock, limits, metrics[metric]) end
  end
  if first > 9 then
    call('XACK', limits.inbox, limits.group, unpack(argv, 9, first - 1))
    call('XDEL', limits.inbox, unpack(argv, 9, first - 1))
  end
  if #frame > 1 then
    frame[1] = '1 ' .. clock.epoch .. ' ' .. position .. ' ' .. number_text((#frame - 1) / 3) .. '\n'
    call(live_command(), limits.live, concat(frame))
    state(clock)
  end
  return refusals
end

-- Takes back what a failed append wrote; only its ids are burnt. It may: that was asked before the first write, or the
-- command is the one that wrote. What was denied wrote nothing, and is denied here again. What was trimmed stays trimmed.
local function undo(clock, limits, metrics, tails, frame, publisher, remembered, once)
  local base = limits.base
  for part = 2, #frame, 3 do try('XDEL', metrics[frame[part + 1]].log, match(frame[part], '^%S+')) end
  for place, metric in ipairs(metrics) do
    local opened = metrics[metric]
    if opened.born then
      try('DEL', opened.log, opened.last)
      try('HDEL', limits.tail, metric)
    elseif opened.appended > 0 then
      for _, key in ipairs(opened.series) do
        local series = opened.series[key]
        if series.id and series.found then
          try('HSET', opened.last, key, series.found)
        elseif series.id then
          try('HDEL', opened.last, key)
        end
      end
      try('HSET', limits.tail, metric, tails[place])
    end
  end
  if #metrics > 0 then try('HSET', clock.key, 'newest', '') end -- of its id there is no batch
  if clock.metrics then try('HSET', clock.key, 'metrics', clock.metrics) end
  if publisher ~= '' and remembered then
    try('SET', base .. 'pub:' .. publisher, remembered, 'PX', PUBLISHER_MS)
  elseif publisher ~= '' then
    try('SET', base .. 'pub:' .. publisher, '', 'PX', 1) -- whoever may SET it may not always DEL it
  end
  if once then try('SET', base .. 'once:' .. once, '', 'PX', 1) end
end

-- ARGV: 1 settings, 2 nonce, 3 epoch, 4 publisher, 5 sequence, 6 idempotency (`hash ttl-ms key`, or ''), 7 lease token,
-- 8 number of inbox ids, ids …, then 4 for each batch: metric, body, series key, and the time of its only reading, or
-- `readings time\nreading`, the last two of its newest reading; the time is 0 if unknown. Settings: base, batches to
-- keep, '~' or '=', age ms, series limit, metrics limit, inbox stream, inbox group, live channel,
-- layout; one per line.
-- Returns 'ok', epoch, last id, refusals; or what `answered_before` does; or 'epoch' and the clock; or 'lease'.
local function append_call(keys, argv)
  bind()
  local limits, epoch, publisher, sequence = parse_settings(argv[1]), argv[3], argv[4], argv[5]
  local base = limits.base
  if is_clustered() then require_all_here(append_keys(limits, argv)) end
  local clock, time = read_clock(base, argv[2], limits.layout)
  if clock.epoch ~= epoch then return { 'epoch', unpack(clock_reply(clock)) } end
  if argv[7] ~= '' and lease_holder(base .. 'lease') ~= argv[7] then return { 'lease', epoch, '0-0' } end
  local inbox_ids = tonumber(argv[8])
  local first = 9 + inbox_ids
  local batches = (#argv + 1 - first) / 4
  if batches > CALL_MAX then return redis.error_reply('ERR more than 1000 batches in one append') end
  if batches % 1 ~= 0 then return redis.error_reply('ERR half a batch in an append') end
  local once_hash, once_ttl, once = match(argv[6], '^(%S+) (%d+) (.*)$')
  local before, remembered = answered_before(base, publisher, sequence, once, once_hash, epoch)
  if before then return before end
  if inbox_ids > 0 then -- it cannot be taken back, so what can fail fails here: no entry has this id
    call('XACK', limits.inbox, limits.group, '0-0')
    call('XDEL', limits.inbox, '0-0')
    if first < #argv then require_right(live_command(), limits.live, '') end
  end
  local metrics, tails, unknown, undoable = {}, {}, false, true
  if first < #argv then
    metrics, tails, unknown, undoable = read_touched(limits, argv, first)
    if unknown and directory_lost(clock, base, time, argv[2]) then return { 'epoch', unpack(clock_reply(clock)) } end
    if not undoable then require_rights(limits, metrics, publisher, once) end
  end
  local frame = { '' }
  local done, result = pcall(write, clock, limits, metrics, argv, first, frame, once_hash, once_ttl, once)
  if done then return { 'ok', epoch, clock.id, result } end
  undo(clock, limits, metrics, tails, frame, publisher, remembered, once)
  error(result)
end

-- One holder appends what arrives on the inbox channel. The marker splits the channel between the old and the new one.
-- ARGV: base, token, ttl ms, marker channel. Returns 0 not ours, 1 still ours, 2 ours from the marker on.
local function lease_call(keys, argv)
  bind()
  local key = argv[1] .. 'lease'
  local holder = lease_holder(key)
  local ttl = try('PTTL', key) -- an older list of users may not have it
  -- a foreign hand left it: of another type, or for ever; a holder renews it every few seconds
  local foreign = type(holder) == 'table' or (type(ttl) == 'number' and (ttl == -1 or ttl > LEASE_MAX_MS))
  if holder and holder ~= argv[2] and not foreign then return 0 end
  -- without its marker a lease would be taken and renewed, and nobody told
  if holder ~= argv[2] then require_right('PUBLISH', argv[4], argv[2]) end
  call('SET', key, argv[2], 'PX', argv[3])
  if holder == argv[2] then return 1 end
  call('PUBLISH', argv[4], argv[2])
  return 2
end

-- Forgets the series of a metric whose last batch lies before a time; returns how many. In pages: all last readings of a
-- metric may be large together.
local function forget_series(key, before)
  local gone, cursor = 0, '0'
  repeat
    local page = call('HSCAN', key, cursor, 'COUNT', 100)
    cursor = page[1]
    for index = 1, #page[2], 2 do
      local ms = tonumber(match(page[2][index + 1], '^(%d+)%-'))
      if ms and ms < before then gone = gone + call('HDEL', key, page[2][index]) end
    end
  until cursor == '0'
  return gone
end

-- Forgets a metric as a whole, or fails before its first write. `forgot` first: a birth that finds no entry starts there.
local function forget_metric(clock, base, metric, tail)
  local log, last = base .. 'log:' .. metric, base .. 'last:' .. metric
  require_right('HDEL', base .. 'tail', metric)
  require_right('DEL', log, last)
  if is_clustered() then require_all_here({ log, last }) end
  clock.forgot = later(tail, clock.forgot)
  call('HSET', clock.key, 'forgot', clock.forgot)
  if clock.metrics then
    clock.metrics = clock.metrics - 1
    call('HSET', clock.key, 'metrics', clock.metrics)
  end
  call('HDEL', base .. 'tail', metric)
  call('DEL', log, last)
end

-- Rule 17: trims idle metrics by age and forgets those silent for long; a later birth starts at `forgot`. Of a metric that
-- goes on, or has as many series as are allowed, those are forgotten of which nothing is kept any more.
-- ARGV: base, nonce, age ms, silence ms, series limit, layout, metrics …. Returns how many metrics and series were forgotten.
local function sweep_call(keys, argv)
  bind()
  local base, series_limit = argv[1], tonumber(argv[5])
  local clock = read_clock(base, argv[2], argv[6])
  local oldest, silent = clock.now - argv[3], clock.now - argv[4]
  local metrics, series = 0, 0
  for index = 7, #argv do
    local metric = argv[index]
    local tail = call('HGET', base .. 'tail', metric)
    local log, last = base .. 'log:' .. metric, base .. 'last:' .. metric
    local ms = tail and parse_id(tail)
    local forget = ms and ms < silent
    if ms and not forget then
      local trimmed = try('XTRIM', log, 'MINID', '~', format('%d', math.max(0, oldest)))
      if type(trimmed) == 'table' and not is_poison(trimmed.err) then error(trimmed) end
      local known = try('HLEN', last)
      if type(known) == 'number' and ((known > 1 and ms >= oldest) or known >= series_limit) then
        local gone = forget_series(last, math.max(oldest, silent))
        series = series + gone
        forget = gone == known
      end
    end
    if forget then
      forget_metric(clock, base, metric, tail)
      metrics = metrics + 1
    end
  end
  return { metrics, series }
end

-- The layout of the log, which is written once: by whoever comes first with one, while there is no log of one partition.
-- The place of the clock of such a log is taken with it: whoever takes the log for one of one partition, an older version
-- too, is refused there.
-- ARGV: base of home, the layout wanted ('' = of one partition). Returns the layout that holds, '' for one partition.
local function layout_call(keys, argv)
  bind()
  local key = argv[1] .. 'layout'
  if is_clustered() then require_all_here({ key, argv[1] .. 'clock' }) end
  local stored = call('GET', key)
  local clock = try('HGET', argv[1] .. 'clock', 'epoch') -- an error: it is taken
  if not stored and (argv[2] == '' or type(clock) == 'string') then return '' end
  if not stored then
    stored = argv[2]
    call('SET', key, stored)
  end
  if clock == false then call('SET', argv[1] .. 'clock', 'this log has several partitions: see the key layout') end
  return stored
end

redis.register_function { function_name = '@LIB@_clock', callback = clock_call, flags = { 'allow-oom' } }
redis.register_function { function_name = '@LIB@_append', callback = append_call }
redis.register_function { function_name = '@LIB@_lease', callback = lease_call }
redis.register_function { function_name = '@LIB@_sweep', callback = sweep_call, flags = { 'allow-oom' } }
redis.register_function { function_name = '@LIB@_layout', callback = layout_call, flags = { 'allow-oom' } }
