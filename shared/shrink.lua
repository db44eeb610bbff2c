-- Stand-ins for messages that are too large, for nobody should read those. Put before the scripts that
-- use it.
--
-- A stand-in has the size of the message, and its first and last bytes: the id of its job is in those.
local HEAD_BYTES, TAIL_BYTES = 1024, 16384

local function printable(text)
  return (string.gsub(text, '[^\32-\126]', '?'))
end

-- The message itself, or what stands in for it if it has more than so many bytes.
local function shrunk(message, most)
  if #message <= most then
    return message
  end
  local headers = {
    too_large_bytes = #message,
    too_large_head = printable(string.sub(message, 1, HEAD_BYTES)),
    too_large_tail = printable(string.sub(message, -TAIL_BYTES)),
  }
  return cjson.encode({ headers = headers, properties = { delivery_info = { exchange = '' } } })
end
