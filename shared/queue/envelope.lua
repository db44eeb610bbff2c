-- Reader of kombu messages. It bounds numbers in the same way as `shared/protocol/envelope.py`.

-- Most bytes of a message without its body. A message with more is refused without parsing.
local HEADERS_MAX_BYTES = 131072
-- Most quotes and backslashes to look at in one body, and most texts with the key "body" to look for. Base64, as
-- Celery writes it, has neither quotes nor backslashes.
local MOST_LOOKS, MOST_BODIES = 40000, 64
local BACKSLASH = 92
-- The latest time: the end of the year 9999, in Unix seconds, which is also the latest of Python's datetime.
local LATEST = 253402300799
local COUNT_MAX = 1000000
local DAYS_OF_MONTH = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
local TOO_LARGE, HEADERS_TOO_LARGE, NO_MESSAGE = 'too large', 'headers too large', 'no message'

-- A number, or nil for anything else, such as true, text or NaN. A number too large for a double is infinite.
local function number_from(value)
  return type(value) == 'number' and value == value and value or nil
end

local function time_from(value)
  local number = number_from(value)
  return number and number >= 0 and number <= LATEST and number + 0 or nil
end

local function bounded(value, most)
  return math.floor(math.min(math.max(number_from(value) or 0, 0), most)) + 0 -- no minus zero
end

local function count_from(value)
  return bounded(value, COUNT_MAX)
end

local function level_from(value)
  if type(value) == 'string' and string.find(value, '^%d+$') then
    value = tonumber(value)
  end
  return bounded(value, 9)
end

-- A tenant's name, as shared/protocol/tenants.py allows it, or nil.
local function tenant_from(value)
  local name = type(value) == 'string' and #value <= 129 and value or ''
  local team, user = string.match(name, '^([%w][%w_.@-]*)/?(.*)$')
  if team and #team <= 64 and #user <= 64 and (name == team or string.find(user, '^[%w][%w_.@-]*$')) then
    return name
  end
  return nil
end

local function text_from(value)
  return type(value) == 'string' and value ~= '' and value or nil
end

-- Days from 1970-01-01 to a date. Source: Howard Hinnant, "chrono-compatible low-level date algorithms",
-- days_from_civil.
local function days_of(year, month, day)
  if month <= 2 then
    year = year - 1
  end
  local era = math.floor(year / 400)
  local of_era = year - era * 400
  local day_of_year = math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + day_of_year - 719468
end

local function is_date(year, month, day)
  local is_leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return day >= 1 and day <= (DAYS_OF_MONTH[month] or 0) and (month ~= 2 or day <= 28 or is_leap)
end

-- The offset of a time zone from UTC in seconds, or nil if the text is not a time zone.
local function offset_of(text)
  if text == '' or text == 'Z' then
    return 0
  end
  local sign, hours, minutes = string.match(text, '^([+-])(%d%d):?(%d%d)$')
  if not sign or tonumber(hours) > 23 or tonumber(minutes) > 59 then
    return nil
  end
  return (tonumber(hours) * 3600 + tonumber(minutes) * 60) * (sign == '-' and -1 or 1)
end

-- Unix seconds of an ISO 8601 time, such as a message's eta, or nil for anything else.
local function seconds_of(text)
  local year, month, day, hour, minute, rest =
    string.match(text_from(text) or '', '^(%d%d%d%d)-(%d%d)-(%d%d)[T ](%d%d):(%d%d)(.*)$')
  if not year then
    return nil
  end
  year, month, day, hour, minute = tonumber(year), tonumber(month), tonumber(day), tonumber(hour), tonumber(minute)
  local second, fraction = 0, 0
  local seconds, after = string.match(rest, '^:(%d%d)(.*)$')
  if seconds then
    second, rest = tonumber(seconds), after
    local digits, zone = string.match(rest, '^%.(%d+)(.*)$')
    if digits then
      fraction, rest = tonumber('0.' .. digits), zone
    end
  end
  local offset = offset_of(rest)
  if not offset or not is_date(year, month, day) or hour > 23 or minute > 59 or second > 59 then
    return nil
  end
  return time_from(days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second + fraction - offset)
end

-- The position of the quote that ends a JSON string: the first with an even number of backslashes before it.
-- Returns nil if there is none, or if the search had to look at too many quotes and backslashes.
local function end_of_string(text, first)
  local from, looks = first, 0
  while looks < MOST_LOOKS do
    local quote = string.find(text, '"', from, true)
    if not quote then
      return nil
    end
    local other = quote - 1
    while other >= first and string.byte(text, other) == BACKSLASH and looks < MOST_LOOKS do
      other, looks = other - 1, looks + 1
    end
    if (quote - 1 - other) % 2 == 0 then
      return looks < MOST_LOOKS and quote or nil
    end
    from, looks = quote + 1, looks + 1
  end
end

-- A message without its body, which is its largest part and is not needed here. Every string with the key "body"
-- is left out, at any depth. Returns nil if more than HEADERS_MAX_BYTES are left.
local function without_body(message)
  local parts, from, at, room = {}, 1, 1, HEADERS_MAX_BYTES
  for _ = 1, MOST_BODIES do
    local ahead = string.sub(message, at, at + room)
    local start, stop = string.find(ahead, '"body"', 1, true)
    if not start then
      break
    end
    local _, opening = string.find(ahead, '^%s*:%s*"', stop + 1)
    local closing = opening and end_of_string(message, at + opening)
    if closing then
      parts[#parts + 1] = string.sub(message, from, at + opening - 1)
      from, room = closing, room - opening
      at = closing + 1
    else
      at, room = at + stop, room - stop
    end
  end
  if #message - from + 1 > HEADERS_MAX_BYTES then
    return nil
  end
  parts[#parts + 1] = string.sub(message, from)
  return table.concat(parts)
end

-- JSON text without escapes of half a surrogate pair, which cjson refuses and Python accepts.
local function without_halves(text)
  local is_second = false
  return (string.gsub(text, '\\(.)(%x?%x?%x?%x?)()', function(kind, digits, behind)
    local is_high = kind == 'u' and string.find(digits, '^[dD][89abAB]')
    local is_low = kind == 'u' and string.find(digits, '^[dD][c-fC-F]')
    local is_first = is_high and string.find(text, '^\\u[dD][c-fC-F]%x%x', behind)
    local is_half = (is_high and not is_first) or (is_low and not is_second)
    is_second = is_first
    return is_half and '?' or nil
  end))
end

-- True if text is valid UTF-8, as every reader of keys and ids expects.
local function is_utf8(text)
  if not string.find(text, '[\128-\255]') then
    return true
  end
  local tail = '[\128-\191]'
  for _, sequence in ipairs({ '[\194-\223]' .. tail, '\224[\160-\191]' .. tail, '[\225-\236\238\239]' .. tail .. tail,
    '\237[\128-\159]' .. tail, '\240[\144-\191]' .. tail .. tail, '[\241-\243]' .. tail .. tail .. tail,
    '\244[\128-\143]' .. tail .. tail }) do
    text = string.gsub(text, sequence, ' ')
  end
  return not string.find(text, '[\128-\255]')
end

local function decode(text)
  local ok, found = pcall(cjson.decode, text)
  if not ok and string.find(text, '\\u[dD]') then
    ok, found = pcall(cjson.decode, without_halves(text))
  end
  return ok and type(found) == 'table' and found or nil
end

-- The headers and properties of a message, or nil and a reason if no worker could read it.
local function read(message, most_bytes)
  if #message > most_bytes then
    return nil, TOO_LARGE
  end
  local short = without_body(message)
  if not short or #short > HEADERS_MAX_BYTES then
    return nil, HEADERS_TOO_LARGE
  end
  local found = decode(short)
  if not found or type(found.headers) ~= 'table' or type(found.properties) ~= 'table'
    or not is_utf8(text_from(found.headers.id) or '') then
    return nil, NO_MESSAGE
  end
  return found
end
