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
