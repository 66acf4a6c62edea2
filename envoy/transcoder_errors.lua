-- Says in the service's words why the transcoder refuses a request. Its own words name types of protobuf and
-- quote its parser. ENUMS, the values of each enum, comes from the contract.

local EXPECTED = {
  TYPE_BOOL = "true or false",
  TYPE_BYTES = "base64",
  TYPE_DOUBLE = "a number",
  TYPE_FLOAT = "a number",
  TYPE_INT32 = "a whole number from -2147483648 to 2147483647",
  TYPE_INT64 = "a whole number from -9223372036854775808 to 9223372036854775807",
  TYPE_STRING = "a string",
  TYPE_UINT32 = "a whole number from 0 to 4294967295",
  TYPE_UINT64 = "a whole number from 0 to 18446744073709551615",
  ["google.protobuf.Duration"] = 'a number of seconds with "s", such as "1.5s"',
  ["google.protobuf.FieldMask"] = "the names of fields, separated by commas",
  ["google.protobuf.Timestamp"] = 'a time such as "2026-01-31T12:00:00Z"',
}
local NOT_VALID = "The request is not valid: "
local NOT_JSON = "The body is not valid JSON. Names and texts are in double quotes, and no comma comes before a"
  .. " closing bracket."
-- What the parser says of a body, and what to say instead.
local OF_BODY = {
  {"UTF%-8", "The body is not UTF-8."},
  {"surrogate", "The body has an escape of half a character, such as \\ud800. Escape both halves, or send UTF-8."},
  {"^Number exceeds", "The body has a number that is too large for any field."},
  {"too deep", "The body is nested too deeply for any message."},
  {"not repeating", "The body has a list where a single value is expected."},
}

local function expected(kind)
  local name = kind:match("^type%.googleapis%.com/(.*)$") or kind
  if ENUMS[name] then
    return "one of " .. ENUMS[name]
  end
  return EXPECTED[name] or "a JSON object"
end

-- Returns what is wrong, and if it is known, the field.
local function explanation(text)
  local path, value, kind = text:match("^([%w_%.%[%]]*): invalid value (.*) for type ([%w_%./]+)$")
  if path and value:find("^Starting an object") then
    return "must not be an object", kind:sub(1, 100)
  elseif path and value:find("^Field '") then  -- it names the JSON field again
    return "must be " .. expected(kind), path:sub(1, 100)
  elseif path and path ~= "" then
    return "must be " .. expected(kind), path:sub(1, 100)
  end
  local unknown = text:match('^Could not find field "([%w_%-]+)" in the type')
  if unknown then
    return "is not a parameter of this method", unknown:sub(1, 100)
  elseif text:find("^Could not find field") then
    return "The query has a parameter that this method does not have."
  end
  local plain = text:match('^Encountered a non%-leaf field "([%w_]+)" that is not a message')
  if plain then
    return "has no fields, so nothing may come after its name", plain:sub(1, 100)
  end
  for _, known in ipairs(OF_BODY) do
    if text:find(known[1]) then
      return known[2]
    end
  end
  return text == "" and "The request is malformed." or NOT_JSON
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

-- The body of the response, instead of the transcoder's text.
local function refusal(text)
  local problem, field = explanation(text)
  local details = '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"INVALID_REQUEST","domain":"mediaservice"}'
  if field then
    details = details .. ',{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":'
      .. quoted(field) .. ',"description":' .. quoted(problem) .. "}]}"
    problem = NOT_VALID .. field .. ": " .. problem .. "."
  end
  return '{"code":3,"message":' .. quoted(problem) .. ',"details":[' .. details .. "]}\n"
end
