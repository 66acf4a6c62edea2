-- Says in the service's words why the transcoder refuses a request. Its own words name types of protobuf and quote its
-- parser.

-- What the parser says of a body, and what to say instead.
local OF_BODY = {
  {"UTF%-8", NOT_UTF8},
  {"surrogate", "The body has an escape of half a character, such as \\ud800. Escape both halves, or send UTF-8."},
  {"^Number exceeds", "The body has a number that is too large for any field."},
  {"too deep", TOO_DEEP},
  {"Starting an object", "The body has an object where a single value is expected."},
}

-- What is wrong with the value at a path.
local function of_value(method, path, value)
  local request = REQUESTS[method]
  if not request then
    return NOT_JSON
  end
  local field, name = over_rest(request, path)
  if name == "" then
    return NOT_OBJECT
  elseif value:find("^oneof field") then
    return invalid(name, "must have only one of its fields")
  end
  return invalid(name, (field and field.each or "") .. "must be " .. (field and field.expects or "valid"))
end

-- Returns what is wrong, and if it is known, the field and what is wrong with it. `method`: the path of the gRPC method,
-- or of the request if the transcoder found no method.
local function explanation(method, text)
  local message, field, problem = text:match("^Refused\n(.-)\n(.-)\n(.*)$")
  if message then
    return message, field, problem
  end
  local path, value = text:match("^([%w_%.%[%]]*): invalid value (.*) for type [%w_%./]+$")
  if path and not value:find("^Starting an object") then
    return of_value(method, path, value)
  end
  local twice = text:match("^The binding value .* of the field (.+) is conflicting with the value .* in the body%.$")
  if twice then
    return invalid((twice:gsub("_(%l)", string.upper)), "has another value in the query or path than in the body")
  end
  local name, message_type = text:match('^Could not find field "(.*)" in the type "([%w_.]+)"')
  if MESSAGES[message_type] then
    return unknown_name("parameter", shown(name), instead(MESSAGES[message_type], name, "parameters"))
  end
  local plain = text:match('^Encountered a non%-leaf field "([%w_]+)" that is not a message')
  if plain then
    return invalid((plain:gsub("_(%l)", string.upper)), "has no fields, so nothing may come after its name")
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
local function refusal(method, text)
  local message, field, problem = explanation(method, text)
  local details = '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"INVALID_REQUEST","domain":"mediaservice"}'
  if field and field ~= "" then
    details = details .. ',{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":'
      .. quoted(field) .. ',"description":' .. quoted(problem) .. "}]}"
  end
  return '{"code":3,"message":' .. quoted(message) .. ',"details":[' .. details .. "]}\n"
end
