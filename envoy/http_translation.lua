-- Translates between HTTP headers and gRPC metadata where the transcoder cannot.
--
-- The server sends the HTTP status, length and type of an answer as metadata: x-http-status,
-- x-content-length, x-content-type. Of a request, only known headers pass: others could forge this
-- metadata, exceed its size limit (cookies), or be invalid as metadata. Envoy itself replaces what a client sends as
-- x-forwarded-client-cert.

local KNOWN = {
  ["accept"] = true, ["authorization"] = true, ["content-digest"] = true,
  ["content-encoding"] = true, ["content-length"] = true, ["content-range"] = true, ["content-type"] = true,
  ["host"] = true, ["idempotency-key"] = true, ["if-match"] = true,
  ["if-modified-since"] = true, ["if-none-match"] = true, ["if-range"] = true,
  ["if-unmodified-since"] = true, ["last-event-id"] = true, ["origin"] = true, ["range"] = true,
  ["repr-digest"] = true, ["traceparent"] = true, ["tracestate"] = true,
  ["transfer-encoding"] = true, ["upload-complete"] = true, ["upload-offset"] = true,
  ["user-agent"] = true, ["x-api-key"] = true, ["x-forwarded-client-cert"] = true, ["x-forwarded-for"] = true,
  ["x-forwarded-proto"] = true,
  ["x-request-id"] = true,
}

-- Limits of the headers in bytes: as received, and of those that the server receives, whose own limit is
-- higher. Envoy's limit is higher still, because what exceeds that one is refused without a message.
local MAX_RECEIVED, MAX_KNOWN = 32768, 16384

-- The rule of the filter for gRPC-web, which is active only for POST requests to paths of gRPC: `grpc_web` is in the
-- metadata of their route. The response to a HEAD request would have a body.
local GRPC_WEB = {
  ["application/grpc-web"] = true, ["application/grpc-web+proto"] = true,
  ["application/grpc-web-text"] = true, ["application/grpc-web-text+proto"] = true,
}

local function is_grpc_web(handle, headers)
  return GRPC_WEB[headers:get("content-type")] and handle:metadata():get("grpc_web")
end

local function remove(headers, unwanted)
  local names = {}
  for name in pairs(headers) do
    if unwanted(name) then
      names[#names + 1] = name
    end
  end
  for _, name in ipairs(names) do
    headers:remove(name)
  end
end

-- Refuses the request if its headers are too large.
local function limit(handle, headers, most)
  local total = 0
  for name, value in pairs(headers) do
    total = total + #name + #value
  end
  if total > most then
    handle:respond({[":status"] = "431"}, "The headers have " .. total .. " bytes; the limit is " .. most .. ".")
  end
end

local function forgeable(name)
  return name:find("^x%-envoy%-") or name:find("^x%-http%-") or name:find("^x%-content%-")
end

local function unknown(name)
  return not KNOWN[name] and name:sub(1, 1) ~= ":"
end

local function unknown_to_grpc(name)
  return unknown(name) and not name:find("^grpc%-")
end

-- Removes unknown headers, and refuses a request with too large ones.
local function reduce(handle, headers, unwanted)
  limit(handle, headers, MAX_RECEIVED)
  remove(headers, unwanted)
  limit(handle, headers, MAX_KNOWN)
end

local function internal(name)
  return forgeable(name) and name ~= "x-content-type-options" or name:find("^grpc%-")
end

-- What the response depends on. Empty if Envoy refuses a request before this filter sees it.
local function remember(handle, name, value)
  handle:streamInfo():dynamicMetadata():set("media", name, value)
end

local function remembered(handle)
  return handle:streamInfo():dynamicMetadata():get("media") or {}
end

-- The transcoder sends a body in every response. A client that expects none would read it as the next
-- response.
local function drop_body(handle)
  for chunk in handle:bodyChunks() do
    chunk:setBytes("")
  end
end

-- Refuses a query with an access token or an API key: URLs are in histories, in logs and in the header `referer`.
local function refuse_credentials(handle, path)
  local name = credential_in(path)
  if name then
    handle:respond({[":status"] = "400"}, as_error(IN_URL, name, "must not have a credential"))
  end
end

-- The transcoder would decode it, and others on the way may have taken it for a slash.
local function refuse_escaped_slash(handle, headers)
  local path = headers:get(":path"):match("^[^?]*")
  if path:find("%", 1, true) and (path:find("%%2[Ff]") or path:find("%%5[Cc]")) then
    handle:respond({[":status"] = "400"}, as_error(ESCAPED_SLASH))
  end
end

-- Removes parameters that a link does not have, and refuses a query with a fault.
local function check_query(handle, headers)
  local path = headers:get(":path")
  local known = path:find("?", 1, true) and handle:metadata():get("parameters")
  if not known then
    return
  end
  if handle:metadata():get("linked") then
    path = known_query(path, known)
    headers:replace(":path", path)
  end
  local json, problem = query_fault(path, REQUESTS[handle:metadata():get("rpc")], known)
  if json then
    handle:respond({[":status"] = "400"}, as_error(invalid(json, problem)))
  end
end

-- The transcoder reads a body of every method. That of GET and HEAD is checked only if it has a type.
local function refuse_unchecked_body(handle, headers, method)
  if method ~= "GET" and method ~= "HEAD" or headers:get("content-type") and handle:metadata():get("checked") then
    return
  end
  local body = handle:body()
  if body and body:length() > 0 then
    handle:respond({[":status"] = "400"}, as_error(UNEXPECTED_BODY))
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local method = headers:get(":method")
  remember(handle, "method", method)
  local grpc = is_grpc(headers:get("content-type") or "")
  if grpc then
    remember(handle, "grpc", true)
  end
  refuse_escaped_slash(handle, headers)
  if grpc then
    remove(headers, forgeable)
    return
  end
  if is_grpc_web(handle, headers) then
    remember(handle, "grpc", true)
    reduce(handle, headers, unknown_to_grpc)
    return
  end
  reduce(handle, headers, unknown)
  refuse_credentials(handle, headers:get(":path"))
  check_query(handle, headers)
  refuse_unchecked_body(handle, headers, method)
  -- The contract binds HEAD only for content. On other routes, HEAD is a GET without the body.
  if method == "HEAD" and handle:metadata():get("head_as_get") then
    headers:replace(":method", "GET")
  end
  -- The transcoder drops content-length, which the server needs to detect an incomplete body.
  local length = headers:get("content-length")
  if length then
    headers:add("x-content-length", length)
  end
end

-- Turns the metadata of a response into its status and headers. Returns the status that the server set.
local function translate(headers)
  local status = headers:get("x-http-status")
  local length = headers:get("x-content-length")
  local content_type = headers:get("x-content-type")
  if status then
    headers:replace(":status", status)
  end
  if length then
    headers:replace("content-length", length)
  end
  if content_type then
    headers:replace("content-type", content_type)
  elseif status == "304" or status == "204" then
    headers:remove("content-type")
    headers:remove("content-length")
  elseif tonumber(headers:get(":status")) >= 400 then
    -- The transcoder labels errors of streams by the type of the stream, though they are JSON.
    headers:replace("content-type", "application/json")
  end
  remove(headers, internal)
  return status
end

-- Replaces the words of the transcoder; see transcoder_errors.lua.
local function explain(handle)
  local body = handle:body()
  if body then
    local error = tostring(body:getBytes(0, body:length()))
    local words = unescaped(error:match('"message":"The request is malformed%. ?(.*)"}') or "\\")
    if words then
      local length = body:setBytes(refusal(words:match("^(%S*) ?(.*)$")))
      handle:headers():replace("content-length", length)
    end
  end
end

-- Over gRPC and gRPC-web, the message of Envoy's own errors is the body that they have over REST.
local function explain_to_grpc(headers)
  headers:remove("x-http-refused")
  local text = (headers:get("grpc-message") or ""):match('^{"code":.*"message":"(.*)"}')
  if text then
    headers:replace("grpc-message", text)
  end
end

function envoy_on_response(handle)
  local request = remembered(handle)
  local status = nil
  if request["grpc"] then
    explain_to_grpc(handle:headers())
  else
    local refused = handle:headers():get("x-http-refused")
    status = translate(handle:headers())
    if refused and request["method"] ~= "HEAD" then
      explain(handle)
    end
  end
  if request["method"] == "HEAD" or status == "304" or status == "204" then
    drop_body(handle)  -- last: the headers are sent before the first chunk
  end
end
