-- The same POST for every program, each time with a new phone, request id and visitor address. Prints a line of JSON.
-- Arguments: the number of the first request, the number of sites, the kind of request, and its argument.
--   key KEY       an API key, as another service sends it
--   browser FILE  an allowed Origin, and a solved challenge from each line of the file
--   foreign -     an Origin that is not allowed
--   crowd KEY     as key, but all from one address
--   visitor -     an allowed Origin, for sites without the challenge

local number, sites, kind, challenges

function init(args)
  number, sites, kind = tonumber(args[1]), tonumber(args[2]), args[3]
  wrk.headers["Content-Type"] = "application/json"
  if kind == "key" or kind == "crowd" then
    wrk.headers["Authorization"] = "Bearer " .. args[4]
  elseif kind == "foreign" then
    wrk.headers["Origin"] = "https://foreign.example"
  else
    wrk.headers["Origin"] = "https://shop.example"
  end
  if kind == "browser" then
    challenges = {}
    for line in io.lines(args[4]) do challenges[#challenges + 1] = line end
  end
end

local used = 0

function request()
  local n = number
  number = number + 1
  -- Spread by the golden ratio: with n % sites the loads of several replicas would go through the sites in step.
  local site = math.floor(n * 0.6180339887498949 % 1 * sites)
  local challenge = ""
  if challenges then
    used = used + 1
    if used > #challenges then wrk.thread:stop() used = 1 end
    local of, payload = challenges[used]:match("^(%d+) (.*)$")
    site = tonumber(of)
    challenge = ', "challenge": "' .. payload .. '"'
  end
  if kind ~= "crowd" then
    wrk.headers["X-Forwarded-For"] =
      string.format("%d.%d.%d.%d", 60 + math.floor(n / 16777216), math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256)
  end
  return wrk.format("POST", "/v1/callbacks", nil, string.format(
    '{"site": "s%03d", "client_phone": "+7916%07d", "active_page": "https://shop.example/catalog?utm_source=letter", '
      .. '"referrer": "https://search.example/", "request_id": "lead-%d"%s}', site, n % 10000000, n, challenge))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
