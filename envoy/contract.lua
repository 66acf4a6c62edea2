-- What both filters know of the contract. REQUESTS and MESSAGES come from its descriptors; see envoy_messages.py.

-- What may hold any value.
local ANYTHING = {list = true}
ANYTHING.element = ANYTHING

-- Adds the message or map in a field, `of`, and for a list, what an element is.
local function link(field)
  field.of = MESSAGES[field.message]
  if field.value then
    link(field.value)
    field.value.each = "each value "
    field.of = {map = true, value = field.value}
  elseif not field.of and not field.scalar then
    field.list, field.element = true, ANYTHING
  elseif field.list then
    field.element = {of = field.of, scalar = field.scalar, expects = field.expects}
  end
end

for _, message in pairs(MESSAGES) do
  message.keys = {}
  for index, field in ipairs(message) do
    link(field)
    field.index = index
    message.keys[field.name], message.keys[field.json] = field, field
  end
end

-- Errors. The functions return the message, the field, and what is wrong with it.
local NOT_JSON = "The body is not valid JSON. Names and texts are in double quotes, and no comma comes before a"
  .. " closing bracket."
local NOT_UTF8 = "The body is not UTF-8."
local NOT_OBJECT = "The body must be a JSON object."
local TOO_DEEP = "The body is nested too deeply for any message."
local TOO_MANY = "The body has more than 180000 values, where an object or a list counts as two. No request needs so"
  .. " many. Send less, such as fewer items of a batch."
local ESCAPED_SLASH = "The path has an escaped slash or backslash, %2F or %5C, which no id or name contains."
local UNEXPECTED_BODY = "GET and HEAD requests have no body. Send parameters in the query."

-- An error as a text for explanation() in transcoder_errors.lua.
local function as_error(message, field, problem)
  return "Refused\n" .. message .. "\n" .. (field or "") .. "\n" .. (problem or "")
end

-- What is wrong with a field.
local TWICE = "is given twice"
local DIFFERS = "differs from the path"

local NOT_VALID = "The request is not valid: "

local function invalid(field, problem)
  return NOT_VALID .. field .. ": " .. problem .. ".", field, problem
end

-- `kind`: what is unknown; `hint`: what to use instead.
local function unknown_name(kind, name, hint)
  local message = NOT_VALID .. "unknown " .. kind .. " `" .. name .. "`; " .. hint .. (hint:find("%?$") and "" or ".")
  return message, name, "unknown " .. kind .. "; " .. hint
end

-- The field that a body is the value of.
local function of_body(request)
  local message = MESSAGES[request.message]
  return message.keys[request.body] or {of = message}
end

-- The field at a path such as spec.labels[0].value, and the path as REST names it: with JSON names, from the body on.
local function over_rest(request, path)
  local message, field, names = MESSAGES[request.message], nil, {}
  for name, index in path:gmatch("([%w_]+)([^.]*)") do
    if message and message.map then
      field = message.value
    else
      field = message and message.keys[name]
      if #names > 0 or name ~= request.body then
        names[#names + 1] = (field and field.json or name) .. (field and field.value and "" or index)
      end
    end
    message = field and field.of
  end
  return field, table.concat(names, ".")
end

-- How many characters must be inserted, removed, replaced or swapped to make one text of the other.
local function distance(a, b)
  local before, last, current = {}, {}, {}
  for j = 0, #b do
    current[j] = j
  end
  for i = 1, #a do
    before, last, current = last, current, {[0] = i}
    for j = 1, #b do
      local replaced = a:byte(i) == b:byte(j) and 0 or 1
      current[j] = math.min(last[j] + 1, current[j - 1] + 1, last[j - 1] + replaced)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        current[j] = math.min(current[j], before[j - 2] + 1)
      end
    end
  end
  return current[#b]
end

-- Whether a value is a segment of the path, or the part before its colon.
local function in_path(value, path)
  local _, last = path:lower():find("/" .. value:lower(), 1, true)
  return value ~= "" and last ~= nil and not path:find("^[%w_-]", last + 1)
end

-- The only decision on what is gRPC. It is the transcoder's own rule, because a request that only one
-- of them takes for gRPC would bypass what the filters do for REST: application/grpc, alone or before a plus.
local function is_grpc(content_type)
  local suffix = content_type:match("^application/grpc(.*)$")
  return suffix == "" or suffix ~= nil and suffix:sub(1, 1) == "+"
end

-- The name that was probably meant; nil if none is close. nearest.py has the same rules.
local function nearest(wanted, names)
  local function plain(name)
    return (name:sub(1, 40):lower():gsub("[_-]", ""))
  end
  wanted = plain(wanted)
  local least, found = math.floor(#wanted / 3) + 1, nil
  for _, name in ipairs(names) do
    local candidate, away = plain(name), least
    if #wanted >= 3 and candidate:sub(1, #wanted) == wanted then
      away = candidate == wanted and 0 or 1
    elseif math.abs(#candidate - #wanted) < least then
      away = distance(wanted, candidate)
    end
    if away < least then
      least, found = away, name
    end
  end
  return found
end

-- What to use instead of a name that a message does not have. `kind`: what its fields are called. `inner`: whether it is
-- in another message, so that the path has none of its fields.
local function instead(message, wanted, kind, inner)
  local names, inside = {}, {}
  for _, field in ipairs(message) do
    if not field.output and (inner or not field.bound) then
      names[#names + 1] = field.json
      local nested = field.of and not field.value and field.of.keys[wanted]
      if nested and #inside < 3 then
        inside[#inside + 1] = "`" .. field.json .. "." .. nested.json .. "`"
      end
    end
  end
  local near = nearest(wanted, names)
  if near then
    return "did you mean `" .. near .. "`?"
  elseif #inside > 0 then
    return "did you mean " .. table.concat(inside, " or ") .. "?"
  elseif #names == 0 then
    return "there are no " .. kind
  end
  return "the " .. kind .. " are `" .. table.concat(names, "`, `") .. "`"
end

local CHARACTERS = {  -- of UTF-8
  "^[ -~]", "^[\194-\223][\128-\191]", "^\224[\160-\191][\128-\191]", "^[\225-\236\238\239][\128-\191][\128-\191]",
  "^\237[\128-\159][\128-\191]", "^\240[\144-\191][\128-\191][\128-\191]",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]", "^\244[\128-\143][\128-\191][\128-\191]",
}

-- The last byte of the character that begins at a position; nil if none does.
local function character_end(text, at)
  for _, pattern in ipairs(CHARACTERS) do
    local _, last = text:find(pattern, at)
    if last then
      return last
    end
  end
end

-- What errors quote of a request: some characters, with question marks for what is none.
local function shown(text)
  local characters, at = {}, 1
  while at <= #text and #characters < 80 do
    local last = character_end(text, at)
    characters[#characters + 1] = last and text:sub(at, last) or "?"
    at = (last or at) + 1
  end
  return table.concat(characters) .. (at <= #text and "..." or "")
end

local function utf8(code)
  if code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64)
  end
  return string.char(0xe0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local ESCAPES = {['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}

-- A string of JSON without its escapes; nil if one is not valid.
local function unescaped(text)
  local valid = true
  text = text:gsub("\\(.?)(%x?%x?%x?%x?)", function(kind, digits)
    if kind == "u" and #digits == 4 then
      return utf8(tonumber(digits, 16))
    end
    valid = valid and ESCAPES[kind] ~= nil
    return (ESCAPES[kind] or "") .. digits
  end)
  return valid and text or nil
end
