-- The query of a link without the parameters that its method does not have. Who passes a link on adds parameters:
-- utm_source and fbclid by campaigns, v by caches, _HLS_msn by players. `known`: the method's own, each between commas.
local function known_query(path, known)
  local plain, query = path:match("^([^?]*)%?(.*)$")
  local kept = {}
  for parameter in query:gmatch("[^&]+") do
    if known:find("," .. parameter:match("^[^=.]*") .. ",", 1, true) then
      kept[#kept + 1] = parameter
    end
  end
  return #kept > 0 and plain .. "?" .. table.concat(kept, "&") or plain
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- The field of a request at a path such as owner.type, and the path in JSON names; nil if there is none.
local function parameter_field(request, path)
  local message, field, names = MESSAGES[request.message], nil, {}
  for name in path:gmatch("[^.]+") do
    field = message and message.keys and message.keys[name]
    if not field then
      return nil
    end
    message, names[#names + 1] = field.of, field.json
  end
  return field, table.concat(names, ".")
end

-- The field that a query gives twice, or that it gives another value than the path does, and the problem; nil if there is
-- none. The transcoder would take one of the values. `known`: as above, what is not in the path.
local function query_fault(path, request, known)
  local plain, query = path:match("^([^?]*)%?(.*)$")
  local given = {}
  for parameter in query:gmatch("[^&]+") do
    local name, value = parameter:match("^([^=]*)=?(.*)$")
    name = decoded(name)
    local field, json = parameter_field(request, name)
    if field and field.bound and not known:find("," .. name .. ",", 1, true) and not in_path(decoded(value), plain) then
      return json, DIFFERS
    elseif field and given[json] and not field.list then
      return json, TWICE
    end
    given[json or ""] = true
  end
end

-- Names under which clients of other services send credentials in a query, without - and _, in lower case.
local CREDENTIALS = {accesstoken = true, apikey = true, authorization = true, bearer = true, idtoken = true, xapikey = true}

local IN_URL = "The query has an access token, an API key, or the secret of a share link. URLs are kept in histories and"
  .. " logs, so revoke it. Send another one in the header `authorization: Bearer TOKEN`, an API key in `x-api-key`, or"
  .. " the secret of a share link in the body of OpenShareLink."

-- Whether a text begins like an API key, or the secret or a session of a share link, or is a JSON Web Token.
local function is_credential(text)
  return text:find("^ms[kls]_") or text:find("^eyJ[%w_-]+%.[%w_-]+%.[%w_-]+$") or text:find("^[Bb]earer[ +]")
end

-- The name of the parameter of a query that has one of these; nil if none has. What is no name is not
-- repeated, for it may be the key itself.
local function credential_in(path)
  for parameter in (path:match("%?(.*)$") or ""):gmatch("[^&]+") do
    local name, value = parameter:match("^([^=]*)=?(.*)$")
    name = decoded(name)
    if CREDENTIALS[(name:lower():gsub("[-_]", ""))] or is_credential(decoded(value)) or is_credential(name) then
      return name:find("^[%w_.-]+$") and not is_credential(name) and name or "query"
    end
  end
end
