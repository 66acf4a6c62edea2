-- Refuses a JSON body with a key that its message does not have, or has twice. The transcoder would ignore it, and the
-- caller would believe that it has an effect.
--
-- The body is complete here, because the filter `buffer` holds and bounds it. The check is one pass without recursion.
-- It only finds where values end, and leaves their errors to the transcoder. But the transcoder also takes what is not
-- JSON, such as keys in single quotes. That is refused here, because both must see the same keys.

local byte, find, sub = string.byte, string.find, string.sub

-- As deep as the transcoder goes.
local MAX_DEPTH = 100
-- More than fit in any useful body of 1 MiB: 1000 uploads with 100 tags and 64 labels have 170000. Values cost much
-- more time than the bytes in them, and objects and lists twice as much as others, so they count as two.
local MAX_VALUES = 180000
-- No body has more, because the filter `buffer` refuses it.
local MAX_BYTES = 1048576
-- How many keys of maps are compared. The server refuses maps with more.
local MAX_MAP_KEYS = 10000
-- Of keys whose escapes are read, which takes time: the length, which no name reaches, and how many.
local MAX_ESCAPED, MAX_UNESCAPED = 300, 1000
-- Of an object that is not an operation: the bytes and the values that are searched for the name of one.
local MAX_SEARCHED, MAX_NAMES = 2000, 20
-- More than any message has fields.
local SLOTS = 1
for _, message in pairs(MESSAGES) do
  SLOTS = math.max(SLOTS, #message + 1)
end

-- What may come next. FIRST_KEY and FIRST_VALUE may also be a closing bracket.
local VALUE, FIRST_VALUE, KEY, FIRST_KEY, COLON, NEXT = 1, 2, 3, 4, 5, 6

-- Of the open objects and lists, by depth. `held`: the message of an object, nil if it may have any keys; the field of
-- a list's elements. `numbers`: the number of an object in all bodies: its position, counted on from `before`; 0 of a
-- list. `places`: the current key or index.
local held, numbers, places, before = {}, {}, {}, 0
-- The number of the object that last had a field, by depth and field.
local given = {}
for index = 1, (MAX_DEPTH + 1) * SLOTS do
  given[index] = 0
end

-- Whether a byte is white space; whether it is part of a number or a word.
local IN_SPACE, IN_WORD = {}, {}
for c = 0, 255 do
  IN_SPACE[c] = find(string.char(c), "[ \n\r\t]") ~= nil
  IN_WORD[c] = find(string.char(c), "[%w+.-]") ~= nil
end

-- Returns the quote that ends a string; nil if none does.
local function string_end(text, at)
  local quote = find(text, '"', at, true)
  if not quote or byte(text, quote - 1) ~= 92 then
    return quote
  end
  while at <= #text do
    local c = byte(text, at)
    if c == 34 then
      return at
    end
    at = at + (c == 92 and 2 or 1)
  end
end

-- Whether the value of a key is a text that is not in the path. The transcoder would take one of them.
local function differs(text, at, path)
  local value = text:match('^%s*:%s*"([^"]*)"', at)
  return value and not in_path(value, path)
end

-- Returns nil, or the position of what is wrong, the depth, the place of the field if it is one, and the problem: nil if
-- the message does not have the field, or if the text is not JSON.
--
-- Loops over bytes are what the compiler of Lua is good at. 1 MiB takes less than 10 milliseconds, whatever is in it.
local function first_fault(text, body, path)
  before = before + MAX_BYTES
  local state, at, depth, field, list = VALUE, 1, 0, body, false
  local unescapings, compared, map_keys = 0, 0, {}
  local size, values = #text, 0
  while at <= size do
    local c = byte(text, at)
    if IN_SPACE[c] then
      -- white space
    elseif state == NEXT then
      if depth == 0 then
        return at, depth
      elseif c == 44 then
        if list then
          state, field, places[depth] = VALUE, held[depth], places[depth] + 1
        else
          state = KEY
        end
      elseif c == (list and 93 or 125) then
        depth = depth - 1
        list = numbers[depth] == 0
      else
        return at, depth
      end
    elseif state <= FIRST_VALUE then
      values = values + 1
      if values > MAX_VALUES then
        return at, depth, nil, TOO_MANY
      elseif c == 123 or c == 91 then
        list, values = c == 91, values + 1
        if depth == 0 and list then
          return at, depth
        elseif list and not field.list or field.scalar and not list then
          return at, depth, places[depth], "must be " .. field.expects .. (list and ", not a list" or ", not an object")
        end
        depth = depth + 1
        if depth > MAX_DEPTH then
          return at, depth, nil, TOO_DEEP
        elseif list then
          state, field = FIRST_VALUE, field.element
          held[depth], numbers[depth], places[depth] = field, 0, 0
        else
          state = FIRST_KEY
          held[depth], numbers[depth] = field.of, before + at
        end
      elseif c == 93 and state == FIRST_VALUE then
        state, depth, values = NEXT, depth - 1, values - 1
        list = numbers[depth] == 0
      elseif depth == 0 then
        return at, depth
      elseif c == 34 then
        state, at = NEXT, string_end(text, at + 1)
        if not at then
          return #text + 1, depth
        end
      elseif IN_WORD[c] then
        state = NEXT
        while IN_WORD[byte(text, at + 1)] do
          at = at + 1
        end
      else
        return at, depth
      end
    elseif state == COLON then
      if c ~= 58 then
        return at, depth
      end
      state = VALUE
    elseif c == 34 then
      local start, message = at + 1, held[depth]
      state, at = COLON, string_end(text, start)
      if not at then
        return #text + 1, depth
      elseif not message then
        field = ANYTHING
      elseif message.map and compared == MAX_MAP_KEYS then
        field, places[depth] = message.value, "?"
      else
        local key = sub(text, start, at - 1)
        field = not message.map and message.keys[key]
        if not field and find(key, "\\", 1, true) and #key <= MAX_ESCAPED and unescapings < MAX_UNESCAPED then
          unescapings, key = unescapings + 1, unescaped(key)
          if not key then
            return start, depth
          end
          field = not message.map and message.keys[key]
        end
        if field then
          local slot = depth * SLOTS + field.index
          if given[slot] == numbers[depth] then
            return at, depth, field.json, TWICE
          end
          given[slot], places[depth] = numbers[depth], field.json
          if depth == 1 and field.bound and differs(text, at + 1, path) then
            return at, depth, field.json, DIFFERS
          end
        elseif message.map then
          local known = map_keys[depth] or {}
          if known[key] == numbers[depth] then
            return at, depth, key, TWICE
          end
          known[key], map_keys[depth], places[depth] = numbers[depth], known, key
          compared, field = compared + 1, message.value
        else
          return at, depth, key
        end
      end
      if byte(text, at + 1) == 58 then
        state, at = VALUE, at + 1
      end
    elseif c == 125 and state == FIRST_KEY then
      state, depth = NEXT, depth - 1
      list = numbers[depth] == 0
    else
      return at, depth
    end
    at = at + 1
  end
  if depth > 0 then
    return at, depth
  end
end

-- The path of a field, from the body on. `last`: its key or index in the innermost object or list.
local function path_to(depth, last)
  local path = ""
  for level = 1, depth do
    local place = level < depth and places[level] or last
    if numbers[level] == 0 then
      path = path .. "[" .. place .. "]"
    else
      path = path .. (path == "" and "" or ".") .. shown(place)
    end
  end
  return path
end

-- The right form of an operation that is written with its name as a value, or of a filter that is written as an
-- operation; nil if there is no such name. `text`: the object.
local function operation(message, text, key)
  local filter, names, searched = message.keys.filter.of.keys.name, {}, 0
  for name in text:gmatch('"%s*:%s*"([%w_]+)"') do
    searched = searched + 1
    if searched > MAX_NAMES then
      break
    end
    if message.keys[name] then
      return '{"' .. message.keys[name].json .. '": {...}}'
    end
    key = nearest(name, filter.values) and name or key
  end
  for _, field in ipairs(message) do
    names[#names + 1] = field.json
  end
  for _, name in ipairs(filter.values) do
    names[#names + 1] = name
  end
  local near = nearest(key, names)
  return near and not message.keys[near] and '{"filter": {"name": "' .. near .. '"}}'
end

-- What to write instead of an unknown key.
local function advice(text, request, key, depth)
  local message, whole = held[depth], MESSAGES[request.message]
  if message == MESSAGES["mediaservice.v1.Operation"] then
    local start = numbers[depth] - before
    local object = text:sub(start, start + MAX_SEARCHED)
    local form = operation(message, object:sub(1, object:find("}", 1, true)), key)
    if form then
      return "write the operation as `" .. form .. "`"
    end
  elseif depth == 1 and key == request.body then
    return "the body is its value: send the fields of `" .. key .. "` without it"
  elseif depth == 1 and whole.keys[key] then
    return "send it in the query"
  end
  return instead(message, key, "fields", depth > 1)
end

-- The error of a body, as a text for explanation(); nil if there is none.
local function error_of(text, request, path)
  local at, depth, place, problem = first_fault(text, of_body(request), path)
  if not at then
    return nil
  elseif problem and not place then
    return as_error(problem)
  elseif not place then
    local c = byte(text, at)
    local no_utf8 = c and c >= 128 and not character_end(text, at)
    return as_error(no_utf8 and NOT_UTF8 or text:find("^%s*{") and NOT_JSON or NOT_OBJECT)
  end
  local path = path_to(depth, place)
  if problem then
    return as_error(invalid(path, problem))
  end
  return as_error(unknown_name("field", path, advice(text, request, place, depth)))
end

local function is_json(content_type)
  local name = content_type:lower():match("^%s*([^;%s]*)")
  return name == "" or name == "application/json" or name == "text/json" or name:find("^application/[^;]+%+json$")
end

function envoy_on_request(handle)
  local request = REQUESTS[handle:metadata():get("rpc")]
  local content_type = handle:headers():get("content-type") or ""
  local body = not is_grpc(content_type) and handle:body()
  if not body or body:length() == 0 then
    return
  end
  if not is_json(content_type) then
    handle:respond({[":status"] = "415"}, "")
  end
  local refused = error_of(body:getBytes(0, body:length()), request, handle:headers():get(":path"))
  if refused then
    handle:respond({[":status"] = "400"}, refused)
  end
end
