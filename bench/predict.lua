-- wrk: POST the bodies of a file, one a line, in turn, and print the figures as one line of JSON.

local requests, place = {}, 0

function init(arguments)
  local file, path, token = arguments[1], arguments[2], arguments[3]
  local headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. token,
  }
  for body in io.lines(file) do
    requests[#requests + 1] = wrk.format("POST", path, headers, body)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency, _)
  local errors = summary.errors
  print(string.format(
    '\nRESULT {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d}',
    summary.requests,
    summary.duration / 1e6,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
